//! One worker's voice: what it does goes to the ledger, the metrics, the status for the console, the readiness and the
//! log, from one place, so that they agree.

use std::time::Duration;

use ao_common::health::Part;
use ao_common::journal::Position;
use ao_proto::v1::FrameHeader;

use super::check::now_ms;
use super::metrics::WorkerMetrics;
use super::status::{Entry as StatusEntry, State};
use super::tally::{self, Tally};
use crate::ledger::{Count, Entry, Ledger};
use crate::sink::api::{Batch, Lane, Refusal};

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
    /// What was sent again and is not on disk yet.
    pub(super) resent: Tally,
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
    }

    /// What became of a run.
    pub(super) fn settled(&mut self, tally: &Tally) {
        for ((account, entry), count) in tally {
            self.ledger.add_to(account.clone(), *entry, *count);
            match entry {
                Entry::Delivered(_) => {
                    self.metrics.records(count.records);
                    self.status.update(|status| status.records += count.records);
                }
                Entry::Dropped(_, reason) => {
                    self.metrics.dropped(reason, count.records);
                    self.status.update(|status| status.dropped_records += count.records);
                }
                Entry::Received | Entry::Resent(_) => {}
            }
        }
    }

    /// A batch is sent again, and nobody knows whether it was taken the first time. Returns what is counted.
    pub(super) fn resent(&mut self, batch: &Batch) -> Tally {
        let mut tally = Tally::new();
        for part in &batch.parts {
            let header = &part.frame.header;
            let records = part.records.len() as u64;
            let bytes = u128::from(header.bytes) * u128::from(records) / u128::from(header.records.max(1));
            let count = Count { records, bytes: (bytes as u64).min(header.bytes) };
            self.ledger.add(header, Entry::Resent(self.sink), count);
            tally::add(&mut tally, header, Entry::Resent(self.sink), count);
            self.metrics.resent(records);
            self.status.update(|status| status.resent_records += records);
        }
        tally
    }

    /// Everything before the position is done.
    pub(super) fn position(&self, position: Position, lag_bytes: u64) {
        self.metrics.lag(lag_bytes);
        self.status.update(|status| {
            status.position = (position.segment, position.offset);
            status.lag_bytes = lag_bytes;
        });
    }
}

/// An agent's id as it is shown.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
