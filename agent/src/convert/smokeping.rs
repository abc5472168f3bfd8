//! Smokeping's configuration: its targets as groups of `latency`, its alerts as they are, its probes as what they ask.
//!
//! `grammar.rs` reads the files. A file may be the section `Targets` alone; what the others would say is then ours by
//! default.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml_ng::{Mapping, Value};

use super::notes::{Made, Notes};
use crate::latency::alert::Alert;
use grammar::Node;

mod grammar;

/// Values of a node that are for Smokeping's own pages and its way of running: there is nothing to do.
const OWN: [&str; 16] = [
    "menu",
    "title",
    "remark",
    "menuextra",
    "hide",
    "nomenu",
    "binary",
    "hostinterval",
    "mininterval",
    "offset",
    "usestdout",
    "blazemode",
    "forks",
    "influx_location",
    "weight",
    "sort_order",
];

/// The length of Smokeping's rounds and their pings where its section `Database` is not there.
const STEP: &str = "300";
const PINGS: &str = "20";

/// What is built.
#[derive(Default)]
struct Work {
    notes: Notes,
    alerts: Mapping,
    /// Probes by name: their class, and their values over those of the class.
    probes: BTreeMap<String, (String, BTreeMap<String, String>)>,
}

/// # Errors
/// What makes it no configuration of Smokeping.
pub(super) fn convert(text: &str, open: &dyn Fn(&Path) -> Option<String>) -> Result<Made, String> {
    let sections = grammar::read(text, open)?;
    let targets = sections.nodes.get("Targets").ok_or("it has no section *** Targets ***")?;
    let mut work = Work::default();
    for path in &sections.missing {
        work.notes.miss(&format!("@include {}", path.display()), "the file is not there");
    }
    for (name, node) in &sections.nodes {
        match name.as_str() {
            "Probes" => work.probes(node),
            "Alerts" => work.alerts(node),
            "Slaves" if !node.nodes.is_empty() => {
                work.notes.miss(
                    "Slaves",
                    "each agent has targets of its own; give each these of them that it is to ping",
                );
            }
            "Targets" | "Database" | "Slaves" => {}
            other => work.notes.note(&format!("{other}: not needed here")),
        }
    }
    let database = sections.nodes.get("Database");
    let of = |key, other| database.and_then(|node| node.get(key)).unwrap_or(other).to_owned();
    let base: BTreeMap<String, String> =
        [("step".to_owned(), of("step", STEP)), ("pings".to_owned(), of("pings", PINGS))].into();
    let mut latency = work.group(targets, &base, "Targets", None);
    if !work.alerts.is_empty() {
        latency.insert("alerts".into(), Value::Mapping(std::mem::take(&mut work.alerts)));
    }
    // The gateway, which is a target by default, is none of Smokeping's.
    latency.entry("targets".into()).or_insert(Value::Sequence(Vec::new()));
    Ok(work.made(latency))
}

impl Work {
    fn probes(&mut self, node: &Node) {
        for class in &node.nodes {
            self.probes.insert(class.name.clone(), (class.name.clone(), class.values.clone()));
            for own in &class.nodes {
                let mut values = class.values.clone();
                values.extend(own.values.clone());
                self.probes.insert(own.name.clone(), (class.name.clone(), values));
            }
        }
    }

    fn alerts(&mut self, node: &Node) {
        for (key, _) in node.values.iter().filter(|(key, _)| *key != "from") {
            self.notes.note(&format!(
                "Alerts.{key}: who is told is Alertmanager's; ao-agent alerts prints the rules"
            ));
        }
        for alert in &node.nodes {
            let place = format!("Alerts.{}", alert.name);
            let (kind, pattern) =
                (alert.get("type").unwrap_or_default(), alert.get("pattern").unwrap_or_default());
            if let Err(why) = Alert::new(kind, pattern, false) {
                self.notes.miss(&place, &why);
                continue;
            }
            let mut made = Mapping::new();
            made.insert("type".into(), kind.into());
            made.insert("pattern".into(), pattern.into());
            if alert.get("edgetrigger").is_some_and(|value| matches!(value, "yes" | "true" | "on" | "1")) {
                made.insert("edgetrigger".into(), true.into());
            }
            if let Some(comment) = alert.get("comment") {
                made.insert("comment".into(), comment.into());
            }
            if let Some(priority) = alert.get("priority").and_then(|text| text.parse::<u32>().ok()) {
                made.insert("priority".into(), priority.into());
            }
            for key in alert.values.keys() {
                if !["type", "pattern", "edgetrigger", "comment", "priority"].contains(&key.as_str()) {
                    self.notes.note(&format!("{place}.{key}: who is told, and how, is Alertmanager's"));
                }
            }
            self.alerts.insert(alert.name.as_str().into(), Value::Mapping(made));
        }
    }

