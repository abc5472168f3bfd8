//! One pass over the hops of a path: which TTL is probed next, and when it is over. A pure state machine over a
//! network of two methods. A pass is one flow's.

use std::net::IpAddr;
use std::time::Duration;

use super::config::Config;
use crate::net::Labels;

/// Probes without an answer at once, while the path's length is not known. Each one too many goes to the target itself.
const WINDOW: usize = 4;

/// What a pass needs of the network.
pub(super) trait Network {
    /// Sends one probe.
    async fn send_probe(&mut self, ask: Ask);

    /// What became of one of the probes, by pass and TTL; each sent one has exactly one answer. `None` when the network is
    /// gone.
    async fn recv_probe(&mut self) -> Option<(u64, u8, Seen)>;
}

/// A probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Number of the pass: an answer to an earlier one that comes now is not this one's.
    pub(super) pass: u64,
    /// Of the flows to the target.
    pub(super) flow: u8,
    /// From 1.
    pub(super) ttl: u8,
    /// Who alone answers there, as far as known.
    pub(super) known: Option<IpAddr>,
}

/// What became of the probe to one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A router let it expire.
    Router {
        /// Its address.
        from: IpAddr,
        /// Send to receive.
        rtt: Duration,
        /// MPLS labels with which the probe came to it.
        labels: Labels,
    },
    /// Not probed: the router has just been asked by the probe to another target, and says of its own what it said then.
    Shared {
        /// Its address.
        from: IpAddr,
        /// Send to receive; `None` where it gave no answer.
        rtt: Option<Duration>,
    },
    /// The target answered.
    Target {
        /// Its address.
        from: IpAddr,
        /// Send to receive.
        rtt: Duration,
    },
    /// A router knows that it goes no further.
    Refused {
        /// Its address.
        from: IpAddr,
        /// Send to receive.
        rtt: Duration,
    },
    /// No answer in time.
    Silent,
    /// Not probed: the router's budget was spent.
    Skipped,
}

impl Seen {
    /// Who answered, and how fast.
    pub(super) fn answer(self) -> Option<(IpAddr, Duration)> {
        match self {
            Self::Router { from, rtt, .. }
            | Self::Shared { from, rtt: Some(rtt) }
            | Self::Target { from, rtt }
            | Self::Refused { from, rtt } => Some((from, rtt)),
            Self::Shared { rtt: None, .. } | Self::Silent | Self::Skipped => None,
        }
    }

    /// Who was met there, as far as this probe itself has shown it.
    pub(super) fn met(self) -> Option<IpAddr> {
        if matches!(self, Self::Shared { .. }) { None } else { self.answer().map(|(from, _)| from) }
    }

    fn is_end(self) -> bool {
        matches!(self, Self::Target { .. } | Self::Refused { .. })
    }
}

/// The state of a pass.
#[derive(Debug)]
pub(super) struct Pass {
    pass: u64,
    flow: u8,
    /// Who answers by TTL from 1.
    known: Vec<Option<IpAddr>>,
    /// TTLs below it are not asked.
    first: usize,
    max_hops: usize,
    max_unknown: usize,
    /// The path's length in the pass before.
    length: Option<usize>,
    /// By TTL from 1; `None` while under way.
    hops: Vec<Option<Seen>>,
    /// The lowest TTL at which the path ended.
    end: Option<usize>,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Send(u8),
    Wait,
    Done,
}

impl Pass {
    /// `length` is the path's length as far as known: up to it all probes go out at once.
    pub(super) fn new(
        config: &Config,
        (pass, flow): (u64, u8),
        known: Vec<Option<IpAddr>>,
        length: Option<u8>,
    ) -> Self {
        let Config { first_hop, max_hops, max_unknown, .. } = *config;
        Self {
            pass,
            flow,
            known,
            first: usize::from(first_hop.max(1)),
            max_hops: usize::from(max_hops.max(1)),
            max_unknown: usize::from(max_unknown.max(1)),
            length: length.map(usize::from),
            hops: Vec::new(),
            end: None,
        }
    }

    /// Runs the pass; gives what was seen, by TTL from 1. Its last element is the path's end, or the last hop that
    /// was asked where none was found.
    pub(super) async fn run(mut self, network: &mut impl Network) -> Vec<Seen> {
        self.hops.resize(self.first - 1, Some(Seen::Skipped));
        loop {
            match self.step() {
                Step::Send(ttl) => {
                    self.hops.push(None);
                    let known = self.known.get(usize::from(ttl) - 1).copied().flatten();
                    network.send_probe(Ask { pass: self.pass, flow: self.flow, ttl, known }).await;
                }
                Step::Wait => match network.recv_probe().await {
                    Some((pass, ttl, seen)) if pass == self.pass => self.take(ttl, seen),
                    Some(_of_another) => {}
                    None => break,
                },
                Step::Done => break,
            }
        }
        self.hops.truncate(self.end.unwrap_or(self.hops.len()));
        self.hops.into_iter().map(|hop| hop.unwrap_or(Seen::Silent)).collect()
    }

    fn step(&self) -> Step {
        let next = self.hops.len() + 1;
        let wanted = &self.hops[..self.end.unwrap_or(self.hops.len())];
        let under_way = wanted.iter().filter(|hop| hop.is_none()).count();
        let within = next <= self.end.unwrap_or(self.max_hops) && !self.is_lost();
        let free = match self.length {
            Some(length) if next <= length => true,
            // Beyond the known length only when its end has not proved to be there.
            Some(length) if length < next && self.hops.get(length - 1).is_some_and(Option::is_none) => false,
            _ => under_way < WINDOW,
        };
        match u8::try_from(next) {
            Ok(ttl) if within && free => Step::Send(ttl),
            _ if under_way > 0 => Step::Wait,
            _ => Step::Done,
        }
    }

    /// The last hops were all silent, as far as their probes have ended.
    fn is_lost(&self) -> bool {
        let ended = self.hops.iter().rev().flatten();
        let silent = ended.take_while(|seen| **seen == Seen::Silent).count();
        // A known path is asked to its end.
        silent >= self.max_unknown && self.length.is_none_or(|length| self.hops.len() >= length)
    }

    fn take(&mut self, ttl: u8, seen: Seen) {
        let ttl = usize::from(ttl);
        let Some(hop) = ttl.checked_sub(1).and_then(|at| self.hops.get_mut(at)) else { return };
        *hop = Some(seen);
        if seen.is_end() {
            self.end = Some(self.end.map_or(ttl, |end| end.min(ttl)));
        }
    }
}

#[cfg(test)]
mod tests;
