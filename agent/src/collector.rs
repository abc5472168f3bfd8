//! The host's figures, under node_exporter's names, labels and units.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | the trait, the row of the table, the errors |
//! | `runner` | rounds: when, on which thread, with which deadline |
//! | `outcome` | what is counted and said of rounds that failed |
//! | `file`, `netfile`, `picker`, `process`, `rpc`, `folder`, `device`, `attributes`, `filter`, `mountinfo`, `size`, `zone` | what several collectors or only one need to read the host |
//! | the others | one collector each, named as in the configuration |
//!
//! A collector is one file and two lines below: its `mod` and its row.

pub mod api;
mod runner;

mod attributes;
mod device;
mod file;
mod filter;
mod folder;
mod mountinfo;
mod netfile;
mod outcome;
mod picker;
mod process;
mod rpc;
mod size;
mod zone;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ao_common::admin::SharedRegistry;
use ao_common::units::Span;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_yaml_ng::Value;

use crate::context::{Context, Roots};
use crate::event::MetricSet;
use api::Entry;
pub use runner::{Collectors, RunError};

pub mod arp;
pub mod bcache;
pub mod bcachefs;
pub mod bonding;
pub mod btrfs;
pub mod conntrack;
pub mod cpu;
pub mod cpufreq;
pub mod diskstats;
pub mod dmi;
pub mod dmmultipath;
pub mod edac;
pub mod entropy;
pub mod fibrechannel;
pub mod filefd;
pub mod filesystem;
pub mod hwmon;
pub mod infiniband;
pub mod ipvs;
pub mod kernel_hung;
pub mod loadavg;
pub mod mdadm;
pub mod meminfo;
pub mod netclass;
pub mod netdev;
pub mod netstat;
pub mod nfs;
pub mod nfsd;
pub mod nvme;
pub mod os;
pub mod powersupplyclass;
pub mod pressure;
pub mod process_top;
pub mod processes;
pub mod rapl;
pub mod schedstat;
pub mod selinux;
pub mod sockstat;
pub mod softnet;
pub mod stat;
pub mod tapestats;
pub mod tcpstat;
pub mod textfile;
pub mod thermal_zone;
pub mod time;
pub mod timex;
pub mod udp_queues;
pub mod uname;
pub mod vmstat;
pub mod watchdog;
pub mod xfs;
pub mod zfs;

/// Every collector, in the order in which they run.
pub static COLLECTORS: &[Entry] = &[
    Entry { name: "arp", default_on: true, build: arp::build },
    Entry { name: "bcache", default_on: true, build: bcache::build },
    Entry { name: "bcachefs", default_on: true, build: bcachefs::build },
    Entry { name: "bonding", default_on: true, build: bonding::build },
    Entry { name: "btrfs", default_on: true, build: btrfs::build },
    Entry { name: "conntrack", default_on: true, build: conntrack::build },
    Entry { name: "cpu", default_on: true, build: cpu::build },
    Entry { name: "cpufreq", default_on: true, build: cpufreq::build },
    Entry { name: "diskstats", default_on: true, build: diskstats::build },
    Entry { name: "dmi", default_on: true, build: dmi::build },
    Entry { name: "dmmultipath", default_on: true, build: dmmultipath::build },
    Entry { name: "edac", default_on: true, build: edac::build },
    Entry { name: "entropy", default_on: true, build: entropy::build },
    Entry { name: "fibrechannel", default_on: true, build: fibrechannel::build },
    Entry { name: "filefd", default_on: true, build: filefd::build },
    Entry { name: "filesystem", default_on: true, build: filesystem::build },
    Entry { name: "hwmon", default_on: true, build: hwmon::build },
    Entry { name: "infiniband", default_on: true, build: infiniband::build },
    Entry { name: "ipvs", default_on: true, build: ipvs::build },
    Entry { name: "kernel_hung", default_on: true, build: kernel_hung::build },
    Entry { name: "loadavg", default_on: true, build: loadavg::build },
    Entry { name: "mdadm", default_on: true, build: mdadm::build },
    Entry { name: "meminfo", default_on: true, build: meminfo::build },
    Entry { name: "netclass", default_on: true, build: netclass::build },
    Entry { name: "netdev", default_on: true, build: netdev::build },
    Entry { name: "netstat", default_on: true, build: netstat::build },
    Entry { name: "nfs", default_on: true, build: nfs::build },
    Entry { name: "nfsd", default_on: true, build: nfsd::build },
    Entry { name: "nvme", default_on: true, build: nvme::build },
    Entry { name: "os", default_on: true, build: os::build },
    Entry { name: "powersupplyclass", default_on: true, build: powersupplyclass::build },
    Entry { name: "pressure", default_on: true, build: pressure::build },
    Entry { name: "process_top", default_on: false, build: process_top::build },
    Entry { name: "processes", default_on: false, build: processes::build },
    Entry { name: "rapl", default_on: true, build: rapl::build },
    Entry { name: "schedstat", default_on: true, build: schedstat::build },
    Entry { name: "selinux", default_on: true, build: selinux::build },
    Entry { name: "sockstat", default_on: true, build: sockstat::build },
    Entry { name: "softnet", default_on: true, build: softnet::build },
    Entry { name: "stat", default_on: true, build: stat::build },
    Entry { name: "tapestats", default_on: true, build: tapestats::build },
    Entry { name: "tcpstat", default_on: false, build: tcpstat::build },
    Entry { name: "textfile", default_on: true, build: textfile::build },
    Entry { name: "thermal_zone", default_on: true, build: thermal_zone::build },
    Entry { name: "time", default_on: true, build: time::build },
    Entry { name: "timex", default_on: true, build: timex::build },
    Entry { name: "udp_queues", default_on: true, build: udp_queues::build },
    Entry { name: "uname", default_on: true, build: uname::build },
    Entry { name: "vmstat", default_on: true, build: vmstat::build },
    Entry { name: "watchdog", default_on: true, build: watchdog::build },
    Entry { name: "xfs", default_on: true, build: xfs::build },
    Entry { name: "zfs", default_on: true, build: zfs::build },
];