    /// A node and what is in it. `inherited`: values of the nodes around it. `before`: what the group around it says.
    fn group(
        &mut self,
        node: &Node,
        inherited: &BTreeMap<String, String>,
        place: &str,
        before: Option<&Mapping>,
    ) -> Mapping {
        let mut values = inherited.clone();
        values.extend(node.values.clone());
        // A host is of its own node alone.
        values.remove("host");
        let settings = self.settings(&values, node, place);
        // Only what is not so already.
        let mut made: Mapping = settings
            .iter()
            .filter(|(key, value)| before.and_then(|b| b.get(key)) != Some(value))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let mut targets = Vec::new();
        if let Some(host) = node.get("host") {
            targets.extend(self.target(&node.name, host, place));
        }
        let mut groups = Vec::new();
        for inner in &node.nodes {
            let place = format!("{place}/{}", inner.name);
            let group = self.group(inner, &values, &place, Some(&settings));
            let only_targets = group.keys().all(|key| key == "targets");
            // A leaf that says nothing of its own is a target of this group.
            if inner.nodes.is_empty() && only_targets {
                targets
                    .extend(group.get("targets").and_then(Value::as_sequence).cloned().unwrap_or_default());
                continue;
            }
            let mut named = Mapping::new();
            named.insert("name".into(), inner.name.as_str().into());
            named.extend(group);
            groups.push(Value::Mapping(named));
        }
        if !targets.is_empty() {
            made.insert("targets".into(), Value::Sequence(targets));
        }
        if !groups.is_empty() {
            made.insert("groups".into(), Value::Sequence(groups));
        }
        made
    }

    fn target(&mut self, name: &str, host: &str, place: &str) -> Option<Value> {
        if host.starts_with('/') {
            self.notes.note(&format!(
                "{place}.host: a page of several targets: Grafana's boards show any of them together"
            ));
            return None;
        }
        if host.starts_with("DYNAMIC") {
            self.notes.miss(
                &format!("{place}.host"),
                "a host whose address it tells itself: give it a name that is kept up to date",
            );
            return None;
        }
        let mut labels = Mapping::new();
        labels.insert("name".into(), name.into());
        let mut target = Mapping::new();
        target.insert("host".into(), host.into());
        target.insert("labels".into(), Value::Mapping(labels));
        Some(Value::Mapping(target))
    }

