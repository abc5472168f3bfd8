//! The alerts as a file of rules for Prometheus, whose alerts Alertmanager takes: they are evaluated at the agents, so
//! that the rules only ask for what these say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::definition::Alert;

/// YAML: one rule for each alert.
pub fn rules(alerts: &BTreeMap<String, Alert>) -> String {
    let mut out = String::from("groups:\n  - name: ao-latency\n    rules:\n");
    for (name, alert) in alerts {
        // A JSON string is a YAML one.
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let selector = name.replace('\\', "\\\\").replace('"', "\\\"");
        let severity = match alert.priority {
            Some(0..=10) => "critical",
            _ => "warning",
        };
        let comment = if alert.comment.is_empty() { format!("alert {name}") } else { alert.comment.clone() };
        // Writing to a String cannot fail.
        let _ok = write!(
            out,
            "      - alert: {}\n        expr: {}\n        labels:\n          severity: {severity}\n        annotations:\n          \
             summary: {}\n          description: {}\n",
            text(name),
            text(&format!("ao_latency_alert{{alert=\"{selector}\"}} == 1")),
            text(&format!("{} to {{{{ $labels.host }}}} from {{{{ $labels.node }}}}", comment)),
            text(&format!("type {}, pattern {}", alert.kind, alert.pattern)),
        );
    }
    if alerts.is_empty() {
        return "groups: []\n".to_owned();
    }
    out
}
