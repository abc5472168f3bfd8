//! All targets: which is due for a ping, a lookup or an export. No I/O.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ao_common::clock::now_ms;
use ao_proto::v1;
use tokio::time::{Instant, sleep_until};

use super::config::{Config, Plan};
use super::doubt::Mark;
use super::export;
use super::line::Line;
use super::probe::{Ask, Failure, Kind};
use super::target::Target;
use crate::event::{Event, MetricSet};
use crate::net::{self, Agenda, GATEWAY, Probe, Report, ResolveError, TICK};
use crate::trouble::{Alarm, Trouble, Turn};

/// What a lookup gave.
type Found = Result<IpAddr, ResolveError>;

/// Metrics are handed on at multiples of this: each set wakes the batcher and the journal's writer, several at once do so
/// once.
const TOGETHER: Duration = Duration::from_millis(250);

/// A target's first export is so long behind its first ping, when it has an address; with many targets a random time more:
/// up to this much for each.
const EXPORT_SOON: Duration = Duration::from_secs(5);
const EXPORT_APART: Duration = Duration::from_millis(10);

/// A target whose name does not resolve is asked for again after this, at first contact and after each failure.
const RETRY: Duration = Duration::from_secs(10);

/// A lookup that takes longer is trouble: resolvers that have no answer of their first name server wait for some seconds.
const SLOW: Duration = Duration::from_secs(1);

/// What the next step is.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this.
    Ping(Probe),
    /// Ask a service.
    Ask(Ask),
    /// Look up this target's host, which has this address so far.
    Resolve(u64, String, Option<IpAddr>),
    /// Hand this on.
    Export(MetricSet),
}

/// For what of it there is room now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) pings: bool,
    pub(super) asks: bool,
    pub(super) lookups: bool,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Ping,
    Resolve,
    Export,
}

/// The targets with their schedules.
pub(super) struct Fleet {
    config: Config,
    targets: HashMap<u64, Box<Target>>,
    agenda: Agenda<(u64, Task)>,
    /// Those for which there was no room.
    pings: Line,
    asks: Line,
    lookups: Line,
    events: Vec<Event>,
    alarms: Vec<Alarm>,
    next_id: u64,
    lookups_failed: u64,
    /// When [`Fleet::due`] last had no more to give.
    served: Instant,
    began: Instant,
}

