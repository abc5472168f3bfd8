//! The section `latency`: what holds for all targets, and the tree of groups whose members inherit.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::v1;
use serde::Deserialize;

use super::alert::Alert;
use super::probe::{Http, Kind};
use crate::net::{self, TargetSpec};

/// Groups within groups at most.
const DEPTH: usize = 16;
/// Pings of a round at most: each has a series, where the distribution is kept.
const MOST_PINGS: u32 = 1_000;

/// What to ping, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Targets, besides those that the aggregator names. `"gateway"` is the default gateway; a URL is asked for by HTTP.
    pub targets: Vec<TargetSpec>,
    /// Targets by place: what a group says holds for all that is in it.
    pub groups: Vec<Group>,
    /// `icmp`, or a service: `{tcp: {port: 443}}`, `{udp: {port: 7}}`, `{dns: {query: example.org}}`, `{http: {}}`.
    pub probe: Kind,
    /// Length of a round.
    pub interval: Span,
    /// Pings per round and target, evenly spread.
    pub pings: u32,
    /// An answer that takes longer is a loss.
    pub timeout: Span,
    /// Payload bytes of a ping.
    pub size: u16,
    /// Type of service (IPv4) or traffic class (IPv6) of the pings.
    pub tos: u8,
    /// Address to send from; left out, the system's choice for each target.
    pub source: Option<IpAddr>,
    /// Alerts by name, in Smokeping's language.
    pub alerts: BTreeMap<String, Alert>,
    /// The names of those that all targets have.
    pub raise: Vec<String>,
    /// Every round trip of the newest round as a series of its own.
    pub distribution: bool,
    /// A round in which the prober was behind for so long is marked as starved and raises no alert.
    pub starved: Span,
    /// How often a target's metrics are handed on.
    pub export: Span,
    /// How often names are looked up again.
    pub resolve: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![net::GATEWAY.into()],
            groups: Vec::new(),
            probe: Kind::Icmp,
            interval: Span::secs(60),
            pings: 20,
            timeout: Span::secs(2),
            size: 56,
            tos: 0,
            source: None,
            alerts: BTreeMap::new(),
            raise: Vec::new(),
            distribution: true,
            starved: Span(Duration::from_millis(100)),
            export: Span::secs(15),
            resolve: Span::secs(60),
        }
    }
}

/// A place in the hierarchy. What it leaves out is as in the group around it, or in the section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its part of the label `group`, whose parts are separated by slashes.
    pub name: String,
    /// Labels on all series of its targets.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its own targets.
    #[serde(default)]
    pub targets: Vec<TargetSpec>,
    /// Groups within it.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// See [`Config::probe`].
    pub probe: Option<Kind>,
    /// See [`Config::interval`].
    pub interval: Option<Span>,
    /// See [`Config::pings`].
    pub pings: Option<u32>,
    /// See [`Config::timeout`].
    pub timeout: Option<Span>,
    /// See [`Config::size`].
    pub size: Option<u16>,
    /// See [`Config::tos`].
    pub tos: Option<u8>,
    /// See [`Config::source`].
    pub source: Option<IpAddr>,
    /// See [`Config::raise`].
    pub raise: Option<Vec<String>>,
}

/// One target with all that holds for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Sets it apart from all others.
    pub(super) id: String,
    pub(super) host: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) probe: Kind,
    pub(super) interval: Duration,
    pub(super) pings: u32,
    pub(super) timeout: Duration,
    pub(super) size: u16,
    pub(super) tos: u8,
    pub(super) source: Option<IpAddr>,
    pub(super) raise: Vec<String>,
}

impl Plan {
    /// Time between two pings; a configuration of zeroes still leaves a pause.
    pub(super) fn period(&self) -> Duration {
        (self.interval / self.pings.max(1)).max(Duration::from_millis(1))
    }
}

