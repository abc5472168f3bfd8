//! What is so when all is well: the way to each peer, by a walk now and then, one at a time, so that a delay can be told
//! from what has always been there; and what the host drops.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::background::Background;
use super::walk::{Hop, Steps};
use crate::net::Prober;

/// Rounds of such a walk.
const ROUNDS: u32 = 3;
/// How old it may become.
const OLD: Duration = Duration::from_secs(600);

/// When somebody walked to each peer, and what was seen.
type Known = HashMap<IpAddr, (Instant, Vec<Hop>)>;

/// What is known. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usual {
    known: Arc<Mutex<Known>>,
    background: Background,
}

impl Usual {
    /// What the host drops at all times.
    pub(super) fn background(&self) -> &Background {
        &self.background
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hops to a peer.
    pub(super) fn hops(&self, to: IpAddr) -> Vec<Hop> {
        self.known().get(&to).map(|(_, hops)| hops.clone()).unwrap_or_default()
    }

    /// Best round trips in microseconds of the hops of a walk as it used to be, 0 where another router answered or none.
    pub(super) fn round_trips(&self, to: IpAddr, hops: &[Hop]) -> Vec<u64> {
        round_trips(&self.hops(to), hops)
    }

    /// Of these peers, which are well, one whose walk is due; others that were known stay known.
    pub(super) fn due(&self, well: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
        let known = self.known();
        let age = |peer: &IpAddr| known.get(peer).map_or(Duration::MAX, |(at, _)| at.elapsed());
        well.map(|peer| (age(&peer), peer)).max().filter(|(age, _)| *age >= OLD).map(|(_, peer)| peer)
    }

    /// A walk has ended, and the peer is still well.
    pub(super) fn learn(&self, to: IpAddr, hops: Vec<Hop>) {
        self.known().insert(to, (Instant::now(), hops));
    }

    /// Keeps those of peers that there are.
    pub(super) fn keep(&self, is_peer: impl Fn(&IpAddr) -> bool) {
        self.known().retain(|peer, _| is_peer(peer));
    }
}

/// Walks to a peer.
pub(super) async fn walk(prober: Arc<Prober>, own: Option<IpAddr>, to: IpAddr) -> (IpAddr, Vec<Hop>) {
    let steps = Steps::default();
    steps.walk(&prober, own, to, ROUNDS).await;
    (to, steps.hops())
}

/// See [`Usual::round_trips`].
pub(super) fn round_trips(usual: &[Hop], hops: &[Hop]) -> Vec<u64> {
    let of = |(at, hop): (usize, &Hop)| {
        usual.get(at).filter(|usual| usual.address == hop.address && usual.got > 0).map_or(0, |u| u.best_us)
    };
    hops.iter().enumerate().map(of).collect()
}
