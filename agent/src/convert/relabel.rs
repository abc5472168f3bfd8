//! Rules by which Promtail makes labels of what Kubernetes says of a pod: those of its chart are what we do anyway, some
//! others have an equivalent, and of each of the rest it is said what it is.

use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};

/// A rule (Prometheus' `relabel_config`).
#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default)]
    source_labels: Vec<String>,
    #[serde(default)]
    separator: Option<String>,
    #[serde(default)]
    regex: Option<Value>,
    #[serde(default)]
    target_label: Option<String>,
    #[serde(default)]
    replacement: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(flatten)]
    others: Mapping,
}

/// What a rule is here.
#[derive(Debug, PartialEq)]
pub(super) enum Is {
    /// Done without it.
    Known,
    /// These labels of the pod become this label.
    Pod(Vec<String>, String),
    /// This field of a journal's entries becomes this label.
    Field(String, String),
    /// A stage.
    Stage(Value),
    /// Nothing: the rule in a few words, and what may help.
    Missing(String, &'static str),
}

const OF_POD: &str = "__meta_kubernetes_pod_label_";
/// What Kubernetes says of a pod, and our label for it.
const OURS: [(&str, &str); 6] = [
    ("__meta_kubernetes_namespace", "namespace"),
    ("__meta_kubernetes_pod_name", "pod"),
    ("__meta_kubernetes_pod_container_name", "container"),
    ("__meta_kubernetes_pod_node_name", "node_name"),
    ("__meta_kubernetes_pod_label_app_kubernetes_io_name", "app"),
    ("__meta_kubernetes_pod_label_app", "app"),
];
/// Labels that we set by ourselves: whatever rules make them, they say the same.
const SET: [&str; 7] = ["namespace", "pod", "container", "node_name", "app", "job", "stream"];

/// What the rule of a list of pods is here.
pub(super) fn of_pods(rule: &Value) -> Is {
    let Ok(rule) = serde_yaml_ng::from_value::<Rule>(rule.clone()) else {
        return Is::Missing("a rule in no form that is known".to_owned(), "see enrich.pod_labels");
    };
    let action = rule.action.as_deref().unwrap_or("replace").to_ascii_lowercase();
    let source = rule.source_labels.iter().map(String::as_str).collect::<Vec<_>>();
    let missing = |hint| Is::Missing(rule.shown(&action), hint);
    if !rule.others.is_empty() {
        return missing("it has options that are not known");
    }
    match (&*action, rule.target_label.as_deref()) {
        // Where files lie, and what only other rules see.
        ("replace", Some(target)) if target == "__path__" || target.starts_with("__tmp") => Is::Known,
        ("replace", Some("__host__")) => Is::Known,
        ("replace", Some("app" | "job")) => Is::Known,
        ("replace", Some(target)) => {
            let ours = source.first().and_then(|source| of_kubernetes(source));
            if source.len() == 1 && ours == Some(target) {
                return Is::Known;
            }
            let names: Option<Vec<_>> = source.iter().map(|source| name_of(source)).collect();
            match names {
                Some(names) if !names.is_empty() && rule.takes_all() && !SET.contains(&target) => {
                    Is::Pod(names, target.to_owned())
                }
                _ => missing("see enrich.pod_labels and the stages static_labels, template and labels"),
            }
        }
        ("keep" | "drop", _) => match rule.selector(&source, action == "drop") {
            Some(stage) => Is::Stage(stage),
            None => missing("see the stage match with action: drop"),
        },
        ("labelmap", _) => missing("name each label in enrich.pod_labels"),
        ("labeldrop" | "labelkeep", _) => missing("see the stages labeldrop and labelallow"),
        _ => missing("see the stages template and labels"),
    }
}

/// What the rule of a journal is here: its entries' fields are sources by their names in lower case.
pub(super) fn of_journal(rule: &Value) -> Is {
    let Ok(rule) = serde_yaml_ng::from_value::<Rule>(rule.clone()) else {
        return Is::Missing("a rule in no form that is known".to_owned(), "see logs.journal.fields");
    };
    let action = rule.action.as_deref().unwrap_or("replace").to_ascii_lowercase();
    let missing = |hint| Is::Missing(rule.shown(&action), hint);
    match (&*action, &rule.source_labels[..], rule.target_label.as_deref()) {
        ("replace", [source], Some(_)) if source == "__journal_priority_keyword" => {
            missing("the level is structured metadata of each line; see the stage labels")
        }
        ("replace", [source], Some(target)) if rule.takes_all() && rule.others.is_empty() => {
            match source.strip_prefix("__journal_") {
                Some(field) => Is::Field(field.to_ascii_uppercase(), target.to_owned()),
                None => missing("it is no field of an entry"),
            }
        }
        ("labelmap", ..) => missing("name each field in logs.journal.fields"),
        ("keep" | "drop", ..) => missing("see logs.journal.units, and the stage match with action: drop"),
        _ => missing("see logs.journal.fields and the stages template and labels"),
    }
}

fn of_kubernetes(source: &str) -> Option<&'static str> {
    OURS.iter().find(|(theirs, _)| *theirs == source).map(|(_, ours)| *ours)
}

/// The label of a pod behind its name in Prometheus, where `.`, `/` and `-` are `_`: known where it has none of them,
/// or is one of those that Kubernetes recommends.
fn name_of(source: &str) -> Option<String> {
    let name = source.strip_prefix(OF_POD)?;
    if !name.contains('_') {
        return Some(name.to_owned());
    }
    let known = name.strip_prefix("app_kubernetes_io_")?;
    let known =
        if known == "part_of" || known == "managed_by" { known.replace('_', "-") } else { known.to_owned() };
    (!known.contains('_')).then(|| format!("app.kubernetes.io/{known}"))
}

