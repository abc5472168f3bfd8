//! One target: its rounds, and what they have shown so far.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::budget::Budget;
use super::config::Config;
use super::hop::Hop;
use super::live::Live;
use super::route::{Change, Route, Sight};
use super::strategy::{Pass, Seen};
use crate::context::Node;
use crate::net::{self, Prober, TargetSpec};

/// Time from one pass of a round to the next: a router's budget.
const PAUSE: Duration = Duration::from_secs(1);

/// Reports that may be unread: every TTL of two passes.
const REPORTS: usize = 512;

/// What is known of the path to one target.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) spec: TargetSpec,
    pub(super) address: Option<IpAddr>,
    /// By TTL from 1.
    pub(super) hops: Vec<Hop>,
    /// TTL at which the target answered last.
    pub(super) length: Option<usize>,
    /// Rounds that ended, and those that could not begin or send.
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// How long the newest round took.
    pub(super) duration: Duration,
    /// Changes so far, by kind: "route", "length".
    pub(super) changes: [u64; 2],
    route: Route,
    passes: u64,
    failure_told: bool,
}

impl Trace {
    pub(super) fn new(spec: TargetSpec) -> Self {
        Self {
            spec,
            address: None,
            hops: Vec::new(),
            length: None,
            runs: 0,
            failed: 0,
            duration: Duration::ZERO,
            changes: [0; 2],
            route: Route::default(),
            passes: 0,
            failure_told: false,
        }
    }

    /// Runs one round; tells a change of path, which is to be accepted once the figures before it are handed on.
    pub(super) async fn round(
        &mut self,
        config: &Config,
        node: &Node,
        prober: &Prober,
        budget: &Mutex<Budget>,
    ) -> Option<Change> {
        let started = Instant::now();
        let mut failure = None;
        let mut change = None;
        match net::resolve(&self.spec.host, &node.roots.proc, self.address).await {
            Ok(address) => {
                self.move_to(address);
                let mut sight = Sight::default();
                let mut client = prober.client(REPORTS);
                for n in 0..config.queries.max(1) {
                    sleep_until(started + PAUSE * n).await;
                    self.passes += 1;
                    let mut live = Live {
                        config,
                        client: &mut client,
                        budget,
                        dest: address,
                        known: self.hops.iter().map(|hop| hop.address).collect(),
                        pass: self.passes,
                        ready: VecDeque::new(),
                        failure: None,
                    };
                    let length = self.length.and_then(|length| u8::try_from(length).ok());
                    let pass = Pass::new(config.max_hops, config.max_unknown, length);
                    let seen = pass.run(&mut live).await;
                    failure = failure.or(live.failure);
                    self.take(&seen, &mut sight, config.window as usize);
                }
                change = self.route.take(&sight, config.hysteresis);
            }
            Err(error) => failure = Some(error.to_string()),
        }
        self.duration = started.elapsed();
        self.count(failure);
        change
    }

    /// Another address of the same name is another path: its hops begin anew, without counting as a change.
    fn move_to(&mut self, address: IpAddr) {
        if self.address.replace(address).is_some_and(|before| before != address) {
            self.hops.clear();
            self.length = None;
            self.route = Route::default();
        }
    }

    fn take(&mut self, seen: &[Seen], sight: &mut Sight, window: usize) {
        for (at, seen) in seen.iter().enumerate() {
            if at >= self.hops.len() {
                self.hops.push(Hop::default());
            }
            if at >= sight.hops.len() {
                sight.hops.push(Default::default());
            }
            self.hops[at].add(*seen, window);
            sight.hops[at].extend(seen.answer().map(|(from, _)| from));
        }
        if let Some(Seen::Target { .. }) = seen.last() {
            self.length = Some(seen.len());
            sight.length = Some(seen.len());
            self.hops.truncate(seen.len());
            sight.hops.truncate(seen.len());
        } else if let Some(target) = self.length.filter(|length| *length > seen.len()) {
            // A router refused on the way: nothing went further, which to the target is a loss.
            if let Some(hop) = self.hops.get_mut(target - 1) {
                hop.add(Seen::Silent, window);
            }
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
        self.changes[usize::from(change.kind == "length")] += 1;
        for (at, hop) in self.hops.iter_mut().enumerate() {
            let same = change.before.get(at) == change.after.get(at);
            if !same {
                *hop = Hop::new(change.after.get(at).copied().flatten());
            }
        }
        tracing::info!(target_host = self.spec.host, kind = change.kind, "a path has changed");
    }
}
