//! A quick walk to a peer and its figures: hop by hop, within the routers' budget of answers. Each router that is known is
//! pinged by itself, too: its answers to that have another limit, or none (icmp_ratemask in Linux' ip-sysctl).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::net::{Client, Grant, Outcome, PAUSE, Probe, Prober, Report, TURNS};

/// Nobody is farther away.
const MOST_HOPS: u8 = 30;
/// Routers answer one question of ours a second.
const EVERY: Duration = PAUSE.saturating_add(Duration::from_millis(20));
/// Rounds of a walk: so many say where a third of the packets is lost.
const ROUNDS: u32 = 15;
/// The longest that a round takes where others walk, too.
const TURN: Duration = Duration::from_secs(2);
/// A walk that began longer ago shows too much of the times before.
const JOINED: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_millis(900);
/// In a key: a ping of the router itself, and no probe that expires there.
const PING: u64 = 1 << 8;

/// [`Hop`] on the wire.
type Short = (Option<IpAddr>, u32, u32, u64, u32, u32);

/// What is known of one distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Short", into = "Short")]
pub(crate) struct Hop {
    pub(crate) address: Option<IpAddr>,
    pub(crate) sent: u32,
    pub(crate) got: u32,
    /// The quickest round trip, microseconds.
    pub(crate) best_us: u64,
    /// Pings of the router itself, and their answers.
    pub(crate) pinged: u32,
    pub(crate) ponged: u32,
}

impl From<Short> for Hop {
    fn from((address, sent, got, best_us, pinged, ponged): Short) -> Self {
        Self { address, sent, got: got.min(sent), best_us, pinged, ponged: ponged.min(pinged) }
    }
}

impl From<Hop> for Short {
    fn from(Hop { address, sent, got, best_us, pinged, ponged }: Hop) -> Self {
        (address, sent, got, best_us, pinged, ponged)
    }
}

impl Hop {
    /// Share of the probes without an answer; 0 where there was none.
    pub(crate) fn loss(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { 1.0 - f64::from(self.got) / f64::from(self.sent) }
    }
}

/// The hops so far, for whoever cannot wait for the end. Where the target is not reached, one silent hop behind the last
/// that answers stands for it, unless a router says that it goes no further.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(Arc<Mutex<Vec<Hop>>>);

impl Steps {
    /// Those so far.
    pub(crate) fn hops(&self) -> Vec<Hop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Walks so many rounds, from an address of this node's where one is given.
    pub(crate) async fn walk(&self, prober: &Prober, source: Option<IpAddr>, dest: IpAddr, rounds: u32) {
        let source = source.filter(|source| source.is_ipv6() == dest.is_ipv6());
        let to = |dest| Probe { source, timeout: TIMEOUT, ..Probe::to(dest) };
        let mut client = prober.client(2 * usize::from(MOST_HOPS));
        let mut hops = vec![Hop::default(); MOST_HOPS.into()];
        let (mut length, mut reached) = (hops.len(), hops.len());
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = Instant::now() + TURN * rounds;
        for _ in 0..rounds {
            ticks.tick().await;
            if Instant::now() >= end {
                break;
            }
            let Some(mut under_way) = ask(prober, &client, (dest, &to), &mut hops[..length]).await else {
                return;
            };
            // Where routers say in this round that it goes no further.
            let mut ends = hops.len();
            while under_way > 0 {
                let Some(report) = client.recv().await else { return };
                under_way -= u32::from(!matches!(report.outcome, Outcome::Duplicate));
                match take(prober, dest, &mut hops, &report) {
                    Some(End::Target(at)) => reached = reached.min(at),
                    Some(End::Router(at)) => ends = ends.min(at),
                    None => {}
                }
            }
            length = length_of(&hops[..reached]);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = hops[..length.min(ends)].to_vec();
        }
    }
}

/// The walks of a node: who wants one to where another has just begun joins that one, since a router gives but one answer a
/// second. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walks(Arc<Mutex<HashMap<IpAddr, Walk>>>);

/// A walk under way or over.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    steps: Steps,
    began: Instant,
    over: watch::Receiver<bool>,
}

impl Walk {
    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Vec<Hop> {
        // The walk is gone only when the agent ends.
        let _over = self.over.wait_for(|over| *over).await;
        self.steps.hops()
    }

    /// So far.
    pub(crate) fn hops(&self) -> Vec<Hop> {
        self.steps.hops()
    }
}

