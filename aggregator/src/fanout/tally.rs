//! Counts by the ledger's lines.

use std::collections::BTreeMap;

use ao_proto::v1::FrameHeader;

use crate::ledger::{Account, Count, Entry};

/// See the module.
pub(super) type Tally = BTreeMap<(Account, Entry), Count>;

/// Adds to a line of the tally.
pub(super) fn add(tally: &mut Tally, header: &FrameHeader, entry: Entry, count: Count) {
    if count != Count::default() {
        add_to(tally, (Account::of(header), entry), count);
    }
}

/// Adds to a line of the tally.
pub(super) fn add_to(tally: &mut Tally, key: (Account, Entry), count: Count) {
    let line = tally.entry(key).or_default();
    line.records += count.records;
    line.bytes += count.bytes;
}
