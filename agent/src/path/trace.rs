//! One target: its rounds, and what they have shown so far.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ao_common::clock;
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::hop::Hop;
use super::live::Live;
use super::route::{Change, Hops, KINDS, Route};
use super::sight::{Sight, unproven};
use super::strategy::{Network, Pass, Seen};
use crate::context::Node;
use crate::net::{self, Mode, PAUSE, Prober, TargetSpec};

/// Rounds in the beginning that look at all flows, so that the whole set is known soon.
const FIRST_SWEEPS: u64 = 4;

/// What is known of the path to one target.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) spec: TargetSpec,
    pub(super) address: Option<IpAddr>,
    /// By TTL from 1, of the canonical flow.
    pub(super) hops: Vec<Hop>,
    /// TTL at which the target answered last.
    pub(super) length: Option<usize>,
    /// TTL at which the newest pass ended by an answer, the target's or a refusal: nothing beyond it is asked before it.
    end: Option<usize>,
    /// The newest path of each flow that was looked at in the newest sweep.
    pub(super) flows: BTreeMap<u8, Hops>,
    /// Rounds that ended, and those that could not begin or send.
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// How long the newest round took.
    pub(super) duration: Duration,
    /// When the newest round began, nanoseconds since 1970.
    pub(super) began_ns: i64,
    /// Changes so far, in the order of [`KINDS`].
    pub(super) changes: [u64; 3],
    pub(super) route: Route,
    passes: u64,
    swept: Option<Instant>,
    sweeps: u64,
    failure_told: bool,
}

impl Trace {
    pub(super) fn new(spec: TargetSpec) -> Self {
        Self {
            spec,
            address: None,
            hops: Vec::new(),
            length: None,
            end: None,
            flows: BTreeMap::new(),
            runs: 0,
            failed: 0,
            duration: Duration::ZERO,
            began_ns: 0,
            changes: [0; 3],
            route: Route::default(),
            passes: 0,
            swept: None,
            sweeps: 0,
            failure_told: false,
        }
    }

    /// For a trace that ends soon: the other flows are looked at once.
    pub(super) fn briefly(spec: TargetSpec) -> Self {
        Self { sweeps: FIRST_SWEEPS - 1, ..Self::new(spec) }
    }

