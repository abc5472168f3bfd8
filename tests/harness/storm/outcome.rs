//! What became of the lines: for people a table, for machines `target/report/log-storm.json`.

use std::cmp::Ordering;
use std::ops::Range;

use serde_json::{Value, json};

use super::{FILES, line};

/// Lines by what became of them, and what the agent's ledger says is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines in files.
    pub written: u64,
    /// Records that the agent has read, by its ledger; what it gave up unread among them.
    pub read: u64,
    /// Different lines that came.
    pub delivered: u64,
    /// Lines that came as none was written.
    pub split: u64,
    /// Lines that came again.
    pub double: u64,
    /// Lines with another's time or pod.
    pub misplaced: u64,
    /// Bytes of files that went unread, by the ledger.
    pub ledger_bytes: u64,
    /// Bytes that the ledger says were lost for any other reason.
    pub ledger_other_bytes: u64,
}

impl Count {
    /// What has come since.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            written: self.written - before.written,
            read: self.read.saturating_sub(before.read),
            delivered: self.delivered - before.delivered,
            split: self.split - before.split,
            double: self.double - before.double,
            misplaced: self.misplaced - before.misplaced,
            ledger_bytes: self.ledger_bytes.saturating_sub(before.ledger_bytes),
            ledger_other_bytes: self.ledger_other_bytes.saturating_sub(before.ledger_other_bytes),
        }
    }

    /// Lines that did not come.
    pub fn lost(&self) -> u64 {
        self.written.saturating_sub(self.delivered)
    }

    /// Lines that the ledger says are lost; a part of one is one.
    pub fn ledger_lost(&self) -> u64 {
        self.ledger_bytes.div_ceil(line::BYTES)
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let Self { split, double, misplaced, ledger_bytes, ledger_other_bytes, .. } = *self;
        if split + double + misplaced > 0 {
            wrong.push(format!("{split} lines are split, {double} double, {misplaced} not in their place"));
        }
        let lost_bytes = self.lost() * line::BYTES;
        if lost_bytes != ledger_bytes {
            wrong.push(format!(
                "{} lines, {lost_bytes} bytes, are lost; the ledger says {ledger_bytes}",
                self.lost()
            ));
        }
        if ledger_other_bytes > 0 {
            wrong.push(format!("the ledger has {ledger_other_bytes} bytes under other reasons"));
        }
        wrong
    }

    fn json(&self) -> Value {
        json!({
            "written": self.written, "delivered": self.delivered, "lost": self.lost(), "split": self.split,
            "double": self.double, "misplaced": self.misplaced, "ledger_lost": self.ledger_lost(),
            "lost_bytes": self.lost() * line::BYTES, "ledger_lost_bytes": self.ledger_bytes,
        })
    }
}

/// Lines at one rate.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Lines a second.
    pub rate: u64,
    /// Bytes at which logs were rotated.
    pub rotate: u64,
    /// How long they came.
    pub seconds: f64,
    /// Ends of the agent.
    pub kills: u64,
    /// Logs that were rotated.
    pub rotated: u64,
    /// Lines that the agent had not read when the last was written.
    pub behind: u64,
    /// How long until nothing was under way.
    pub drained_s: f64,
    /// What became of them.
    pub count: Count,
}

/// Everything that a run came to.
pub struct Outcome {
    /// Share of a processor.
    pub cores: f64,
    /// What held the agent to it.
    pub held_by: &'static str,
    /// Lines a second of an agent that always had some before it.
    pub fastest: f64,
    /// Budget for files that went unread, bytes.
    pub escrow: u64,
    /// At ever higher rates; R is the last at which nothing is lost.
    pub phases: Vec<Phase>,
    /// From the first line to the last.
    pub all: Count,
    /// Lines that did not come, by file.
    pub gaps: Vec<(usize, Range<u64>)>,
    /// The most memory that the agent held.
    pub resident_mib: u64,
    /// What else must not be.
    pub findings: Vec<String>,
}

impl Outcome {
    /// Everything that is wrong; none for a good run.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = self.findings.clone();
        wrong.extend(self.all.wrong());
        for phase in &self.phases {
            let rate = phase.rate;
            wrong.extend(phase.count.wrong().into_iter().map(|what| format!("at {rate} lines/s: {what}")));
            if phase.count.written < (rate as f64 * phase.seconds * 0.9) as u64 {
                wrong.push(format!("at {rate} lines/s only {} could be written", phase.count.written));
            }
        }
        let lossless = self.lossless();
        if lossless == 0 || lossless == self.phases.len() {
            let gaps: Vec<_> = self.gaps.iter().take(10).collect();
            wrong.push(format!(
                "of {} rates lines are lost at all but {lossless}: {gaps:?}",
                self.phases.len()
            ));
        }
        wrong
    }

    /// How many rates, from the lowest on, the agent sustained.
    fn lossless(&self) -> usize {
        self.phases.iter().take_while(|phase| phase.count.lost() == 0).count()
    }

    /// What each rate is called.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let lossless = self.lossless();
        (1..=self.phases.len()).map(move |n| match n.cmp(&lossless) {
            Ordering::Less => "below R",
            Ordering::Equal => "R",
            Ordering::Greater if n == lossless + 1 => "1.2 R",
            Ordering::Greater => "above R",
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "log storm: {FILES} logs, five files of each; the agent with {} of a processor ({}) reads {:.0} lines/s at \
             most and may keep {} KiB of unread files\n\n\
             rate     lines/s  seconds  kills  rotations     written   delivered    lost  ledger  split  double  behind\n",
            self.cores,
            self.held_by,
            self.fastest,
            self.escrow >> 10
        );
        for (phase, name) in self.phases.iter().zip(self.names()) {
            let Phase { rate, seconds, kills, rotated, behind, count, .. } = phase;
            text += &format!(
                "{name:<8} {rate:>8} {seconds:>8.1} {kills:>6} {rotated:>10} {:>11} {:>11} {:>7} {:>7} {:>6} {:>7} {behind:>7}\n",
                count.written,
                count.delivered,
                count.lost(),
                count.ledger_lost(),
                count.split,
                count.double
            );
        }
        text + &format!("\nthe agent held {} MiB at most\n", self.resident_mib)
    }

    /// For machines; at the top the sums of everything.
    pub fn json(&self) -> Value {
        let phase = |(phase, name): (&Phase, &str)| {
            let mut value = phase.count.json();
            value["phase"] = json!(name);
            value["lines_per_s"] = json!(phase.rate);
            value["seconds"] = json!(phase.seconds);
            value["kills"] = json!(phase.kills);
            value["rotated_at_bytes"] = json!(phase.rotate);
            value["rotated"] = json!(phase.rotated);
            value["behind"] = json!(phase.behind);
            value["drained_seconds"] = json!(phase.drained_s);
            value
        };
        let mut value = self.all.json();
        value["phases"] = self.phases.iter().zip(self.names()).map(phase).collect();
        value["gaps"] = self.gaps.iter().map(|(file, lines)| json!([file, lines.start, lines.end])).collect();
        value["files"] = json!(FILES);
        value["line_bytes"] = json!(line::BYTES);
        value["escrow_bytes"] = json!(self.escrow);
        value["quota"] = json!({"cores": self.cores, "by": self.held_by, "lines_per_s": self.fastest});
        value["resident_mib"] = json!(self.resident_mib);
        value["wrong"] = json!(self.wrong());
        value
    }
}
