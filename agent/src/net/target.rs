//! What to probe: a host with labels, as configuration and directives name it.

use std::collections::BTreeMap;

use ao_proto::v1;
use serde::Deserialize;

/// A target: `"one.example.com"`, `"192.0.2.1"`, `"gateway"`, or `{host: ..., labels: {...}}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "Text")]
pub struct TargetSpec {
    /// Name or address; [`GATEWAY`](super::GATEWAY) is the default gateway.
    pub host: String,
    /// Extra labels on this target's series.
    pub labels: BTreeMap<String, String>,
}

/// The two ways of writing it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Host(String),
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    host: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl From<Text> for TargetSpec {
    fn from(text: Text) -> Self {
        match text {
            Text::Host(host) => Self { host, labels: BTreeMap::new() },
            Text::Full(Full { host, labels }) => Self { host, labels },
        }
    }
}

impl From<&str> for TargetSpec {
    fn from(host: &str) -> Self {
        Self { host: host.to_owned(), labels: BTreeMap::new() }
    }
}

impl TargetSpec {
    /// The configured targets and those of the aggregator, each host once: the configuration's labels win.
    pub fn merge(configured: &[Self], directed: &[v1::Target]) -> Vec<Self> {
        let directed = directed.iter().map(|target| Self {
            host: target.host.clone(),
            labels: target.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        });
        let mut by_host = BTreeMap::new();
        for target in configured.iter().cloned().chain(directed) {
            if !target.host.is_empty() {
                by_host.entry(target.host.clone()).or_insert(target);
            }
        }
        by_host.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: targets as people write them.
    /// Guarantees: a text and a mapping both work; a misspelt key is refused.
    #[test]
    fn written() {
        let read = |text| serde_yaml_ng::from_str::<Vec<TargetSpec>>(text);
        let found = read("[gateway, {host: 192.0.2.1, labels: {site: ham}}]").unwrap();
        assert_eq!(found[0], TargetSpec::from("gateway"));
        assert_eq!((found[1].host.as_str(), found[1].labels["site"].as_str()), ("192.0.2.1", "ham"));
        assert!(read("[{hots: 192.0.2.1}]").is_err());
    }

    /// Scenario: the aggregator names a host that the configuration has, and one that it has not.
    /// Guarantees: each host once, the configuration's labels stay.
    #[test]
    fn merged() {
        let mine = TargetSpec { host: "a".into(), labels: BTreeMap::from([("from".into(), "file".into())]) };
        let directed = ["a", "b", ""].map(|host| v1::Target { host: host.into(), ..Default::default() });
        let merged = TargetSpec::merge(std::slice::from_ref(&mine), &directed);
        assert_eq!(merged, [mine, TargetSpec::from("b")]);
    }
}