    /// How routers spread packets over several ways: none, flow or packet.
    pub(super) fn balancing(&self) -> &'static str {
        if self.hops.iter().any(Hop::is_spread) {
            "packet"
        } else if self.route.sets().any(|members| members.len() > 1) {
            "flow"
        } else {
            "none"
        }
    }

    /// Runs one round on the network; tells a change of path, which is to be accepted once the figures before it are
    /// handed on. `crowd` says how many targets there are beside this one.
    pub(super) async fn run(
        &mut self,
        config: &Config,
        node: &Node,
        prober: &Prober,
        crowd: usize,
    ) -> Option<Change> {
        let started = Instant::now();
        self.began_ns = clock::now_ns();
        let resolved = net::resolve(&self.spec.host, &node.roots.proc, self.address).await;
        let (failure, change) = match resolved {
            Ok(address) => {
                self.move_to(address);
                let mut live = Live::new(config, prober, address);
                // Only raw sockets choose ports and checksums.
                let flows = if prober.mode() == Mode::Raw { config.flows } else { 1 };
                let change = self.round(config, &mut live, flows, crowd).await;
                (live.failure, change)
            }
            Err(error) => (Some(error.to_string()), None),
        };
        self.duration = started.elapsed();
        self.count(failure);
        change
    }

    /// One round: the canonical flow, and all flows where it is time or something is suspected.
    pub(super) async fn round(
        &mut self,
        config: &Config,
        network: &mut impl Network,
        flows: u8,
        crowd: usize,
    ) -> Option<Change> {
        let started = Instant::now();
        let (mut canonical, mut newest) = (Sight::default(), Sight::default());
        for n in 0..config.queries.max(1) {
            sleep_until(started + PAUSE * n).await;
            newest = self.ask(config, network, &mut canonical).await;
        }
        // A path that changes while it is asked: what it was before must not make what it is now look like one more way.
        if flows > 1 && self.route.is_elsewhere(&newest) && !self.route.is_elsewhere(&canonical) {
            canonical = newest;
        }
        let mut sights = vec![canonical];
        if flows > 1 && (self.route.suspects(&sights[0]) || self.is_time_to_sweep(config, crowd)) {
            self.sweep(config, network, flows, &mut sights).await;
            // The same between the flows.
            let strangers = |sight: &Sight| self.route.meets_strangers(sight);
            if !strangers(&sights[0]) && sights.iter().any(strangers) {
                let again = self.ask(config, network, &mut Sight::default()).await;
                if self.route.is_elsewhere(&again) {
                    sights = vec![again];
                    self.sweep(config, network, flows, &mut sights).await;
                }
            }
            self.flows.retain(|flow, _| sights.iter().any(|sight| sight.flow == *flow));
        }
        for sight in &sights {
            let hops = self.whole(sight);
            self.flows.insert(sight.flow, hops);
        }
        self.route.take(&sights, config.hysteresis)
    }

    /// A pass of each of the other flows.
    async fn sweep(
        &mut self,
        config: &Config,
        network: &mut impl Network,
        flows: u8,
        sights: &mut Vec<Sight>,
    ) {
        for flow in self.route.flows(flows) {
            let seen = self.pass(config, network, flow).await;
            let mut sight = Sight { flow, ..Sight::default() };
            sight.look(&seen, config.first_hop);
            sights.push(sight);
        }
        (self.swept, self.sweeps) = (Some(Instant::now()), self.sweeps + 1);
    }

    /// One more pass of the canonical flow; what it alone has shown, which is added to `round`, too.
    async fn ask(&mut self, config: &Config, network: &mut impl Network, round: &mut Sight) -> Sight {
        let seen = self.pass(config, network, 0).await;
        self.take(&seen, config.window as usize);
        round.look(&seen, config.first_hop);
        let mut sight = Sight::default();
        sight.look(&seen, config.first_hop);
        sight
    }

    /// The hops of a flow: those that it met, and where nobody was asked, or an answer was lost before others that came,
    /// who is known to be there. A flow that ends in silence ends there.
    fn whole(&self, sight: &Sight) -> Hops {
        let known = self.known(sight.flow);
        let accepted: Vec<_> = self.route.sets().collect();
        let farthest = sight.hops.iter().rposition(|met| !met.is_empty()).unwrap_or(0);
        let there = |at: usize| {
            (at < farthest || sight.unasked.contains(&at)).then_some(())?;
            let who = known.get(at).copied().flatten()?;
            accepted.get(at).is_none_or(|set| set.is_empty() || set.contains(&who)).then_some(who)
        };
        let mut hops: Hops = sight
            .hops
            .iter()
            .enumerate()
            .map(|(at, met)| met.first().copied().or_else(|| there(at)))
            .collect();
        if let Some(end) = hops.iter().position(|hop| hop.is_some() && *hop == self.address) {
            hops.truncate(end + 1);
        }
        hops
    }

    /// Few targets are known at once; many would spend the budgets of the routers that they share, and wait for a random
    /// part of the time between two sweeps.
    fn is_time_to_sweep(&mut self, config: &Config, crowd: usize) -> bool {
        const FEW: usize = 8;
        if self.passes <= config.queries.max(1).into() {
            // The first report shall not wait.
            return false;
        }
        let now = Instant::now();
        let Some(swept) = self.swept else {
            if crowd <= FEW {
                return true;
            }
            // As if there had been one: `checked_sub` fails only right after the machine's start.
            let age = config.sweep.0.mul_f64(rand::random());
            self.swept = Some(now.checked_sub(age).unwrap_or(now));
            return false;
        };
        now.duration_since(swept) >= config.sweep.0 || (crowd <= FEW && self.sweeps < FIRST_SWEEPS)
    }

    async fn pass(&mut self, config: &Config, network: &mut impl Network, flow: u8) -> Vec<Seen> {
        self.passes += 1;
        let end = self.end.and_then(|end| u8::try_from(end).ok());
        let mut seen = Pass::new(config, (self.passes, flow), self.known(flow), end).run(network).await;
        // The target's own distance was left out for want of budget: what answered farther away stands for it.
        let left_out = unproven(&seen, config.first_hop);
        if let Some(length) = self.length.filter(|length| left_out.contains(&(length - 1))) {
            seen.drain(length - 1..seen.len() - 1);
        }
        seen
    }

    /// Who answers a flow at each TTL, where there is no doubt.
    fn known(&self, flow: u8) -> Hops {
        let mut known: Hops = match flow {
            0 => self.hops.iter().map(|hop| hop.address).collect(),
            _ => self.flows.get(&flow).cloned().unwrap_or_default(),
        };
        for (at, set) in self.route.sets().enumerate() {
            if at >= known.len() {
                known.push(None);
            }
            if known[at].is_none() && set.len() == 1 {
                known[at] = set.first().copied();
            }
        }
        known
    }

    /// Another address of the same name is another path: its hops begin anew, without counting as a change.
    fn move_to(&mut self, address: IpAddr) {
        if self.address.replace(address).is_some_and(|before| before != address) {
            self.hops.clear();
            self.flows.clear();
            (self.length, self.end) = (None, None);
            self.route = Route::default();
            (self.swept, self.sweeps) = (None, 0);
        }
    }

    fn take(&mut self, seen: &[Seen], window: usize) {
        let seen = self.without_echo(seen);
        for (at, seen) in seen.iter().enumerate() {
            if at >= self.hops.len() {
                self.hops.push(Hop::default());
            }
            // Where a router refuses what the target used to answer, the target has not.
            let refused = matches!(seen, Seen::Refused { .. }) && self.length == Some(at + 1);
            self.hops[at].add(if refused { Seen::Silent } else { *seen }, window);
        }
        let ended = matches!(seen.last(), Some(Seen::Target { .. } | Seen::Refused { .. }));
        self.end = if ended { Some(seen.len()) } else { self.length };
        if let Some(Seen::Target { .. }) = seen.last() {
            self.length = Some(seen.len());
            self.hops.truncate(seen.len());
        } else if let Some(target) = self.length.filter(|length| *length > seen.len()) {
            // A router refused on the way: nothing went further, which to the target is a loss.
            if let Some(hop) = self.hops.get_mut(target - 1) {
                hop.add(Seen::Silent, window);
            }
        }
    }

    /// Where the target's own distance was silent and it answered farther on, an answer was lost: the path is longer only
    /// once that is accepted.
    fn without_echo<'a>(&self, seen: &'a [Seen]) -> &'a [Seen] {
        let Some(Seen::Target { .. }) = seen.last() else { return seen };
        match self.length {
            Some(length)
                if length < seen.len()
                    && seen[length - 1] == Seen::Silent
                    && self.route.may_end_at(length) =>
            {
                &seen[..length]
            }
            _ => seen,
        }
    }

    fn count(&mut self, failure: Option<String>) {
        match failure {
            None => {
                self.runs += 1;
                self.failure_told = false;
            }
            Some(error) => {
                self.failed += 1;
                if !std::mem::replace(&mut self.failure_told, true) {
                    tracing::warn!(target_host = self.spec.host, error, "a path cannot be traced");
                }
            }
        }
    }

    /// The path has changed: the hops that are other ones begin anew.
    pub(super) fn accept(&mut self, change: &Change) {
        let kind = KINDS.iter().position(|kind| *kind == change.kind).unwrap_or(0);
        self.changes[kind] += 1;
        for (at, hop) in self.hops.iter_mut().enumerate() {
            let same = change.before.get(at) == change.after.get(at);
            if !same {
                *hop = Hop::new(change.after.get(at).copied().flatten());
            }
        }
        tracing::info!(target_host = self.spec.host, kind = change.kind, "a path has changed");
    }
}

#[cfg(test)]
mod tests;