    /// All that holds for a node, under our names. Only what the node itself says is complained about.
    fn settings(&mut self, values: &BTreeMap<String, String>, node: &Node, place: &str) -> Mapping {
        let name = values.get("probe").map_or("FPing", String::as_str);
        let (class, mut all) =
            self.probes.get(name).cloned().unwrap_or_else(|| (name.to_owned(), BTreeMap::new()));
        // The round of Database is the least, a probe's goes over it, the target's over both.
        for (key, value) in values {
            let of_database = matches!(key.as_str(), "step" | "pings") && !node.values.contains_key(key);
            if !of_database || !all.contains_key(key) {
                all.insert(key.clone(), value.clone());
            }
        }
        let mut made = Mapping::new();
        let asked = probe(&class, &all).unwrap_or_else(|why| {
            // Those that inherit it need not say so again.
            if node.values.contains_key("probe") || place == "Targets" {
                self.notes.miss(&format!("{place}.probe = {name}"), &why);
            }
            "icmp".into()
        });
        made.insert("probe".into(), asked);
        let mut put =
            |key: &str, value: Option<Value>| drop(value.map(|value| made.insert(key.into(), value)));
        let seconds = |key: &str| all.get(key).and_then(|text| text.parse::<f64>().ok());
        put("interval", seconds("step").map(|s| format!("{s}s").into()));
        put("pings", all.get("pings").and_then(|text| text.parse::<u32>().ok()).map(Value::from));
        put("timeout", seconds("timeout").map(|s| format!("{s}s").into()));
        put("size", all.get("packetsize").and_then(|text| text.parse::<u16>().ok()).map(Value::from));
        let tos = all.get("tos").and_then(|text| {
            text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u8::from_str_radix(hex, 16).ok())
        });
        put("tos", tos.map(Value::from));
        put("source", all.get("sourceaddress").map(|text| text.as_str().into()));
        let raise = all.get("alerts").map(|names| {
            names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        if let Some(names) = raise {
            let (known, unknown): (Vec<_>, Vec<_>) =
                names.into_iter().partition(|name| self.alerts.contains_key(name.as_str()));
            made.insert("raise".into(), known.into_iter().map(Value::from).collect::<Vec<_>>().into());
            if node.values.contains_key("alerts") {
                for name in unknown {
                    self.notes.miss(&format!("{place}.alerts"), &format!("there is no alert {name:?}"));
                }
            }
        }
        for key in node.values.keys() {
            if !OWN.contains(&key.as_str()) && !READ.contains(&key.as_str()) {
                self.notes.miss(&format!("{place}.{key}"), "there is no equivalent");
            }
        }
        made
    }

    fn made(self, latency: Mapping) -> Made {
        let mut whole = Mapping::new();
        whole.insert("latency".into(), Value::Mapping(latency));
        self.notes.above(whole, |config| config.latency.check())
    }
}

/// Values of a node that [`Work::settings`] and [`probe`] read.
const READ: [&str; 19] = [
    "probe",
    "host",
    "alerts",
    "step",
    "pings",
    "timeout",
    "packetsize",
    "tos",
    "sourceaddress",
    "port",
    "lookup",
    "recordtype",
    "urlformat",
    "insecure_ssl",
    "url",
    "udp",
    "server",
    "require_noerror",
    "protocol",
];

/// What a class of Smokeping's probes asks.
fn probe(class: &str, values: &BTreeMap<String, String>) -> Result<Value, String> {
    let get = |key: &str| values.get(key).map(String::as_str);
    let port =
        |other: u16| get("port").map_or(Ok(other), |text| text.parse().map_err(|_| format!("port {text:?}")));
    let mapping = |of: Vec<(&str, Value)>| -> Value {
        Value::Mapping(of.into_iter().map(|(key, value)| (key.into(), value)).collect::<Mapping>())
    };
    let one = |kind: &str, of: Vec<(&str, Value)>| mapping(vec![(kind, mapping(of))]);
    match class {
        "RemoteFPing" => Err(
            "it pings from another host: icmp from this one stands in its place; for the other's, run an \
                              agent there"
                .to_owned(),
        ),
        "FPing" | "FPing6" | "FPingContinuous" if class == "FPing6" || get("protocol") == Some("6") => {
            Err("icmp takes the IPv4 address of a host that has both: give hosts by their IPv6 addresses"
                .to_owned())
        }
        "FPing" | "FPingContinuous" => Ok("icmp".into()),
        "TCPPing" | "SSH" | "AnotherSSH" | "OpenSSHEOSPing" => {
            Ok(one("tcp", vec![("port", port(if class == "TCPPing" { 80 } else { 22 })?.into())]))
        }
        "EchoPing" if get("udp") == Some("yes") => Ok(one("udp", vec![("port", port(7)?.into())])),
        "EchoPing" => Ok(one("tcp", vec![("port", port(7)?.into())])),
        "DNS" | "AnotherDNS" => {
            let mut of = vec![
                ("query", get("lookup").unwrap_or("localhost").into()),
                ("record", get("recordtype").unwrap_or("A").into()),
                ("port", port(53)?.into()),
            ];
            if get("require_noerror").is_some_and(|value| value != "0") {
                of.push(("require_noerror", true.into()));
            }
            Ok(one("dns", of))
        }
        "EchoPingHttp" => {
            let path = get("url").unwrap_or("/");
            Ok(one("http", vec![("port", port(80)?.into()), ("path", path.into())]))
        }
        "Curl" => {
            let url = get("urlformat").unwrap_or("http://%host%/");
            let (secure, rest) = match (url.strip_prefix("https://%host%"), url.strip_prefix("http://%host%"))
            {
                (Some(rest), _) => (true, rest),
                (_, Some(rest)) => (false, rest),
                _ => return Err(format!("{url:?}: only http(s)://%host%/... can be asked for here")),
            };
            let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let port: u16 = match port.strip_prefix(':') {
                Some(port) => port.parse().map_err(|_| format!("no port in {url:?}"))?,
                None if secure => 443,
                None => 80,
            };
            let path = if path.is_empty() { "/" } else { path };
            let mut of = vec![("port", port.into()), ("path", path.into())];
            if secure {
                let unchecked = get("insecure_ssl").is_some_and(|value| value != "0");
                of.push((
                    "tls",
                    mapping(if unchecked { vec![("verify", false.into())] } else { Vec::new() }),
                ));
            }
            Ok(one("http", of))
        }
        other => Err(format!("there is no probe like {other}: icmp stands in its place")),
    }
}

#[cfg(test)]
mod tests;