impl Config {
    /// # Errors
    /// A name of an alert that is not there, a group without a name, a round without pings.
    pub fn check(&self) -> Result<(), String> {
        let raise = |names: &[String], place: &str| match names
            .iter()
            .find(|name| !self.alerts.contains_key(*name))
        {
            Some(name) => Err(format!(
                "latency{place}.raise names the alert {name:?}, which latency.alerts does not have"
            )),
            None => Ok(()),
        };
        let pings = |pings: u32, place: &str| {
            if (1..=MOST_PINGS).contains(&pings) {
                return Ok(());
            }
            Err(format!("latency{place}.pings: {pings}: a round has 1 to {MOST_PINGS} pings"))
        };
        let targets = |targets: &[TargetSpec], place: &str| {
            let bad = targets.iter().find_map(|target| url(&target.host, &self.probe)?.err());
            bad.map_or(Ok(()), |why| Err(format!("latency{place}.targets: {why}")))
        };
        raise(&self.raise, "")?;
        pings(self.pings, "")?;
        targets(&self.targets, "")?;
        let mut open: Vec<(&Group, String, usize)> =
            self.groups.iter().map(|group| (group, ".groups".to_owned(), 1)).collect();
        while let Some((group, place, depth)) = open.pop() {
            let place = format!("{place}[{}]", group.name);
            if group.name.is_empty() || group.name.contains('/') {
                return Err(format!("latency{place}.name: a group needs a name, without slashes"));
            }
            if depth > DEPTH {
                return Err(format!("latency{place}: groups are nested more than {DEPTH} deep"));
            }
            raise(group.raise.as_deref().unwrap_or_default(), &place)?;
            pings(group.pings.unwrap_or(1), &place)?;
            targets(&group.targets, &place)?;
            open.extend(group.groups.iter().map(|inner| (inner, format!("{place}.groups"), depth + 1)));
        }
        Ok(())
    }

    /// All targets: those of the section and its groups, and those of the aggregator that none of these has.
    pub(super) fn plans(&self, directed: &[v1::Target]) -> Vec<Plan> {
        let base = Plan {
            id: String::new(),
            host: String::new(),
            labels: BTreeMap::new(),
            probe: self.probe.clone(),
            interval: self.interval.0,
            pings: self.pings,
            timeout: self.timeout.0,
            size: self.size,
            tos: self.tos,
            source: self.source,
            raise: self.raise.clone(),
        };
        let mut plans = Vec::new();
        for group in &self.groups {
            grow(group, "", &base, &mut plans);
        }
        let grouped: HashSet<String> = plans.iter().map(|plan: &Plan| plan.host.clone()).collect();
        let configured: HashSet<&str> = self.targets.iter().map(|target| target.host.as_str()).collect();
        let merged = TargetSpec::merge(&self.targets, directed);
        let wanted = merged
            .iter()
            .filter(|spec| configured.contains(spec.host.as_str()) || !grouped.contains(&spec.host));
        plans.extend(wanted.map(|spec| of(spec, "", &base)));
        // The first of several with one id; the same host twice in a group says nothing new.
        let mut seen = HashSet::new();
        plans.retain(|plan| seen.insert(plan.id.clone()));
        plans
    }
}

fn of(spec: &TargetSpec, path: &str, base: &Plan) -> Plan {
    let mut plan = base.clone();
    plan.host.clone_from(&spec.host);
    if let Some(Ok((host, http))) = url(&spec.host, &base.probe) {
        plan.host = host;
        plan.probe = Kind::Http(http);
    }
    plan.labels.extend(spec.labels.clone());
    plan.id = if path.is_empty() { spec.host.clone() } else { format!("{path}/{}", spec.host) };
    // Two names of one host in a group are two targets.
    if let Some(name) = spec.labels.get("name").filter(|_| !path.is_empty()) {
        plan.id = format!("{}#{name}", plan.id);
    }
    if let Some(probe) = plan.probe.label() {
        plan.labels.insert("probe".to_owned(), probe);
    }
    plan
}

/// Of a target that is written as a URL.
fn url(target: &str, probe: &Kind) -> Option<Result<(String, Http), String>> {
    let like = match probe {
        Kind::Http(http) => Some(http),
        _ => None,
    };
    Http::of_url(target, like)
}

fn grow(group: &Group, path: &str, around: &Plan, plans: &mut Vec<Plan>) {
    let path = if path.is_empty() { group.name.clone() } else { format!("{path}/{}", group.name) };
    let mut base = around.clone();
    base.labels.extend(group.labels.clone());
    base.labels.insert("group".to_owned(), path.clone());
    let Group { probe, interval, pings, timeout, size, tos, source, raise, .. } = group;
    base.probe = probe.clone().unwrap_or(base.probe);
    base.interval = interval.map_or(base.interval, |span| span.0);
    base.pings = pings.unwrap_or(base.pings);
    base.timeout = timeout.map_or(base.timeout, |span| span.0);
    base.size = size.unwrap_or(base.size);
    base.tos = tos.unwrap_or(base.tos);
    base.source = source.or(base.source);
    base.raise = raise.clone().unwrap_or(base.raise);
    plans.extend(group.targets.iter().map(|spec| of(spec, &path, &base)));
    for inner in &group.groups {
        grow(inner, &path, &base, plans);
    }
}
