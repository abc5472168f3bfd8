//! Promtail's `journal`: its folder, its labels, the units that it takes, and the rules which make labels of fields.

use serde_yaml_ng::{Mapping, Value};

use super::relabel::{self, Is};

/// What comes out.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// `logs.journal`.
    pub(super) section: Mapping,
    /// What means its lines.
    pub(super) selector: String,
    /// Of parts without an equivalent: where, and why.
    pub(super) missing: Vec<(String, String)>,
    /// Of parts that need none.
    pub(super) notes: Vec<(String, &'static str)>,
}

/// `rules`: the scrape configuration's `relabel_configs`.
pub(super) fn convert(section: &Value, rules: Option<&Value>) -> Journal {
    let mut journal = Journal::default();
    for (key, value) in section.as_mapping().into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        match key {
            "path" => journal.set("folders", Value::Sequence(vec![value.clone()])),
            "labels" => journal.set("labels", value.clone()),
            "matches" => match units(value.as_str().unwrap_or_default()) {
                Some(units) => journal.set("units", Value::Sequence(units)),
                None => journal
                    .miss(key, "only _SYSTEMD_UNIT is chosen by; see the stage match with action: drop"),
            },
            "max_age" => {
                journal.set(key, value.clone());
                journal.note(key, "at the very first start; later, reading goes on from where it had come");
            }
            "json" if value.as_bool() == Some(true) => {
                journal.miss(key, "a line is the message, and the rest is structured metadata");
            }
            "json" => {}
            key => journal.miss(key, "logs.journal has no such option"),
        }
    }
    let job = section.get("labels").and_then(|labels| labels.get("job")).and_then(Value::as_str);
    journal.selector = format!("{{job={:?}}}", job.unwrap_or("systemd-journal"));
    if let Some(rules) = rules.and_then(Value::as_sequence) {
        let mut fields = Mapping::new();
        for (index, rule) in rules.iter().enumerate() {
            match relabel::of_journal(rule) {
                Is::Field(field, label) => {
                    fields.insert(label.into(), field.into());
                }
                Is::Missing(rule, hint) => {
                    journal.missing.push((format!("relabel_configs[{index}]"), format!("{rule}: {hint}")));
                }
                Is::Known | Is::Pod(..) | Is::Stage(_) => {}
            }
        }
        journal.set("fields", Value::Mapping(fields));
    }
    journal
}

impl Journal {
    fn set(&mut self, key: &str, value: Value) {
        self.section.insert(key.into(), value);
    }

    fn miss(&mut self, key: &str, why: &str) {
        self.missing.push((format!("journal.{key}"), why.to_owned()));
    }

    fn note(&mut self, key: &str, why: &'static str) {
        self.notes.push((format!("journal.{key}"), why));
    }
}

/// Of `_SYSTEMD_UNIT=a.service + _SYSTEMD_UNIT=b.service`: several of one field are alternatives with and without `+`.
fn units(matches: &str) -> Option<Vec<Value>> {
    let words = matches.split_whitespace().filter(|word| *word != "+");
    words.map(|word| word.strip_prefix("_SYSTEMD_UNIT=").map(Value::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(section: &str, rules: &str) -> Journal {
        let yaml = |text| serde_yaml_ng::from_str::<Value>(text).unwrap();
        convert(&yaml(section), Some(&yaml(rules)))
    }

    /// Scenario: the example of Promtail's documentation with more of what people have; one with parts that there are not.
    /// Guarantees: the first becomes ours whole, in a form that the agent takes; of the second each part is named.
    #[test]
    fn journals() {
        let made = of(
            "{json: false, max_age: 12h, path: /var/log/journal, labels: {job: host}, matches: _SYSTEMD_UNIT=a.service + _SYSTEMD_UNIT=b.service}",
            "[{source_labels: ['__journal__systemd_unit'], target_label: unit}, {source_labels: [__journal__hostname], target_label: nodename}, {source_labels: [__journal_syslog_identifier], action: replace, regex: (.+), target_label: program}]",
        );
        assert!(made.missing.is_empty(), "{:?}", made.missing);
        assert_eq!(made.selector, r#"{job="host"}"#);
        let expect = "max_age: 12h
folders:
- /var/log/journal
labels:
  job: host
units:
- a.service
- b.service
fields:
  unit: _SYSTEMD_UNIT
  nodename: _HOSTNAME
  program: SYSLOG_IDENTIFIER
";
        let text = serde_yaml_ng::to_string(&made.section).unwrap();
        assert_eq!(text, expect);
        serde_yaml_ng::from_str::<crate::logs::journal::Config>(&text).unwrap();

        let made = of(
            "{json: true, matches: _UID=0, foo: 1}",
            "[{source_labels: [__journal_priority_keyword], target_label: level}, {action: labelmap, regex: __journal__(.+)}, {source_labels: [__journal__systemd_unit], regex: ssh.*, action: keep}]",
        );
        let places: Vec<&str> = made.missing.iter().map(|(place, _)| place.as_str()).collect();
        let expect = [
            "journal.json",
            "journal.matches",
            "journal.foo",
            "relabel_configs[0]",
            "relabel_configs[1]",
            "relabel_configs[2]",
        ];
        assert_eq!(places, expect);
        assert_eq!(made.selector, r#"{job="systemd-journal"}"#);
    }
}
