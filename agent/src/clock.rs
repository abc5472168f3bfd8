//! This node's clock against the aggregator's: asked for on the stream, told to people and to the aggregator, and what
//! confirms a step of the system's clock (see [`ao_common::clock`]).
//!
//! | room | what it holds |
//! |---|---|
//! | `filter` | which of the last answers to believe |

mod filter;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_common::clock::{self, Kept};
use ao_common::health::Part;
use ao_proto::v1::{AgentMessage, ClockAnswer, ClockAsk, agent_message::Message};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::filter::{Filter, Sample};

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(10);
/// At the beginning, and after the clock was set, some come one behind the other.
const BURST: usize = 4;
const BURST_INTERVAL: Duration = Duration::from_millis(250);
/// Questions whose answer may still come.
const ASKED: usize = 8;
/// An offset that people should know of.
const NOTABLE_NS: i64 = 1_000_000_000;
/// How often the state is told and kept, where the clock is not set meanwhile: a measurement changes it, and these are as rare.
const TICK: Duration = INTERVAL;

/// The questions and answers of one connection.
#[derive(Debug, Default)]
pub struct Exchange(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The time that the question carries, and the boot time of then.
    asked: VecDeque<(i64, i64)>,
    filter: Filter,
}

impl Exchange {
    /// Asks until the connection ends: some questions at once, then one every 10 s, and at once where the clock was
    /// set.
    pub async fn run(self: Arc<Self>, out: mpsc::Sender<AgentMessage>) {
        let mut steps = clock::steps();
        let mut burst = BURST;
        // The times are taken when there is room to send, not before.
        while let Ok(room) = out.reserve().await {
            room.send(AgentMessage { message: Some(Message::ClockAsk(self.ask())) });
            burst = burst.saturating_sub(1);
            tokio::select! {
                () = tokio::time::sleep(if burst > 0 { BURST_INTERVAL } else { INTERVAL }) => {}
                // Its sender lives as long as the process.
                Ok(()) = steps.changed() => burst = BURST,
            }
        }
    }

    fn ask(&self) -> ClockAsk {
        let offset_ns = clock::look(|anchor| anchor.offset_ns());
        let (boot, sent_ns) = (clock::boot_ns(), clock::now_ns());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.asked.len() == ASKED {
            state.asked.pop_front();
        }
        state.asked.push_back((sent_ns, boot));
        ClockAsk { sent_ns, offset_ns }
    }

    /// Takes an answer; one to no question of this connection is left out.
    pub fn answered(&self, answer: &ClockAnswer) {
        let now = clock::boot_ns();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = state.asked.iter().position(|(sent, _)| *sent == answer.sent_ns) else { return };
        let Some((_, asked)) = state.asked.remove(place) else { return };
        let Some(sample) = Sample::of(asked, answer.received_ns, answer.answered_ns, now) else { return };
        let best = state.filter.add(sample);
        drop(state);
        if clock::look(|anchor| anchor.measured(best.reference, best.error)) {
            tracing::warn!(
                "the aggregator's clock confirms how this node's was set; times follow it from now on"
            );
        }
    }
}

/// Tells people of a clock that is wrong, and keeps the anchor for the next start; until the shutdown.
pub async fn watch(part: Part, mut kept: Kept, shutdown: CancellationToken) {
    let mut told = None;
    let mut steps = clock::steps();
    loop {
        let words = clock::look(|anchor| words(anchor.pending_ns(), anchor.offset_ns()));
        match &words {
            None => part.ready(),
            Some((_, text)) => part.troubled(text.as_str()),
        }
        let kind = words.as_ref().map(|(kind, _)| *kind);
        if kind != told
            && let Some((_, text)) = &words
        {
            tracing::warn!("{text}");
        }
        told = kind;
        // Mostly there is nothing to write, and to wake a thread for that costs more than to look.
        if kept.has_moved() {
            kept = match tokio::task::spawn_blocking(move || kept.save().map(|()| kept)).await {
                Ok(Ok(kept)) => kept,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a step of the clock during a restart will not be noticed");
                    return shutdown.cancelled().await;
                }
                Err(_) => return,
            };
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
            // Its sender lives as long as the process.
            Ok(()) = steps.changed() => {}
        }
    }
}

