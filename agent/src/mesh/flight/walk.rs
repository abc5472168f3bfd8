//! A quick walk to a peer and its figures: hop by hop, a second between two probes to the same router.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::interval;

use crate::net::{Outcome, Probe, Prober, Way};

/// Nobody is farther away.
const MOST_HOPS: u8 = 30;
/// Routers answer one question of ours a second.
const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(900);

/// What is known of one distance. Short on the wire: address, sent, got, best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Option<IpAddr>, u32, u32, u64)", into = "(Option<IpAddr>, u32, u32, u64)")]
pub(crate) struct Hop {
    pub(crate) address: Option<IpAddr>,
    pub(crate) sent: u32,
    pub(crate) got: u32,
    /// The quickest round trip, microseconds.
    pub(crate) best_us: u64,
}

impl From<(Option<IpAddr>, u32, u32, u64)> for Hop {
    fn from((address, sent, got, best_us): (Option<IpAddr>, u32, u32, u64)) -> Self {
        Self { address, sent, got: got.min(sent), best_us }
    }
}

impl From<Hop> for (Option<IpAddr>, u32, u32, u64) {
    fn from(Hop { address, sent, got, best_us }: Hop) -> Self {
        (address, sent, got, best_us)
    }
}

impl Hop {
    /// Share of the probes without an answer.
    pub(crate) fn loss(&self) -> f64 {
        1.0 - f64::from(self.got) / f64::from(self.sent.max(1))
    }
}

/// Walks so many rounds. Where the end is not reached, one silent hop behind the last that answers stands for it.
pub(crate) async fn walk(prober: &Prober, dest: IpAddr, rounds: u32) -> Vec<Hop> {
    let mut client = prober.client(MOST_HOPS.into());
    let mut hops = vec![Hop::default(); MOST_HOPS.into()];
    let mut length = hops.len();
    let mut ticks = interval(EVERY);
    for _ in 0..rounds {
        ticks.tick().await;
        let mut under_way = 0;
        for (ttl, hop) in (1..).zip(&mut hops[..length]) {
            let way = Way::default();
            let probe = Probe {
                dest,
                source: None,
                ttl: Some(ttl),
                tos: 0,
                size: 56,
                timeout: TIMEOUT,
                key: ttl.into(),
                way,
            };
            if client.send(probe).await.is_err() {
                return Vec::new();
            }
            hop.sent += 1;
            under_way += 1;
        }
        while under_way > 0 {
            let Some(report) = client.recv().await else { return Vec::new() };
            let place = usize::try_from(report.key).unwrap_or(0).saturating_sub(1);
            let Some(hop) = hops.get_mut(place) else { continue };
            let (address, rtt) = match report.outcome {
                Outcome::Duplicate => continue,
                Outcome::Reply { rtt, .. } => {
                    length = length.min(place + 1);
                    (dest, rtt)
                }
                Outcome::Expired { from, rtt, .. } | Outcome::Unreachable { from, rtt, .. } => (from, rtt),
                Outcome::Timeout | Outcome::NotSent(_) => {
                    under_way -= 1;
                    continue;
                }
            };
            under_way -= 1;
            let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
            hop.best_us = if hop.got == 0 { micros } else { hop.best_us.min(micros) };
            hop.address = Some(address);
            hop.got += 1;
        }
        let answering = hops[..length].iter().rposition(|hop| hop.got > 0).map_or(0, |at| at + 1);
        length = length.min(answering + 1);
    }
    hops.truncate(length);
    hops
}
