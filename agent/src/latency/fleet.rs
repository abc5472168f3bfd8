//! All targets: which is due for a ping, a lookup or an export. No I/O.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ao_common::clock::now_ms;
use tokio::time::Instant;

use super::config::Config;
use super::export;
use super::target::Target;
use crate::event::MetricSet;
use crate::net::{Agenda, Probe, Report, ResolveError, TargetSpec};

/// What a lookup gave.
type Found = Result<IpAddr, ResolveError>;

/// How long a ping is put off when the prober's queues are full.
const PUT_OFF: Duration = Duration::from_millis(20);

/// How long a lookup is put off when too many are under way.
const LOOKUP_LATER: Duration = Duration::from_millis(250);

/// A target whose name does not resolve is asked for again after this, at first contact and after each failure.
const RETRY: Duration = Duration::from_secs(10);

/// What the next step is.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this.
    Ping(Probe),
    /// Look up this target's host, which has this address so far.
    Resolve(u64, String, Option<IpAddr>),
    /// Hand this on.
    Export(MetricSet),
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Ping,
    /// A ping that was put off, besides the regular ones.
    Again,
    Resolve,
    Export,
}

/// The targets with their schedules.
pub(super) struct Fleet {
    config: Config,
    targets: HashMap<u64, Target>,
    agenda: Agenda<(u64, Task)>,
    removed: Vec<MetricSet>,
    next_id: u64,
}

impl Fleet {
    pub(super) fn new(config: Config) -> Self {
        Self { config, targets: HashMap::new(), agenda: Agenda::default(), removed: Vec::new(), next_id: 0 }
    }

    pub(super) fn configured(&self) -> &[TargetSpec] {
        &self.config.targets
    }

    /// Makes the targets be `wanted`; those that stay keep their counts and their phase.
    pub(super) fn apply(&mut self, mut wanted: Vec<TargetSpec>, now: Instant) {
        let removed = &mut self.removed;
        self.targets.retain(|_, target| match wanted.iter().position(|spec| *spec == target.spec) {
            Some(at) => {
                wanted.swap_remove(at);
                true
            }
            None => {
                removed.push(export::empty(&target.spec.host, now_ms()));
                false
            }
        });
        for spec in wanted {
            self.next_id += 1;
            let id = self.next_id;
            self.targets.insert(id, Target::new(spec));
            // A random phase, so that neither the pings nor the exports of many targets (and nodes) fall together.
            // The lookup goes first, the first export soon: a board that waits for the first round looks broken.
            let start = now + self.config.period().mul_f64(rand::random());
            self.agenda.add(now, (id, Task::Resolve));
            self.agenda.add(start, (id, Task::Ping));
            self.agenda.add(start + self.config.export.0.min(Duration::from_secs(5)), (id, Task::Export));
        }
    }

    /// The ends of targets that [`Fleet::apply`] has taken out; to be handed on.
    pub(super) fn removed(&mut self) -> Vec<MetricSet> {
        std::mem::take(&mut self.removed)
    }

    pub(super) async fn wait(&self) {
        self.agenda.wait().await;
    }

    /// The next step that is due, if any.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let (id, task) = self.agenda.due(now)?;
        // A target that is gone leaves its entries behind.
        let target = self.targets.get_mut(&id)?;
        match task {
            Task::Resolve => Some(Due::Resolve(id, target.spec.host.clone(), target.address)),
            Task::Export => {
                self.agenda.add(now + self.config.export.0.max(Duration::from_secs(1)), (id, Task::Export));
                Some(Due::Export(export::metrics(target, &self.config, now_ms())))
            }
            Task::Ping | Task::Again => {
                if matches!(task, Task::Ping) {
                    self.agenda.add(now + self.config.period(), (id, Task::Ping));
                }
                let Some(dest) = target.address else {
                    if target.unresolved_told {
                        target.counts.send_errors += 1;
                    }
                    return None;
                };
                Some(Due::Ping(Probe {
                    source: self.config.source,
                    tos: self.config.tos,
                    size: self.config.size,
                    timeout: self.config.timeout.0,
                    key: id,
                    ..Probe::to(dest)
                }))
            }
        }
    }

    /// The prober was busy: the ping comes a little later.
    pub(super) fn put_off(&mut self, id: u64, now: Instant) {
        // Its regular successor is on the agenda; where that one comes soon, it will do.
        if self.config.period() > PUT_OFF * 2 {
            self.agenda.add(now + PUT_OFF, (id, Task::Again));
        }
    }

    /// Too many lookups are under way.
    pub(super) fn resolve_later(&mut self, id: u64, now: Instant) {
        self.agenda.add(now + LOOKUP_LATER, (id, Task::Resolve));
    }

    /// A lookup has ended. A failed one leaves the address that was known: names outlive their servers.
    pub(super) fn resolved(&mut self, id: u64, found: Found, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let again = match found {
            Ok(address) => {
                if target.address.replace(address).is_some_and(|before| before != address) {
                    tracing::info!(target_host = target.spec.host, %address, "the address of a target has changed");
                }
                target.unresolved_told = false;
                self.config.resolve.0.max(RETRY)
            }
            Err(error) => {
                if !std::mem::replace(&mut target.unresolved_told, true) {
                    tracing::warn!(target_host = target.spec.host, %error, "a target has no address");
                }
                RETRY
            }
        };
        self.agenda.add(now + again, (id, Task::Resolve));
    }

    /// A ping has ended.
    pub(super) fn report(&mut self, report: Report) {
        if let Some(target) = self.targets.get_mut(&report.key) {
            target.report(&report.outcome, self.config.pings);
        }
    }

    /// The newest figures of all targets, for the agent's end.
    pub(super) fn last(&self) -> impl Iterator<Item = MetricSet> {
        self.targets.values().map(|target| export::metrics(target, &self.config, now_ms()))
    }
}
