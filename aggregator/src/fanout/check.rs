//! What is known to be refused is not sent: records too old for the backend, ahead of the clock, or of a shape that the
//! sink says its backend does not know.
//!
//! A record up to `max_ahead` (60 s) ahead of the aggregator's clock is sent as it is. One further ahead holds the class
//! back for this sink until it no longer is: order is kept, and nothing is lost to a clock that is a little off. One more
//! than `max_hold` (10 min) ahead is dropped{future}: agents shift their frames by the offset that they measured, so such
//! a clock jumped since, and the others' data must not wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use ao_common::clock::now_ms;

use crate::sink::api::{Decoded, DropReason, Lane, Sink, Telemetry};

/// How far ahead of the clock records may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// Beyond it they wait.
    pub(super) max_ahead: Duration,
    /// Beyond it they are dropped.
    pub(super) max_hold: Duration,
}

/// What is to be done with a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Records that are not to be sent, by number.
    pub(super) left_out: BTreeMap<u32, DropReason>,
    /// Milliseconds: not before the clock shows this.
    pub(super) not_before: Option<i64>,
}

/// Judges a frame as of `now_ms`.
pub(super) fn check(frame: &Decoded, sink: &dyn Sink, lane: Lane, ahead: Ahead, now_ms: i64) -> Verdict {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let oldest = sink.policy().max_age.map_or(i64::MIN, |age| now_ms.saturating_sub(millis(age)));
    let (soon, far) =
        (now_ms.saturating_add(millis(ahead.max_ahead)), now_ms.saturating_add(millis(ahead.max_hold)));
    let mut verdict = Verdict { left_out: sink.check(frame, lane).into_iter().collect(), not_before: None };
    for_each_time(&frame.telemetry, |record, at_ms| {
        if verdict.left_out.contains_key(&record) {
            return;
        }
        if at_ms < oldest {
            verdict.left_out.insert(record, DropReason::TooOld);
        } else if at_ms > far {
            verdict.left_out.insert(record, DropReason::Future);
        } else if at_ms > soon {
            let from = at_ms - millis(ahead.max_ahead);
            verdict.not_before = Some(verdict.not_before.map_or(from, |other| other.max(from)));
        }
    });
    verdict
}

/// Each record's number and time in milliseconds.
fn for_each_time(telemetry: &Telemetry, mut see: impl FnMut(u32, i64)) {
    match telemetry {
        Telemetry::Metrics(_, frame) => {
            for record in telemetry.records() {
                see(record, frame.at_ms);
            }
        }
        Telemetry::Logs(frame) => {
            for (number, entry) in (0..).zip(&frame.entries) {
                see(number, entry.at_ns.div_euclid(1_000_000));
            }
        }
        Telemetry::Spans(message) => {
            let spans = message.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
            for (number, span) in (0..).zip(spans) {
                see(number, (span.start_time_unix_nano.max(span.end_time_unix_nano) / 1_000_000) as i64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ao_proto::logs::{LogEntry, LogFrame};
    use ao_proto::metrics::{Keyframe, MetricsFrame};
    use ao_proto::v1::Class;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::sink::api::{Accepted, Answer, Batch, Policy};

    /// Takes what is at most an hour old, and never record 0.
    struct Hour;

    impl Sink for Hour {
        fn name(&self) -> &'static str {
            "hour"
        }

        fn classes(&self) -> &'static [Class] {
            &[]
        }

        fn policy(&self) -> Policy {
            Policy { max_age: Some(Duration::from_secs(3_600)), ..Policy::default() }
        }

        fn check(&self, _frame: &Decoded, _lane: Lane) -> Vec<(u32, DropReason)> {
            vec![(0, DropReason::Invalid)]
        }

        fn send<'a>(&'a self, _batch: &'a Batch) -> BoxFuture<'a, Answer> {
            Box::pin(async { Ok(Accepted::default()) })
        }
    }

    const NOW: i64 = 1_700_000_000_000;
    const AHEAD: Ahead = Ahead { max_ahead: Duration::from_secs(60), max_hold: Duration::from_secs(600) };

    fn judge(telemetry: Telemetry) -> Verdict {
        check(
            &Decoded { header: <_>::default(), end: <_>::default(), telemetry },
            &Hour,
            Lane::Fresh,
            AHEAD,
            NOW,
        )
    }

    /// Scenario: lines around every limit, seconds from now.
    /// Guarantees: too old and too far ahead are left out, a little ahead holds the frame until its time, the sink's own
    /// reason comes first.
    #[test]
    fn lines_around_the_limits() {
        let at = [-9_000, -3_601, -3_600, 0, 60, 600, 601, 9_000, 61];
        let entry = |s: i64| LogEntry { at_ns: (NOW + s * 1_000) * 1_000_000, ..<_>::default() };
        let verdict = judge(Telemetry::Logs(LogFrame { entries: at.map(entry).to_vec(), ..<_>::default() }));
        let (old, future) = (DropReason::TooOld, DropReason::Future);
        let expect = [(0, DropReason::Invalid), (1, old), (6, future), (7, future)];
        assert_eq!(verdict.left_out, BTreeMap::from(expect));
        assert_eq!(verdict.not_before, Some(NOW + 540_000));
    }

    /// Scenario: a metrics frame of a node whose clock is two hours behind.
    /// Guarantees: all of its samples that are there are left out, absent ones are not counted.
    #[test]
    fn an_old_metrics_frame() {
        let series = ao_proto::model::Series { labels: <_>::default(), family: 0 };
        let keyframe = Keyframe { series: vec![series; 3], ..<_>::default() };
        let frame =
            MetricsFrame { at_ms: NOW - 7_200_000, values: vec![0.0; 3], absent: vec![1], ..<_>::default() };
        let verdict = judge(Telemetry::Metrics(Arc::new(keyframe), frame));
        let expect = [(0, DropReason::Invalid), (2, DropReason::TooOld)];
        assert_eq!((verdict.left_out, verdict.not_before), (BTreeMap::from(expect), None));
    }
}
