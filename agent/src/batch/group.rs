//! The series of one group of samples, in as many tables as their keyframes need: mostly one.

use std::sync::Arc;

use crate::batch::series::SeriesTable;
use crate::event::{MetricSet, SampleText};
use crate::spool::Draft;

/// The series of one (source, group), across the sets that come in. A series stays in its table while it lives.
pub(crate) struct Group {
    agent: [u8; 16],
    base: Vec<(Arc<str>, Arc<str>)>,
    tables: Vec<SeriesTable>,
}

/// What one set became.
#[derive(Default)]
pub(crate) struct Encoded {
    /// For the spool.
    pub drafts: Vec<Draft>,
    /// Samples that named a series for the second time in one set; the first one counts.
    pub doubles: u64,
    /// Samples that are larger than any keyframe may be, alone.
    pub refused: u64,
}

impl Group {
    /// `base`: labels that every series gets unless it has its own.
    pub(crate) fn new(agent: [u8; 16], base: Vec<(Arc<str>, Arc<str>)>) -> Self {
        let tables = vec![SeriesTable::new(agent, base.clone())];
        Self { agent, base, tables }
    }

    /// Turns a set into frames, each with the keyframe that it needs.
    pub(crate) fn encode(&mut self, set: &MetricSet) -> Encoded {
        let mut done = Encoded::default();
        let mut rest: Vec<&SampleText> = Vec::new();
        let mut at = 0;
        while let Some((table, behind)) = self.tables.get_mut(at..).and_then(<[_]>::split_first_mut) {
            if at > 0 && rest.is_empty() && table.is_over() {
                self.tables.remove(at);
                continue;
            }
            // Where room came back, a series must not move while it lives: its marker would be at its sample's time.
            let elsewhere = |key: u64| behind.iter().any(|table| table.has(key));
            let encoded = if at == 0 {
                table.encode(set, &mut set.samples.iter(), &elsewhere)
            } else {
                table.encode(set, &mut rest.into_iter(), &elsewhere)
            };
            done.drafts.push(encoded.draft);
            done.doubles += encoded.doubles;
            done.refused += encoded.refused;
            rest = encoded.others;
            at += 1;
            if at == self.tables.len() && !rest.is_empty() {
                self.tables.push(SeriesTable::new(self.agent, self.base.clone()));
            }
        }
        self.tables.iter_mut().for_each(SeriesTable::rest);
        done
    }
}

#[cfg(test)]
mod tests;
