//! What of the written lines has arrived: a bit for each, so that millions of them need little room.

use std::sync::Arc;

use super::containers::Written;
use super::line;
use crate::loki::Line;

/// How many examples are kept.
const EXAMPLES: usize = 5;

/// Counts what came so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Different lines that came as they were written.
    pub delivered: u64,
    /// Lines that are not as any was written: parts of one, or of several.
    pub split: u64,
    /// Lines that came again.
    pub double: u64,
    /// Lines with a time or a pod that is not theirs.
    pub misplaced: u64,
    /// Some of what is wrong, for people.
    pub examples: Vec<String>,
}

/// Which lines came.
pub struct Tally {
    written: Arc<Written>,
    /// By file; bits by number.
    came: Vec<Vec<u64>>,
    counts: Counts,
}

impl Tally {
    /// None yet of what somebody writes.
    pub fn new(written: Arc<Written>) -> Self {
        let came = vec![Vec::new(); written.files()];
        Self { written, came, counts: Counts::default() }
    }

    /// Takes a line that came.
    pub fn take(&mut self, line: &Line) {
        let which = line::parse(&line.text).filter(|which| which.number < self.written.of(which.file));
        let Some(which) = which else {
            self.counts.split += 1;
            return self.example(|| format!("not as it was written: {:?}", line.text));
        };
        let pod = format!("pod=\"{}\"", super::pod(which.file));
        if line.at_ns as u64 != which.at_ns || !line.labels.contains(&pod) {
            self.counts.misplaced += 1;
            self.example(|| format!("{which:?} came at {} from {}", line.at_ns, line.labels));
        }
        let (word, bit) = ((which.number / 64) as usize, 1 << (which.number % 64));
        let bits = &mut self.came[which.file];
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        if bits[word] & bit == 0 {
            bits[word] |= bit;
            self.counts.delivered += 1;
        } else {
            self.counts.double += 1;
            self.example(|| format!("{which:?} came again"));
        }
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.counts.examples.len() < EXAMPLES {
            self.counts.examples.push(text());
        }
    }

    /// What came so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The first gaps: file, and numbers of lines that were written and are not there.
    pub fn gaps(&self) -> Vec<(usize, std::ops::Range<u64>)> {
        let mut gaps = Vec::new();
        for (file, bits) in self.came.iter().enumerate() {
            let is_here =
                |n: u64| bits.get((n / 64) as usize).is_some_and(|word| word & (1 << (n % 64)) != 0);
            let mut begin = None;
            for n in 0..=self.written.of(file) {
                let gap = n < self.written.of(file) && !is_here(n);
                match begin {
                    None if gap => begin = Some(n),
                    Some(from) if !gap => {
                        gaps.push((file, from..n));
                        begin = None;
                    }
                    _ => {}
                }
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::line::{Which, text};

    fn came(file: usize, number: u64) -> Line {
        let which = Which { file, number, at_ns: 5 };
        let labels = format!("{{pod=\"{}\"}}", crate::storm::pod(file));
        Line { labels, at_ns: 5, text: text(which), metadata: Vec::new(), request: 0 }
    }

    /// Scenario: lines that come once, twice, with another time, in part, and one that nobody has written.
    /// Guarantees: each is counted as what it is, and the gaps are those that did not come.
    #[test]
    fn each_is_counted_as_what_it_is() {
        let written = Arc::new(Written::new(2));
        written.add(0, 200);
        written.add(1, 3);
        let mut tally = Tally::new(written);
        for number in (0..200).filter(|n| !(70..75).contains(n)) {
            tally.take(&came(0, number));
        }
        tally.take(&came(0, 64));
        tally.take(&came(0, 200));
        tally.take(&Line { at_ns: 6, ..came(1, 1) });
        let whole = came(1, 2);
        tally.take(&Line { text: whole.text[1..].to_owned(), ..whole });
        let Counts { delivered, split, double, misplaced, .. } = tally.counts().clone();
        assert_eq!((delivered, split, double, misplaced), (196, 2, 1, 1));
        assert_eq!(tally.gaps(), [(0, 70..75), (1, 0..1), (1, 2..3)]);
    }
}