impl Fleet {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            targets: HashMap::new(),
            agenda: Agenda::default(),
            pings: Line::default(),
            asks: Line::default(),
            lookups: Line::default(),
            events: Vec::new(),
            alarms: Vec::new(),
            next_id: 0,
            lookups_failed: 0,
            served: Instant::now(),
            began: Instant::now(),
        }
    }

    /// The targets that the configuration and the aggregator want.
    pub(super) fn plans(&self, directed: &[v1::Target]) -> Vec<Plan> {
        self.config.plans(directed)
    }

    /// Makes the targets be `wanted`; those that stay keep their counts and their phase.
    pub(super) fn apply(&mut self, wanted: Vec<Plan>, now: Instant) {
        let mut wanted: HashMap<String, Plan> =
            wanted.into_iter().map(|plan| (plan.id.clone(), plan)).collect();
        let events = &mut self.events;
        self.targets.retain(|_, target| {
            if wanted.get(&target.plan.id) == Some(&target.plan) {
                wanted.remove(&target.plan.id);
                return true;
            }
            events.push(Event::Metrics(export::empty(&target.plan, now_ms())));
            false
        });
        // The exports of many targets are spread, so that none waits for all the others.
        let crowd = EXPORT_APART * u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let (soon, spread) = (EXPORT_SOON.min(self.config.export.0), crowd.min(self.config.export.0));
        for plan in wanted.into_values() {
            self.next_id += 1;
            let id = self.next_id;
            // A random phase, so that neither the pings nor the exports of many targets (and nodes) fall together.
            // The lookup goes first, where there is one; the first export does not wait for the first round: a board that
            // does looks broken.
            let start = now + plan.period().mul_f64(rand::random());
            let mut target = Target::new(plan, &self.config);
            target.address = net::literal(&target.plan.host);
            if target.address.is_none() {
                self.agenda.add(now, (id, Task::Resolve));
            }
            self.targets.insert(id, Box::new(target));
            self.agenda.add(start, (id, Task::Ping));
            let export = start + soon + spread.mul_f64(rand::random());
            self.agenda.add(together(self.began, export), (id, Task::Export));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The ends of targets that [`Fleet::apply`] has taken out, and what alerts say; to be handed on.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Troubles that have begun since the last call.
    pub(super) fn alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }

    pub(super) async fn wait(&self) {
        // For those that wait there may be room at any time; it is looked for at the next tick.
        let lines = [&self.pings, &self.asks, &self.lookups];
        let waiting = lines.into_iter().any(|line| !line.is_empty()).then_some(self.served);
        match self.agenda.next().into_iter().chain(waiting).min() {
            Some(at) => sleep_until(at.max(self.served + TICK)).await,
            None => std::future::pending().await,
        }
    }

    /// The next step that is due and for which there is room, if any. What there is no room for waits for its turn.
    pub(super) fn due(&mut self, now: Instant, room: Room) -> Option<Due> {
        if let Some(due) = self.waited(room) {
            return Some(due);
        }
        loop {
            let planned = self.agenda.next();
            let (Some(planned), Some((id, task))) = (planned, self.agenda.due(now)) else {
                self.served = now;
                return None;
            };
            // A target that is gone leaves its entries behind.
            let Some(target) = self.targets.get_mut(&id) else { continue };
            match task {
                // The gateway is no name: it does not wait for those that resolvers do not answer.
                Task::Resolve if room.lookups || target.plan.host == GATEWAY => {
                    return Some(look_up(target, id));
                }
                Task::Resolve => {
                    self.lookups.join(id);
                }
                Task::Export => {
                    let again = self.config.export.0.max(Duration::from_secs(1));
                    self.agenda.add(together(self.began, now + again), (id, Task::Export));
                    return Some(Due::Export(export::metrics(target, &self.config, now_ms())));
                }
                Task::Ping => {
                    // From the planned time on: else every delay of this process would stretch the round. Where it was
                    // away for longer than a period, the pings of that time are left out.
                    let period = target.plan.period();
                    let next = planned + period;
                    self.agenda.add(if next > now { next } else { now + period }, (id, Task::Ping));
                    target.filling.late(now.saturating_duration_since(planned));
                    let Some(dest) = target.address else {
                        if target.unresolved_told {
                            target.counts.send_errors += 1;
                        }
                        continue;
                    };
                    let is_icmp = target.plan.probe == Kind::Icmp;
                    if if is_icmp { room.pings } else { room.asks } {
                        return Some(step(target, dest, id));
                    }
                    self.put_off(id);
                }
            }
        }
    }

    /// The first of those that wait for what there is room for.
    fn waited(&mut self, room: Room) -> Option<Due> {
        let Self { pings, asks, lookups, targets, .. } = self;
        let first = |is_room, line: &mut Line, due: fn(&Target, u64) -> Option<Due>| {
            // A target that is gone leaves its place behind.
            while is_room && let Some(id) = line.next() {
                let due = targets.get(&id).and_then(|target| due(target, id));
                if due.is_some() {
                    return due;
                }
            }
            None
        };
        let ask = |target: &Target, id| Some(step(target, target.address?, id));
        let lookup = first(room.lookups, lookups, |target, id| Some(look_up(target, id)));
        lookup.or_else(|| first(room.pings, pings, ask)).or_else(|| first(room.asks, asks, ask))
    }

    /// There is no room for a ping or a question. Where the one before it still waits, it is left out and counted: a
    /// target is never asked faster afterwards.
    pub(super) fn put_off(&mut self, id: u64) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let line = if target.plan.probe == Kind::Icmp { &mut self.pings } else { &mut self.asks };
        if !line.join(id) {
            target.counts.send_errors += 1;
        }
    }

    /// A lookup has ended. A failed one leaves the address that was known: names outlive their servers.
    pub(super) fn resolved(&mut self, id: u64, found: Found, took: Duration, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let bad = took >= SLOW || matches!(found, Err(ResolveError::Lookup { .. }));
        if bad != target.name_told && target.plan.host != GATEWAY {
            let (host, address) = (target.plan.host.clone(), target.address);
            let turn = Turn { trouble: Trouble::Name, over: !bad };
            self.alarms.push(Alarm { turn, host, address, server: None });
        }
        target.name_told = bad;
        let again = match found {
            Ok(address) => {
                if target.address.replace(address).is_some_and(|before| before != address) {
                    tracing::info!(target_host = target.plan.host, %address, "the address of a target has changed");
                }
                target.unresolved_told = false;
                self.config.resolve.0.max(RETRY)
            }
            Err(error) => {
                self.lookups_failed += 1;
                if !std::mem::replace(&mut target.unresolved_told, true) {
                    tracing::warn!(target_host = target.plan.host, %error, "a target has no address");
                }
                RETRY
            }
        };
        self.agenda.add(now + again, (id, Task::Resolve));
    }

    /// Lookups without an address, since the start.
    pub(super) fn lookups_failed(&self) -> u64 {
        self.lookups_failed
    }

    /// A service was asked.
    pub(super) fn asked(&mut self, id: u64, failure: Option<&Failure>) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.asked(failure);
        }
    }

    /// A ping has ended, in this state of the machine.
    pub(super) fn report(&mut self, report: &Report, now: Mark) {
        let Some(target) = self.targets.get_mut(&report.key) else { return };
        if !target.report(report, now, self.config.starved.0) {
            return;
        }
        for (name, alert, told) in target.judge(&self.config) {
            self.events.push(Event::Logs(export::event(target, name, alert, told)));
        }
        let Some(turn) = target.trouble() else { return };
        let (host, address) = (target.plan.host.clone(), target.address);
        let alarm = Alarm { turn, host, address, server: None };
        self.alarms.extend(match &target.plan.probe {
            Kind::Icmp => Some(alarm),
            Kind::Dns(dns) => Some(Alarm {
                turn: Turn { trouble: Trouble::Name, ..turn },
                host: dns.query.clone(),
                address: None,
                server: address.map(|server| SocketAddr::new(server, dns.port)),
            }),
            // What a service does is its own affair.
            Kind::Tcp { .. } | Kind::Udp { .. } | Kind::Http(_) => None,
        });
    }

    /// The newest figures of all targets, for the agent's end.
    pub(super) fn last(&self) -> impl Iterator<Item = MetricSet> {
        self.targets.values().map(|target| export::metrics(target, &self.config, now_ms()))
    }
}

/// The multiple of [`TOGETHER`] that is nearest.
fn together(began: Instant, at: Instant) -> Instant {
    let whole = (at.saturating_duration_since(began) + TOGETHER / 2).as_millis() / TOGETHER.as_millis();
    began + TOGETHER * u32::try_from(whole).unwrap_or(u32::MAX)
}

fn look_up(target: &Target, id: u64) -> Due {
    Due::Resolve(id, target.plan.host.clone(), target.address)
}

fn step(target: &Target, dest: IpAddr, id: u64) -> Due {
    let Plan { probe, source, tos, size, timeout, host, .. } = &target.plan;
    match probe {
        Kind::Icmp => Due::Ping(Probe {
            source: *source,
            tos: *tos,
            size: *size,
            timeout: *timeout,
            key: id,
            ..Probe::to(dest)
        }),
        kind => Due::Ask(Ask {
            kind: kind.clone(),
            dest,
            host: host.clone(),
            source: *source,
            size: *size,
            timeout: *timeout,
            key: id,
        }),
    }
}