/// The section `collectors`: when to read, and a section per collector, which is its own `Config`, or `true`, or `false`.
///
/// ```yaml
/// collectors:
///   interval: 15s
///   netdev: { device_exclude: "^veth" }
///   uname: false
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Time between two rounds. They are aligned to it, shifted by a part that depends on the node's name.
    pub interval: Span,
    /// How long a round may take; what is not read by then is left out of it, and said. By default 10 s, or the
    /// interval where that is shorter.
    pub deadline: Span,
    /// By name; checked.
    sections: BTreeMap<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Span::secs(15), deadline: Span::secs(10), sections: BTreeMap::new() }
    }
}

/// Reads the host in every interval until shutdown, and hands on one set of all collectors; failures are counted in `registry`.
///
/// # Errors
/// Where a collector cannot be built from its section.
pub async fn run(config: Config, ctx: Context, registry: SharedRegistry) -> Result<(), RunError> {
    let collectors = config.collectors(None)?;
    runner::run(collectors, config.interval.0, ctx, registry).await
}

/// One round, of all collectors that are on or of one by name. Counters that must not go back are only kept from
/// doing so by [`Config::collectors`], which remembers.
///
/// # Errors
/// Where the name is unknown or a collector cannot be built.
pub fn collect_once(
    config: &Config,
    roots: &Roots,
    only: Option<&str>,
    at_ms: i64,
) -> Result<MetricSet, RunError> {
    Ok(config.collectors(only)?.round(&Arc::new(roots.clone()), at_ms))
}

impl Config {
    /// All collectors that are on, or the one that is named; for rounds one after the other.
    ///
    /// # Errors
    /// Where the name is unknown or a collector cannot be built.
    pub fn collectors(&self, only: Option<&str>) -> Result<Collectors, RunError> {
        let Some(name) = only else { return Collectors::build(self.chosen(), self.deadline.0) };
        let Some(entry) = COLLECTORS.iter().find(|entry| entry.name == name) else {
            return Err(RunError::Unknown { name: name.to_owned(), known: names() });
        };
        let section = self.sections.get(name).filter(|section| !section.is_bool()).cloned();
        Collectors::build([(entry, section)], self.deadline.0)
    }

    /// The collectors that are on, each with its section.
    fn chosen(&self) -> impl Iterator<Item = (&'static Entry, Option<Value>)> {
        COLLECTORS.iter().filter_map(|entry| match self.sections.get(entry.name) {
            None => entry.default_on.then_some((entry, None)),
            Some(Value::Bool(on)) => on.then_some((entry, None)),
            Some(section) => Some((entry, Some(section.clone()))),
        })
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section with interval, deadline and collectors")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Config, E> {
        Ok(Config::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut config = Config::default();
        let mut deadline = None;
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "interval" => config.interval = map.next_value()?,
                "deadline" => deadline = Some(map.next_value()?),
                name => {
                    let section = map.next_value()?;
                    check(name, &section).map_err(de::Error::custom)?;
                    config.sections.insert(key, section);
                }
            }
        }
        if config.interval < Span::secs(1) {
            return Err(de::Error::custom(format!("interval: {} is less than a second", config.interval)));
        }
        config.deadline = deadline.unwrap_or(config.deadline.min(config.interval));
        if config.deadline.0.is_zero() || config.deadline > config.interval {
            let Config { deadline, interval, .. } = config;
            let text = format!(
                "deadline: {deadline} must be more than nothing and at most the interval, {interval}"
            );
            return Err(de::Error::custom(text));
        }
        Ok(config)
    }
}

/// Builds the collector, only to see whether it can be.
fn check(name: &str, section: &Value) -> Result<(), String> {
    let Some(entry) = COLLECTORS.iter().find(|entry| entry.name == name) else {
        return Err(format!("{name}: there is no such collector; there are {}", names()));
    };
    let section = (!section.is_bool()).then(|| section.clone());
    (entry.build)(section).map(drop).map_err(|why| format!("{name}: {why}"))
}

fn names() -> String {
    COLLECTORS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
