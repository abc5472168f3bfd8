//! What became of a run of frames, as lines of the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ao_common::journal::Position;
use ao_proto::v1::FrameHeader;

use super::deliver::Settled;
use super::intent::LeftOut;
use super::tally::{Tally, add};
use super::tap::Run;
use crate::ledger::{Count, Entry};
use crate::sink::api::{Decoded, DropReason};

/// A run that is through.
pub(super) struct Outcome {
    pub(super) run: Run,
    /// For each of its frames.
    pub(super) left_out: Vec<LeftOut>,
    pub(super) settled: Settled,
}

impl Outcome {
    /// Every frame that ends behind a position: dropped, or else delivered.
    pub(super) fn tally(&self, sink: &'static str, from: Position) -> Tally {
        let mut tally = Tally::new();
        for (end, undecodable) in &self.run.undecodable {
            if *end > from {
                let entry = Entry::Dropped(sink, DropReason::Undecodable.name());
                add(&mut tally, &undecodable.0, entry, Count::of(&undecodable.0));
            }
        }
        let dropped = self.dropped();
        for frame in self.run.frames.iter().filter(|frame| frame.end > from) {
            let none = BTreeMap::new();
            let dropped = dropped.get(&Arc::as_ptr(frame)).unwrap_or(&none);
            share(&mut tally, sink, &frame.header, frame.telemetry.records().len() as u64, dropped);
        }
        tally
    }

    /// Records that were not delivered, by frame and reason.
    fn dropped(&self) -> HashMap<*const Decoded, BTreeMap<DropReason, u64>> {
        let mut dropped: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        let left_out = self.run.frames.iter().zip(&self.left_out);
        let left_out = left_out.flat_map(|(frame, one)| one.values().map(move |reason| (frame, *reason, 1)));
        let refused = self.settled.refused.iter().map(|one| (&one.frame, one.reason, 1));
        let unnamed = self.settled.unnamed.iter().map(|(frame, count)| (frame, DropReason::Refused, *count));
        for (frame, reason, count) in left_out.chain(refused).chain(unnamed) {
            *dropped.entry(Arc::as_ptr(frame)).or_default().entry(reason).or_default() += count;
        }
        dropped
    }
}

/// A frame's count in shares: what was dropped of its `records`, the others delivered.
fn share(
    tally: &mut Tally,
    sink: &'static str,
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
        add(tally, header, Entry::Dropped(sink, reason.name()), share);
    }
    add(tally, header, Entry::Delivered(sink), left);
}