/// What is wrong, in a sentence, and a number for its kind.
fn words(pending: i64, offset: Option<i64>) -> Option<(u8, String)> {
    let seconds = |ns: i64| (ns as f64 / 1e8).abs().round() / 10.0;
    let side = |ns: i64| if ns > 0 { "ahead of" } else { "behind" };
    if pending != 0 {
        let (by, side) = (seconds(pending), side(pending));
        let text = format!(
            "the system's clock was set and is now {by} s {side} ours; ours stays until an aggregator confirms it"
        );
        return Some((0, text));
    }
    let offset = offset.filter(|offset| offset.saturating_abs() > NOTABLE_NS)?;
    let (by, side) = (seconds(offset), side(offset));
    Some((1, format!("this node's clock is {by} s {side} the aggregator's: set both by NTP")))
}

/// The clock among the agent's own metrics.
#[derive(Debug)]
pub struct ClockCollector;

impl Collector for ClockCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (offset, trip, pending, steps) = clock::look(|anchor| {
            (anchor.offset_ns(), anchor.round_trip_ns(), anchor.pending_ns(), anchor.steps())
        });
        let gauges = [
            ("ao_clock_offset_seconds", "This node's clock less the aggregator's", offset),
            ("ao_clock_round_trip_seconds", "The round trip by which the offset was measured", trip),
            (
                "ao_clock_anchor_offset_seconds",
                "The system's clock less ours: a step that no aggregator has confirmed, or 0",
                Some(pending),
            ),
        ];
        for (name, help, ns) in gauges {
            let Some(ns) = ns else { continue };
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(ns as f64 / 1e9).encode(family)?;
        }
        let help = "How often the system's clock was set";
        let family = encoder.encode_descriptor("ao_clock_steps", help, None, MetricType::Counter)?;
        ConstCounter::new(steps).encode(family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an aggregator whose clock is as ours answers, twice to one question, and to none; then the channel
    /// goes.
    /// Guarantees: the offset is measured from the first answer; the asking ends with the connection.
    #[tokio::test(start_paused = true)]
    async fn questions_and_answers() {
        let exchange = Arc::new(Exchange::default());
        let (out, mut outgoing) = mpsc::channel(1);
        let asking = tokio::spawn(Arc::clone(&exchange).run(out));
        for n in 0..6 {
            let Some(Message::ClockAsk(ask)) = outgoing.recv().await.and_then(|message| message.message)
            else {
                panic!("no question {n}")
            };
            assert_eq!(ask.offset_ns.is_some(), n > 0);
            let now = clock::now_ns();
            let answer = ClockAnswer { sent_ns: ask.sent_ns, received_ns: now, answered_ns: now };
            exchange.answered(&answer);
            exchange.answered(&ClockAnswer { received_ns: i64::MAX, ..answer });
            exchange.answered(&ClockAnswer { sent_ns: 1, ..answer });
            let offset = clock::look(|anchor| anchor.offset_ns()).unwrap();
            assert!(offset.abs() < 100_000_000, "{offset}");
        }
        drop(outgoing);
        asking.await.unwrap();
    }

    /// Scenario: clocks right, stepped, and off.
    /// Guarantees: a sentence where there is something to do, none else.
    #[test]
    fn people_are_told() {
        let s = 1_000_000_000;
        let text = |pending, offset| words(pending, offset).map(|(_, text)| text);
        assert_eq!(text(0, None), None);
        assert_eq!(text(0, Some(s / 2)), None);
        let off = "this node's clock is 90.5 s behind the aggregator's: set both by NTP";
        assert_eq!(text(0, Some(-s * 181 / 2)).as_deref(), Some(off));
        let stepped = text(3_600 * s, Some(0)).unwrap();
        assert!(
            stepped.starts_with("the system's clock was set and is now 3600 s ahead of ours"),
            "{stepped}"
        );
    }
}
