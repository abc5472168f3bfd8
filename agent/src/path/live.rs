//! The strategy's network in reality: the prober, asked within the routers' budget.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::MutexGuard;

use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::strategy::{Ask, Network, Seen};
use crate::net::{Budget, Client, Grant, HURRY, Outcome, PATIENCE, Probe, Prober, Report, Stopped, Way};

/// Reports that may be unread: every TTL of two passes.
const REPORTS: usize = 512;

/// The network of one target.
pub(super) struct Live<'a> {
    config: &'a Config,
    client: Client,
    prober: &'a Prober,
    dest: IpAddr,
    /// Ends that need no network.
    ready: VecDeque<(u64, u8, Seen)>,
    /// The first failure to send.
    pub(super) failure: Option<String>,
    hurry: bool,
    /// Who is expected by TTL, of the newest probes.
    routers: [Option<IpAddr>; 256],
}

impl<'a> Live<'a> {
    /// Probes to `dest`.
    pub(super) fn new(config: &'a Config, prober: &'a Prober, dest: IpAddr) -> Self {
        let client = prober.client(REPORTS);
        Self {
            config,
            client,
            prober,
            dest,
            ready: VecDeque::new(),
            failure: None,
            hurry: false,
            routers: [None; 256],
        }
    }

    /// The canonical flow is not held up by routers: one whose budget is spent is left out.
    pub(super) fn in_hurry(self) -> Self {
        Self { hurry: true, ..self }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.prober.budget()
    }

    fn seen(&mut self, ttl: u8, report: Report) -> Option<Seen> {
        let timed_out = matches!(report.outcome, Outcome::Timeout);
        let seen = match report.outcome {
            Outcome::Duplicate => return None,
            Outcome::Reply { rtt, .. } => Seen::Target { from: self.dest, rtt },
            Outcome::Expired { from, rtt, labels } => Seen::Router { from, rtt, labels },
            // The target itself refuses: it is reached all the same.
            Outcome::Unreachable { from, rtt, .. } if from == self.dest => Seen::Target { from, rtt },
            Outcome::Unreachable { from, rtt, .. } => Seen::Refused { from, rtt },
            Outcome::Timeout => Seen::Silent,
            Outcome::NotSent(error) => {
                self.failure.get_or_insert_with(|| error.to_string());
                Seen::Silent
            }
        };
        if let Seen::Router { from, rtt, .. } | Seen::Refused { from, rtt } = seen {
            self.budget().answered((self.dest, ttl), from, rtt, Instant::now());
        } else if let Some(router) = self.routers[usize::from(ttl)].filter(|_| timed_out) {
            self.budget().silent(router, Instant::now());
        }
        Some(seen)
    }
}

impl Network for Live<'_> {
    async fn send_probe(&mut self, ask: Ask) {
        let Ask { pass, flow, ttl, known } = ask;
        self.routers[usize::from(ttl)] = known;
        // To UDP a host answers by an error, to SYNs without a limit.
        let free_end = !matches!(self.config.way(flow), Way::Udp { .. });
        let patience = if self.hurry && flow == 0 { HURRY } else { PATIENCE };
        let granted = self.budget().reserve(self.dest, ttl, known, free_end, patience, Instant::now());
        match granted {
            Grant::At(at, asked) => {
                sleep_until(at).await;
                loop {
                    let started = self.budget().start(asked, Instant::now());
                    let Err(later) = started else { break };
                    sleep_until(later).await;
                }
            }
            Grant::Shared { from, rtt } => {
                self.ready.push_back((pass, ttl, Seen::Shared { from, rtt }));
                return;
            }
            Grant::Spent => {
                self.ready.push_back((pass, ttl, Seen::Skipped));
                return;
            }
        }
        let probe = Probe {
            ttl: Some(ttl),
            tos: self.config.tos,
            size: self.config.size,
            timeout: self.config.timeout.0,
            key: pass << 8 | u64::from(ttl),
            way: self.config.way(flow),
            ..Probe::to(self.dest)
        };
        if let Err(Stopped) = self.client.send(probe).await {
            self.ready.push_back((pass, ttl, Seen::Silent));
        }
    }

    async fn recv_probe(&mut self) -> Option<(u64, u8, Seen)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            let report = self.client.recv().await?;
            let (pass, ttl) = (report.key >> 8, (report.key & 0xff) as u8);
            if let Some(seen) = self.seen(ttl, report) {
                return Some((pass, ttl, seen));
            }
        }
    }
}
