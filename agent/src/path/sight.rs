//! What the passes of one flow have shown in a round. No I/O.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use super::strategy::Seen;

/// What one flow has shown in a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Its number.
    pub(super) flow: u8,
    /// By TTL from 1: all who answered there.
    pub(super) hops: Vec<BTreeSet<IpAddr>>,
    /// TTL of the target, where it was reached.
    pub(super) length: Option<usize>,
    /// Places of the hops that were not asked.
    pub(super) unasked: BTreeSet<usize>,
}

impl Sight {
    /// Adds what a pass has shown.
    pub(super) fn look(&mut self, seen: &[Seen], first_hop: u8) {
        let left_out = unproven(seen, first_hop);
        // Nothing is known of where the path ends.
        let seen = if left_out.is_empty() { seen } else { &seen[..left_out.start] };
        for (at, seen) in seen.iter().enumerate() {
            if at >= self.hops.len() {
                self.hops.push(Default::default());
            }
            self.hops[at].extend(seen.met());
            if matches!(seen, Seen::Shared { .. } | Seen::Skipped) {
                self.unasked.insert(at);
            }
        }
        if let Some(Seen::Target { .. }) = seen.last() {
            // One that was met farther on in another pass was lost where it is.
            let length = self.length.map_or(seen.len(), |length| length.min(seen.len()));
            self.length = Some(length);
            self.hops.truncate(length);
        }
    }
}

/// The hops just before the target that were not asked for want of budget: it may stand at each of them.
pub(super) fn unproven(seen: &[Seen], first_hop: u8) -> Range<usize> {
    let Some((Seen::Target { .. }, before)) = seen.split_last() else { return 0..0 };
    let asked = before.iter().rposition(|seen| *seen != Seen::Skipped).map_or(0, |at| at + 1);
    asked.max(usize::from(first_hop.max(1)) - 1)..before.len()
}