impl Walks {
    /// Begins a walk, or joins one.
    pub(crate) fn begin(&self, prober: &Arc<Prober>, source: Option<IpAddr>, dest: IpAddr) -> Walk {
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        walks.retain(|_, walk| walk.began.elapsed() < JOINED);
        let walk = walks.entry(dest).or_insert_with(|| {
            let (steps, (ends, over), prober) = (Steps::default(), watch::channel(false), Arc::clone(prober));
            let walked = steps.clone();
            tokio::spawn(async move {
                walked.walk(&prober, source, dest, ROUNDS).await;
                ends.send_replace(true);
            });
            Walk { steps, began: Instant::now(), over }
        });
        walk.clone()
    }
}

/// A probe to each hop whose router may be asked now; how many have left. `None` where the agent stops.
async fn ask(
    prober: &Prober,
    client: &Client,
    (dest, to): (IpAddr, &impl Fn(IpAddr) -> Probe),
    hops: &mut [Hop],
) -> Option<u32> {
    let mut under_way = 0;
    for (ttl, hop) in (1_u8..).zip(hops) {
        if let Some(router) = hop.address.filter(|address| *address != dest) {
            let probe = Probe { key: PING | u64::from(ttl), ..to(router) };
            client.send(probe).await.ok()?;
            hop.pinged += 1;
            under_way += 1;
        }
        let granted = prober.budget().reserve(dest, ttl, hop.address, true, TURNS, Instant::now());
        let Grant::At(at, asked) = granted else { continue };
        sleep_until(at).await;
        loop {
            let started = prober.budget().start(asked, Instant::now());
            let Err(later) = started else { break };
            sleep_until(later).await;
        }
        let probe = Probe { ttl: Some(ttl), key: ttl.into(), ..to(dest) };
        client.send(probe).await.ok()?;
        hop.sent += 1;
        under_way += 1;
    }
    Some(under_way)
}

/// How far a way is known to go, up to its target where that is reached: one that does not answer now, or was not asked, may
/// answer in the next round.
fn length_of(hops: &[Hop]) -> usize {
    let answering = hops.iter().rposition(|hop| hop.got > 0).map_or(0, |at| at + 1);
    (answering + 1).min(hops.len())
}

/// The number of the last hop, by who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Target(usize),
    /// It knows no way on.
    Router(usize),
}

/// Takes a report; the path's end, where it goes no further.
fn take(prober: &Prober, dest: IpAddr, hops: &mut [Hop], report: &Report) -> Option<End> {
    let ttl = (report.key & 0xff) as u8;
    let place = usize::from(ttl).checked_sub(1)?;
    let hop = hops.get_mut(place)?;
    if report.key & PING != 0 {
        match report.outcome {
            Outcome::Reply { .. } => hop.ponged += 1,
            Outcome::Duplicate | Outcome::Timeout => {}
            // Nobody knows a way to that address: it says nothing.
            Outcome::Expired { .. } | Outcome::Unreachable { .. } | Outcome::NotSent(_) => hop.pinged -= 1,
        }
        return None;
    }
    let (address, rtt) = match report.outcome {
        Outcome::Reply { rtt, .. } => (dest, rtt),
        Outcome::Expired { from, rtt, .. } => {
            prober.budget().answered((dest, ttl), from, rtt, Instant::now());
            (from, rtt)
        }
        Outcome::Unreachable { from, rtt, .. } if from == dest => (dest, rtt),
        // It goes no further, and who says so is no hop that has let the probe pass.
        Outcome::Unreachable { from, rtt, .. } => {
            prober.budget().answered((dest, ttl), from, rtt, Instant::now());
            hop.address = Some(from);
            return Some(End::Router(place + 1));
        }
        Outcome::Duplicate | Outcome::Timeout => return None,
        // It says nothing of the way.
        Outcome::NotSent(_) => {
            hop.sent -= 1;
            return None;
        }
    };
    let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
    hop.best_us = if hop.got == 0 { micros } else { hop.best_us.min(micros) };
    hop.address = Some(address);
    hop.got += 1;
    (address == dest).then_some(End::Target(place + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a way of four, by who has answered so far: none, since the first router was asked too often; the first; the
    /// second after all; the third; the target, known to be there.
    /// Guarantees: it grows with each that answers, with a silent hop behind the last, and none behind the target.
    #[test]
    fn grows_again() {
        let mut hops = vec![Hop::default(); MOST_HOPS.into()];
        assert_eq!(length_of(&hops), 1);
        for (place, length) in [(0, 2), (1, 3), (2, 4)] {
            hops[place].got = 1;
            assert_eq!(length_of(&hops), length);
        }
        assert_eq!(length_of(&hops[..4]), 4);
        hops[3].got = 1;
        assert_eq!(length_of(&hops[..4]), 4);
    }
}
