//! The table and the report: what was done, what it cost, how long it took to recover.

use std::collections::BTreeMap;
use std::time::Duration;

use ao_tests::verdict::Signal;
use serde_json::{Value, json};

use crate::frames::Frames;
use crate::plan::{Fault, Target};
use crate::watch::Look;

/// Memory that agent and aggregator may hold at most, bytes: their buffers at this load, unoptimised.
const RESIDENT: [u64; 2] = [160 << 20, 320 << 20];
/// The signals, and their sinks' workers: one a queue, and one for what was left behind.
pub(crate) const SIGNALS: [(&str, Target, usize); 3] =
    [("metrics", Target::Prometheus, 3), ("logs", Target::Loki, 6), ("spans", Target::Tempo, 3)];

/// Everything that a run came to.
pub(crate) struct Outcome {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    /// Faults that happened.
    pub(crate) done: Vec<Fault>,
    /// Faults that this machine does not allow.
    pub(crate) skipped: Vec<Fault>,
    /// Metrics, logs, spans.
    pub(crate) signals: [Signal; 3],
    /// From the agent to the aggregator.
    pub(crate) frames: Frames,
    /// Why the ledger does not balance.
    pub(crate) ledger: Result<(), String>,
    /// Everything else that must not be.
    pub(crate) findings: Vec<String>,
    pub(crate) looks: Vec<Look>,
    /// The longest time without a sample, seconds.
    pub(crate) gap_s: f64,
    /// From the end of the load until everything was there.
    pub(crate) drained: Duration,
}

impl Outcome {
    /// The most memory that each held.
    fn resident(&self) -> [u64; 2] {
        std::array::from_fn(|i| self.looks.iter().map(|look| look.resident[i]).max().unwrap_or_default())
    }

    /// Everything that is wrong; none for a good run.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = self.findings.clone();
        for ((name, ..), signal) in SIGNALS.iter().zip(&self.signals) {
            if !signal.holds() {
                wrong.push(format!("{name}: {}", signal.examples.join("; ")));
            }
        }
        if let Err(why) = &self.ledger {
            wrong.push(format!("the ledger does not balance: {why}"));
        }
        // Every signal goes on behind the last fault.
        let last = self.done.iter().map(Fault::end).max().unwrap_or_default();
        for (i, (name, ..)) in SIGNALS.iter().enumerate() {
            if !self.looks.iter().any(|look| look.newest[i] > last) {
                wrong.push(format!("{name}: nothing that was made after the last fault arrived"));
            }
        }
        for (i, name) in ["the agent", "the aggregator"].into_iter().enumerate() {
            let (most, bound) = (self.resident()[i], RESIDENT[i]);
            if most > bound {
                wrong.push(format!("{name} held {} MiB, more than {}", most >> 20, bound >> 20));
            }
        }
        wrong
    }

    /// From the end of a fault until each sink had a record made after it; `None` where another fault came meanwhile.
    fn recovery(&self, fault: &Fault) -> Option<Duration> {
        let end = fault.end();
        let look = self.looks.iter().find(|look| look.at >= end && look.newest.iter().all(|n| *n >= end))?;
        let other = |f: &Fault| f != fault && f.at < look.at && f.end() > fault.at;
        (!self.done.iter().any(other)).then(|| look.at - end)
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("chaos of {} minutes, seed {}\n\n", self.minutes, self.seed);
        let mut kinds = BTreeMap::<_, Vec<&Fault>>::new();
        for fault in &self.done {
            kinds.entry((fault.target, fault.manner)).or_default().push(fault);
        }
        text += "fault                  times  seconds  recovered within (where it stood alone)\n";
        for faults in kinds.values() {
            let seconds: f64 = faults.iter().map(|f| f.lasts.as_secs_f64()).sum();
            let slowest = faults.iter().filter_map(|f| self.recovery(f)).max();
            let slowest = slowest.map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            text += &format!("{:<22} {:>5}  {seconds:>7.1}  {slowest}\n", faults[0].name(), faults.len());
        }
        text += "\nsignal      sent   lost  double  requests resent  bound\n";
        for ((name, ..), s) in SIGNALS.iter().zip(&self.signals) {
            text += &format!(
                "{name:<8} {:>7}  {:>5}  {:>6}  {:>15}  {:>5}\n",
                s.sent, s.lost, s.double, s.resent, s.resent_bound
            );
        }
        let Frames { sent, resent, duplicates, bound } = &self.frames;
        text += &format!(
            "\nframes from the agent: {sent} sent, {resent} of them again, {duplicates} came twice; bound {bound}\n"
        );
        let [agent, aggregator] = self.resident().map(|bytes| bytes >> 20);
        let [most_agent, most_aggregator] = RESIDENT.map(|bytes| bytes >> 20);
        text += &format!(
            "ledger balanced: {}\nmemory: agent {agent} MiB of {most_agent}, aggregator {aggregator} MiB of \
             {most_aggregator}\nlongest time without a sample: {:.1} s\ndrained within {:.1} s of the last fault\n",
            if self.ledger.is_ok() { "yes" } else { "no" },
            self.gap_s,
            self.drained.as_secs_f64(),
        );
        text
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        let sum = |of: fn(&Signal) -> u64| self.signals.iter().map(of).sum::<u64>();
        let signals: BTreeMap<&str, &Signal> =
            SIGNALS.iter().map(|(name, ..)| *name).zip(&self.signals).collect();
        let mut faults = BTreeMap::<String, u64>::new();
        for fault in &self.done {
            *faults.entry(fault.name()).or_default() += 1;
        }
        let mut recovered: Vec<f64> =
            self.done.iter().filter_map(|f| Some(self.recovery(f)?.as_secs_f64())).collect();
        recovered.sort_by(f64::total_cmp);
        let [agent, aggregator] = self.resident();
        json!({
            "minutes": self.minutes, "seed": self.seed,
            "sent": sum(|s| s.sent), "lost": sum(|s| s.lost), "double": sum(|s| s.double),
            "resent": sum(|s| s.resent), "resent_bound": sum(|s| s.resent_bound),
            "ledger_balanced": self.ledger.is_ok(),
            "signals": signals, "frames": self.frames, "faults": faults,
            "skipped": self.skipped.iter().map(Fault::name).collect::<Vec<_>>(),
            "recovery_seconds": recovered, "resident_bytes": {"agent": agent, "aggregator": aggregator},
            "longest_gap_seconds": self.gap_s, "drained_seconds": self.drained.as_secs_f64(),
            "wrong": self.wrong(),
        })
    }
}
