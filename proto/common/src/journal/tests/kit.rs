//! What the tests share: a fold that counts, and short hands.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::super::catalog::locked;
use super::super::*;

/// A frame of the tests: its number, then filling.
pub(super) fn frame(number: u64, size: usize) -> Bytes {
    let mut frame = number.to_le_bytes().to_vec();
    frame.resize(size.max(8), number as u8);
    frame.into()
}

/// The number in a frame.
pub(super) fn number(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[..8].try_into().expect("a frame of the tests"))
}

pub(super) fn plain(number: u64, size: usize) -> Append {
    Append { frame: frame(number, size), keyframe: None }
}

pub(super) fn keyed(number: u64, key: Key) -> Append {
    Append { frame: frame(number, 40), keyframe: Some((key, Bytes::from(format!("keyframe {key}")))) }
}

/// The numbers of all frames applied and not shed, and of those shed with who missed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) applied: Vec<u64>,
    pub(super) shed: Vec<(u64, String)>,
}

/// A fold that remembers all; a clone looks at the same.
#[derive(Clone, Default)]
pub(super) struct Counting(pub(super) Arc<Mutex<Counts>>);

impl Counting {
    pub(super) fn counts(&self) -> Counts {
        locked(&self.0).clone()
    }
}

impl Fold for Counting {
    fn restore(&mut self, snapshot: &[u8]) {
        let mut counts = locked(&self.0);
        assert_eq!(*counts, Counts::default(), "restore comes first and once");
        for line in std::str::from_utf8(snapshot).expect("text").lines() {
            let parts = Vec::from_iter(line.split(' '));
            let [first, step, times] = [0, 1, 2].map(|n| parts[n].parse::<u64>().expect("a number"));
            let run = (0..times).map(|n| first + n * step);
            match parts.get(3) {
                None => counts.applied.extend(run),
                Some(names) => counts.shed.extend(run.map(|number| (number, (*names).to_owned()))),
            }
        }
    }

    fn apply(&mut self, frame: &[u8]) {
        locked(&self.0).applied.push(number(frame));
    }

    fn shed(&mut self, frame: &[u8], unread_by: &[&str]) {
        locked(&self.0).shed.push((number(frame), unread_by.join(",")));
    }

    fn snapshot(&self) -> Vec<u8> {
        let counts = locked(&self.0);
        let applied = counts.applied.iter().map(|number| (*number, String::new()));
        let shed = counts.shed.iter().map(|(number, names)| (*number, format!(" {names}")));
        // Runs of equal steps, so that it stays small as a real one does.
        let mut runs: Vec<(u64, u64, u64, String)> = Vec::new();
        for (number, names) in applied.chain(shed) {
            match runs.last_mut().filter(|run| run.3 == names && number > run.0) {
                Some(run) if run.2 == 1 => (run.1, run.2) = (number - run.0, 2),
                Some(run) if number == run.0 + run.1 * run.2 => run.2 += 1,
                _ => runs.push((number, 1, 1, names)),
            }
        }
        let lines = runs.iter().map(|(first, step, times, names)| format!("{first} {step} {times}{names}\n"));
        lines.collect::<String>().into_bytes()
    }
}

pub(super) const SMALL: Options =
    Options { segment_bytes: 1 << 10, segment_age: Duration::from_secs(3600), budget_bytes: 1 << 30 };

pub(super) fn one(fold: &Counting) -> Vec<Class> {
    vec![Class { name: "metrics", fold: Box::new(fold.clone()) }]
}

/// Opens with one class.
pub(super) fn open(dir: &Path, options: Options) -> (Journal, Counting) {
    let fold = Counting::default();
    (Journal::open(dir, one(&fold), options).expect("opens"), fold)
}

/// Appends and waits.
pub(super) async fn store(journal: &Journal, class: usize, frames: Vec<Append>) -> Position {
    journal.append(class, frames).await.expect("queued").durable().await.expect("durable")
}

/// All that is there, from a position on.
pub(super) fn read(journal: &Journal, class: usize, from: Position) -> Vec<Record> {
    let mut reader = journal.reader(class, from);
    std::iter::from_fn(|| reader.read().expect("readable")).collect()
}

pub(super) fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| number(&record.frame)).collect()
}
