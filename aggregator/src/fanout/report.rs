//! One worker's voice: what it does goes to the ledger, the metrics, the status for the console, the readiness and the
//! log, from one place, so that they agree.

use std::collections::BTreeMap;
use std::time::Duration;

use ao_common::health::Part;
use ao_common::journal::Position;
use ao_proto::v1::FrameHeader;

use super::check::now_ms;
use super::counts::{self, Tally};
use super::metrics::WorkerMetrics;
use super::status::{Entry as StatusEntry, State};
use crate::ledger::{Account, Count, Entry, Ledger};
use crate::sink::api::{Batch, DropReason, Lane, Refusal};

/// See the module.
pub(super) struct Report {
    pub(super) sink: &'static str,
    pub(super) class: &'static str,
    pub(super) lane: Lane,
    pub(super) ledger: Ledger,
    pub(super) metrics: WorkerMetrics,
    pub(super) status: StatusEntry,
    pub(super) health: Part,
    pub(super) state: State,
    /// What was counted since it was last taken.
    pub(super) tally: Tally,
}

impl Report {
    /// A request and its answer.
    pub(super) fn request(&self, refusal: Option<&Refusal>, took: Duration) {
        self.metrics.request(refusal.map(Refusal::kind), took.as_secs_f64());
        self.status.update(|status| {
            status.requests += 1;
            if let Some(refusal) = refusal {
                status.last_error = Some(refusal.why().to_owned());
            }
        });
    }

    /// The backend took a request.
    pub(super) fn accepted(&mut self) {
        let now = now_ms();
        self.metrics.success(now);
        self.status.update(|status| status.last_success_ms = Some(now));
        self.enter(State::Ok);
    }

    /// Something goes on by itself once the backend is well.
    pub(super) fn retrying(&mut self, reason: &str) {
        self.enter(State::Retrying { reason: reason.to_owned() });
    }

    /// Nothing goes on before somebody acts.
    pub(super) fn held(&mut self, reason: &str) {
        self.enter(State::Held { reason: reason.to_owned() });
    }

    /// Tells the readiness and the log, where something changed.
    pub(super) fn enter(&mut self, state: State) {
        let (sink, class, lane) = (self.sink, self.class, self.lane.name());
        match &state {
            State::Ok => {
                if self.state != State::Ok {
                    tracing::info!(sink, class, lane, "the sink goes on");
                }
                self.health.ready();
            }
            State::Retrying { reason } => {
                if !matches!(self.state, State::Retrying { .. }) {
                    tracing::warn!(
                        sink,
                        class,
                        lane,
                        reason,
                        "the sink does not take our data now; trying again"
                    );
                }
                // Still ready: agents must go on sending, the journal keeps it.
                self.health.troubled(reason.clone());
            }
            State::Held { reason } => {
                if !matches!(self.state, State::Held { .. }) {
                    tracing::error!(sink, class, lane, reason, "the sink waits for a person to act");
                }
                self.health.not_ready(reason.clone());
            }
        }
        self.metrics.state(match state {
            State::Ok => 0,
            State::Retrying { .. } => 1,
            State::Held { .. } => 2,
        });
        self.status.update(|status| status.state = state.clone());
        self.state = state;
    }

    /// A frame that is no telemetry.
    pub(super) fn undecodable(&mut self, header: &FrameHeader, error: &dyn std::fmt::Display) {
        let (sink, class, lane) = (self.sink, self.class, self.lane.name());
        let agent = hex(&header.agent);
        tracing::error!(sink, class, lane, agent, sequence = header.sequence, %error, "a frame cannot be decoded: dropped");
        self.metrics.undecodable();
        self.drop(header, DropReason::Undecodable, Count::of(header));
    }

    /// A frame is done: what was dropped of its `records`, the others delivered.
    pub(super) fn settled(
        &mut self,
        header: &FrameHeader,
        records: u64,
        dropped: &BTreeMap<DropReason, u64>,
    ) {
        let mut left = Count::of(header);
        let mut rest = records;
        for (reason, count) in dropped {
            // In shares of what is left, so that the last one takes all of it where nothing was delivered.
            let part = |of: u64| (u128::from(of) * u128::from(*count) / u128::from(rest.max(1))) as u64;
            let share = Count { records: part(left.records), bytes: part(left.bytes) };
            rest = rest.saturating_sub(*count);
            left.records -= share.records.min(left.records);
            left.bytes -= share.bytes.min(left.bytes);
            self.drop(header, *reason, share);
        }
        if left != Count::default() {
            self.count(header, Entry::Delivered(self.sink), left);
            self.metrics.records(left.records);
            self.status.update(|status| status.records += left.records);
        }
    }

    /// A batch is sent again, and nobody knows whether it was taken the first time.
    pub(super) fn resent(&mut self, batch: &Batch) {
        for part in &batch.parts {
            let header = &part.frame.header;
            let records = part.records.len() as u64;
            let bytes = u128::from(header.bytes) * u128::from(records) / u128::from(header.records.max(1));
            let count = Count { records, bytes: (bytes as u64).min(header.bytes) };
            self.count(header, Entry::Resent(self.sink), count);
            self.metrics.resent(records);
            self.status.update(|status| status.resent_records += records);
        }
    }

    /// Everything before the position is done.
    pub(super) fn position(&self, position: Position, lag_bytes: u64) {
        self.metrics.lag(lag_bytes);
        self.status.update(|status| {
            status.position = (position.segment, position.offset);
            status.lag_bytes = lag_bytes;
        });
    }

    fn count(&mut self, header: &FrameHeader, entry: Entry, count: Count) {
        self.ledger.add(header, entry, count);
        counts::add(&mut self.tally, (Account::of(header), entry), count);
    }

    fn drop(&mut self, header: &FrameHeader, reason: DropReason, count: Count) {
        self.count(header, Entry::Dropped(self.sink, reason.name()), count);
        self.metrics.dropped(reason, count.records);
        self.status.update(|status| status.dropped_records += count.records);
    }
}

/// An agent's id as it is shown.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
