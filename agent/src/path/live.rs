//! The strategy's network in reality: the prober, asked within the routers' budget.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::budget::Budget;
use super::config::Config;
use super::strategy::{Network, Seen};
use crate::net::{Client, Outcome, Probe, Stopped};

/// How long a probe waits for its router's budget before it is left out of the pass.
const PATIENCE: Duration = Duration::from_secs(3);

/// One pass's network.
pub(super) struct Live<'a> {
    pub(super) config: &'a Config,
    pub(super) client: &'a mut Client,
    pub(super) budget: &'a Mutex<Budget>,
    pub(super) dest: IpAddr,
    /// Who answered at each TTL from 1 in earlier passes.
    pub(super) known: Vec<Option<IpAddr>>,
    /// Number of the pass: answers to an earlier one that come now are not this one's.
    pub(super) pass: u64,
    /// Ends that need no network.
    pub(super) ready: VecDeque<(u8, Seen)>,
    /// The first failure to send.
    pub(super) failure: Option<String>,
}

impl Network for Live<'_> {
    async fn send_probe(&mut self, ttl: u8) {
        let known = self.known.get(usize::from(ttl) - 1).copied().flatten();
        let reserved = {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.reserve(self.dest, ttl, known, Instant::now(), PATIENCE)
        };
        let Some(at) = reserved else {
            self.ready.push_back((ttl, Seen::Skipped));
            return;
        };
        sleep_until(at).await;
        let probe = Probe {
            ttl: Some(ttl),
            tos: self.config.tos,
            size: self.config.size,
            timeout: self.config.timeout.0,
            key: self.pass << 8 | u64::from(ttl),
            ..Probe::to(self.dest)
        };
        if let Err(Stopped) = self.client.send(probe).await {
            self.ready.push_back((ttl, Seen::Silent));
        }
    }

    async fn recv_probe(&mut self) -> Option<(u8, Seen)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            let report = self.client.recv().await?;
            if report.key >> 8 != self.pass {
                continue;
            }
            let seen = match report.outcome {
                Outcome::Duplicate => continue,
                Outcome::Reply { rtt, .. } => Seen::Target { from: self.dest, rtt },
                Outcome::Expired { from, rtt, .. } => Seen::Router { from, rtt },
                // The target itself refuses: it is reached all the same.
                Outcome::Unreachable { from, rtt, .. } if from == self.dest => Seen::Target { from, rtt },
                Outcome::Unreachable { from, rtt, .. } => Seen::Refused { from, rtt },
                Outcome::Timeout => Seen::Silent,
                Outcome::NotSent(error) => {
                    self.failure.get_or_insert_with(|| error.to_string());
                    Seen::Silent
                }
            };
            return Some(((report.key & 0xff) as u8, seen));
        }
    }
}