impl Rule {
    /// The value becomes the label as it is, that of the first label which has one.
    fn takes_all(&self) -> bool {
        let regex = match &self.regex {
            None => "(.*)",
            Some(regex) => regex.as_str().unwrap_or_default(),
        };
        let all = ["(.*)", "(.+)", "^;*([^;]+)(;.*)?$"].contains(&regex);
        let first = self.source_labels.len() == 1 || regex.starts_with("^;*");
        all && first && self.replacement.as_deref().is_none_or(|with| with == "$1" || with == "${1}")
    }

    /// A stage that leaves out the lines of pods that the rule leaves out.
    fn selector(&self, source: &[&str], drops: bool) -> Option<Value> {
        let [source] = source else { return None };
        let label = of_kubernetes(source)?;
        let regex = self.regex.as_ref()?.as_str()?;
        if self.separator.is_some() || regex.contains('`') {
            return None;
        }
        let operator = if drops { "=~" } else { "!~" };
        let mut section = Mapping::new();
        section.insert("selector".into(), format!("{{{label}{operator}`{regex}`}}").into());
        section.insert("action".into(), "drop".into());
        section.insert("drop_counter_reason".into(), "relabel".into());
        let mut stage = Mapping::new();
        stage.insert("match".into(), Value::Mapping(section));
        Some(Value::Mapping(stage))
    }

    /// In a few words.
    fn shown(&self, action: &str) -> String {
        let mut text = format!("{action} of [{}]", self.source_labels.join(", "));
        if let Some(regex) = self.regex.as_ref().and_then(Value::as_str) {
            text.push_str(&format!(" by {regex:?}"));
        }
        if let Some(target) = &self.target_label {
            text.push_str(&format!(" to {target}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> Is {
        of_pods(&serde_yaml_ng::from_str(yaml).unwrap())
    }

    /// Scenario: rules of Promtail's chart, common additions, and ones without an equivalent.
    /// Guarantees: the first need nothing; the second become ours, in our form; the third are named with what they do.
    #[test]
    fn rules() {
        for known in [
            "{source_labels: [__meta_kubernetes_pod_controller_name], regex: '([0-9a-z-.]+?)(-[0-9a-f]{8,10})?', action: replace, target_label: __tmp_controller_name}",
            "{source_labels: [__meta_kubernetes_pod_label_app, __tmp_controller_name], regex: '^;*([^;]+)(;.*)?$', target_label: app}",
            "{source_labels: [__meta_kubernetes_pod_node_name], action: replace, target_label: node_name}",
            "{source_labels: [namespace, app], separator: /, replacement: $1, target_label: job}",
            "{source_labels: [__meta_kubernetes_pod_uid, __meta_kubernetes_pod_container_name], separator: /, replacement: '/var/log/pods/*$1/*.log', target_label: __path__}",
        ] {
            assert_eq!(of(known), Is::Known, "{known}");
        }
        let pod = |names: &[&str], to: &str| {
            Is::Pod(names.iter().map(|n| (*n).to_owned()).collect(), to.to_owned())
        };
        assert_eq!(
            of(
                "{source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_instance, __meta_kubernetes_pod_label_instance], regex: '^;*([^;]+)(;.*)?$', target_label: instance}"
            ),
            pod(&["app.kubernetes.io/instance", "instance"], "instance")
        );
        assert_eq!(
            of("{source_labels: [__meta_kubernetes_pod_label_team], target_label: squad}"),
            pod(&["team"], "squad")
        );
        for (rule, selector) in [
            (
                "{source_labels: [__meta_kubernetes_namespace], regex: kube-system|dev, action: drop}",
                "{namespace=~`kube-system|dev`}",
            ),
            (
                "{source_labels: [__meta_kubernetes_pod_label_app], regex: shop.*, action: keep}",
                "{app!~`shop.*`}",
            ),
        ] {
            let Is::Stage(stage) = of(rule) else { panic!("{rule}") };
            assert_eq!(stage["match"]["selector"].as_str(), Some(selector));
        }
        for (rule, text) in [
            (
                "{action: labelmap, regex: '__meta_kubernetes_pod_label_(.+)'}",
                "labelmap of [] by \"__meta_kubernetes_pod_label_(.+)\"",
            ),
            (
                "{source_labels: [__meta_kubernetes_pod_label_my_team], target_label: team}",
                "replace of [__meta_kubernetes_pod_label_my_team] to team",
            ),
            (
                "{source_labels: [__meta_kubernetes_pod_annotation_log], regex: 'true', action: keep}",
                "keep of [__meta_kubernetes_pod_annotation_log] by \"true\"",
            ),
            (
                "{source_labels: [__meta_kubernetes_pod_label_a], regex: 'x(.*)', target_label: b}",
                "replace of [__meta_kubernetes_pod_label_a] by \"x(.*)\" to b",
            ),
            ("{source_labels: [a], modulus: 3, action: hashmod, target_label: c}", "hashmod of [a] to c"),
            ("3", "a rule in no form"),
        ] {
            let Is::Missing(shown, _) = of(rule) else { panic!("{rule}") };
            assert!(shown.starts_with(text), "{shown}");
        }
    }
}
