//! Promtail's configuration: each scrape configuration's files with their labels, and its stages as they are.
//!
//! In Promtail each scrape configuration has stages of its own; here are one list of stages and all files, so that with
//! several, each one's stages stand in a `match` that means its files.

use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};

use super::journal;
use super::notes::{Made, Notes};
use super::relabel::{self, Is};
use crate::pipeline::Stages;

#[derive(Deserialize)]
struct Promtail {
    #[serde(default)]
    clients: Vec<Mapping>,
    #[serde(default)]
    scrape_configs: Vec<Scrape>,
    #[serde(flatten)]
    others: Mapping,
}

#[derive(Deserialize)]
struct Scrape {
    #[serde(default)]
    job_name: String,
    #[serde(default)]
    pipeline_stages: Vec<Value>,
    #[serde(default)]
    static_configs: Vec<Static>,
    #[serde(flatten)]
    others: Mapping,
}

#[derive(Deserialize)]
struct Static {
    #[serde(default)]
    labels: Mapping,
}

/// Sections that say how Promtail itself runs: there is nothing to do.
const OWN: [&str; 5] = ["server", "positions", "tracing", "options", "global"];

/// Notes, and what is built.
#[derive(Default)]
struct Work {
    notes: Notes,
    files: Vec<Value>,
    journal: Option<Mapping>,
    stages: Vec<Value>,
    /// Those of the last scrape configuration that takes pods.
    pod_stages: Option<Vec<Value>>,
    /// Labels of pods that become labels of their streams.
    pod_labels: Mapping,
}

/// # Errors
/// What makes it no configuration of Promtail.
pub(super) fn convert(text: &str) -> Result<Made, String> {
    let promtail: Promtail = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    if promtail.scrape_configs.is_empty() {
        return Err("it has no scrape_configs".to_owned());
    }
    let mut work = Work::default();
    for key in promtail.others.keys().filter_map(Value::as_str) {
        if OWN.contains(&key) {
            work.notes.note(&format!("{key}: not needed here"));
        } else {
            work.notes.miss(key, "there is none; for limits see logs.max_line and the stage limit");
        }
    }
    let several = promtail.scrape_configs.iter().filter(|one| !one.pipeline_stages.is_empty()).count() > 1
        || promtail.scrape_configs.len() > 1;
    let takes_pods = |one: &&Scrape| one.others.contains_key("kubernetes_sd_configs");
    let pods = promtail.scrape_configs.iter().filter(takes_pods).count();
    for (index, scrape) in promtail.scrape_configs.into_iter().enumerate() {
        work.scrape(&format!("scrape_configs[{index}]"), scrape, several, pods < 2);
    }
    for (index, client) in promtail.clients.iter().enumerate() {
        work.client(index, client);
    }
    Ok(work.made())
}

impl Work {
    fn client(&mut self, index: usize, client: &Mapping) {
        let place = format!("clients[{index}]");
        for (key, value) in client {
            match key.as_str().unwrap_or_default() {
                "url" => {
                    let url = value.as_str().unwrap_or_default();
                    // Without a password that may stand in it.
                    let host = url.rsplit('@').next().unwrap_or_default();
                    self.notes.note(&format!(
                        "{place}.url: the aggregator sends to {host:?}: name it in a sink there"
                    ));
                }
                "external_labels" => self.stages.push(one("static_labels", value.clone())),
                key => self.notes.miss(&format!("{place}.{key}"), "an option of the aggregator's sink"),
            }
        }
    }

    /// `several`: of all; `alone`: it is the only one that takes pods.
    fn scrape(&mut self, place: &str, scrape: Scrape, several: bool, alone: bool) {
        let first = self.files.len();
        for (index, target) in scrape.static_configs.iter().enumerate() {
            self.target(&format!("{place}.static_configs[{index}]"), &target.labels);
        }
        let (mut pods, mut journal) = (false, None);
        for (key, rules) in &scrape.others {
            match key.as_str().unwrap_or_default() {
                "kubernetes_sd_configs" => {
                    pods = true;
                    self.notes.note(&format!("{place}.kubernetes_sd_configs: logs.pods, which is on by default"));
                }
                "relabel_configs" if scrape.others.contains_key("kubernetes_sd_configs") => {
                    self.relabel(&format!("{place}.relabel_configs"), rules, alone);
                }
                "relabel_configs" if scrape.others.contains_key("journal") => {}
                "relabel_configs" => {
                    self.notes.miss(
                        &format!("{place}.relabel_configs"),
                        "labels of files stand in logs.files, and stages change them",
                    );
                }
                "journal" => journal = self.journal(place, rules, scrape.others.get("relabel_configs")),
                "syslog" => self.notes.miss(
                    &format!("{place}.syslog"),
                    "logs receives nothing over the network: let a syslog daemon receive it, and read its files",
                ),
                key => self.notes.miss(
                    &format!("{place}.{key}"),
                    "there is no such source; logs reads files, pods and the journal",
                ),
            }
        }
        let stages = self.buildable(place, scrape.pipeline_stages);
        if stages.is_empty() {
            return;
        }
        if !several {
            self.stages.extend(stages);
            return;
        }
        let mut selectors: Vec<String> = self.files[first..].iter().filter_map(selector).collect();
        selectors.extend(journal);
        // Charts have one scrape configuration for each way in which pods are labelled, all with the same stages.
        if pods && self.pod_stages.as_ref() != Some(&stages) {
            if self.pod_stages.is_some() {
                let why = "others take pods, too, with other stages: say in the selector which are meant";
                self.notes.miss(&format!("{place}.pipeline_stages"), why);
            }
            self.pod_stages = Some(stages.clone());
            selectors.push(r#"{pod!=""}"#.to_owned());
        }
        if selectors.is_empty() && !pods {
            self.notes.miss(&format!("{place}.pipeline_stages"), "no file of it was converted");
        }
        for selector in selectors {
            let mut section = Mapping::new();
            section.insert("pipeline_name".into(), scrape.job_name.clone().into());
            if scrape.job_name.is_empty() {
                section.clear();
            }
            section.insert("selector".into(), selector.into());
            section.insert("stages".into(), Value::Sequence(stages.clone()));
            self.stages.push(one("match", Value::Mapping(section)));
        }
    }

    /// The systemd journal; what means its lines.
    fn journal(&mut self, place: &str, section: &Value, rules: Option<&Value>) -> Option<String> {
        if self.journal.is_some() {
            self.notes.miss(&format!("{place}.journal"), "there is one already, and logs.journal is one");
            return None;
        }
        let made = journal::convert(section, rules);
        self.notes.note(&format!(
            "{place}.journal: without the files of a syslog daemon, unless they are in logs.files"
        ));
        for (part, why) in made.notes {
            self.notes.note(&format!("{place}.{part}: {why}"));
        }
        for (part, why) in made.missing {
            self.notes.miss(&format!("{place}.{part}"), &why);
        }
        self.journal = Some(made.section);
        Some(made.selector)
    }

    /// What pods are labelled by.
    fn relabel(&mut self, place: &str, rules: &Value, alone: bool) {
        let mut known = 0;
        for (index, rule) in rules.as_sequence().into_iter().flatten().enumerate() {
            match relabel::of_pods(rule) {
                Is::Known => known += 1,
                Is::Pod(names, label) => {
                    for name in names {
                        self.pod_labels.insert(name.into(), label.clone().into());
                    }
                }
                Is::Field(..) => {}
                Is::Stage(stage) if alone => self.stages.push(stage),
                Is::Stage(_) => {
                    self.notes.miss(
                        &format!("{place}[{index}]"),
                        "others take pods, too: write a stage match for it",
                    );
                }
                Is::Missing(rule, hint) => {
                    self.notes.miss(&format!("{place}[{index}]"), &format!("{rule}: {hint}"))
                }
            }
        }
        if known > 0 {
            self.notes.note(&format!("{place}: {known} of them make the labels that pods have here anyway"));
        }
    }

    fn target(&mut self, place: &str, labels: &Mapping) {
        let text = |name: &str| labels.get(name).and_then(Value::as_str);
        let Some(path) = text("__path__") else {
            return self.notes.miss(place, "it has no __path__");
        };
        let mut kept = Mapping::new();
        for (name, value) in
            labels.iter().filter(|(name, _)| !name.as_str().unwrap_or("__").starts_with("__"))
        {
            kept.insert(name.clone(), value.clone());
        }
        for path in alternatives(path) {
            let mut file = Mapping::new();
            file.insert("path".into(), path.clone().into());
            if !kept.is_empty() {
                file.insert("labels".into(), Value::Mapping(kept.clone()));
            }
            if let Some(exclude) = text("__path_exclude__") {
                let all = alternatives(exclude).into_iter().map(Value::from).collect();
                file.insert("exclude".into(), Value::Sequence(all));
            }
            let is_pattern = crate::logs::check_pattern(std::path::Path::new(&path));
            let is_known = serde_yaml_ng::from_value::<crate::logs::FileGlob>(Value::Mapping(file.clone()));
            match (is_pattern, is_known) {
                (Ok(()), Ok(_)) => self.files.push(Value::Mapping(file)),
                (Err(why), _) => self.notes.miss(place, &why.to_string()),
                (_, Err(why)) => self.notes.miss(place, &why.to_string()),
            }
        }
    }

    /// The stages that there are here, too.
    fn buildable(&mut self, place: &str, stages: Vec<Value>) -> Vec<Value> {
        let mut kept = Vec::new();
        for (index, stage) in stages.into_iter().enumerate() {
            match serde_yaml_ng::from_value::<Stages>(Value::Sequence(vec![stage.clone()])) {
                Ok(_) => kept.push(stage),
                Err(why) => {
                    let why = why.to_string();
                    let (inner, why) = why
                        .split_once("stages[0]")
                        .map_or(("", &*why), |(_, rest)| rest.split_once(": ").unwrap_or(("", rest)));
                    self.notes.miss(&format!("{place}.pipeline_stages[{index}]{inner}"), why);
                }
            }
        }
        kept
    }

    fn made(self) -> Made {
        let mut whole = Mapping::new();
        let mut logs = Mapping::new();
        if !self.files.is_empty() {
            logs.insert("files".into(), Value::Sequence(self.files));
        }
        if let Some(journal) = self.journal {
            logs.insert("host".into(), Value::Null);
            logs.insert("journal".into(), Value::Mapping(journal));
        }
        if !logs.is_empty() {
            whole.insert("logs".into(), Value::Mapping(logs));
        }
        if !self.pod_labels.is_empty() {
            whole.insert("enrich".into(), one("pod_labels", Value::Mapping(self.pod_labels)));
        }
        if !self.stages.is_empty() {
            whole.insert("pipeline".into(), one("stages", Value::Sequence(self.stages)));
        }
        self.notes.above(whole, |_| Ok(()))
    }
}

/// A mapping of one key.
fn one(key: &str, value: Value) -> Value {
    let mut map = Mapping::new();
    map.insert(key.into(), value);
    Value::Mapping(map)
}

/// `a{b,c}d` is `abd` and `acd`.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((inside, behind)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    inside.split(',').flat_map(|one| alternatives(&format!("{before}{one}{behind}"))).take(64).collect()
}

/// What means the lines of a `logs.files`: the names that its pattern fits.
fn selector(file: &Value) -> Option<String> {
    let path = file.get("path")?.as_str()?;
    if !path.contains(['*', '?', '[']) {
        return Some(format!("{{filename={path:?}}}"));
    }
    let (mut regex, mut rest) = (String::new(), path);
    while let Some(c) = rest.chars().next() {
        let (piece, len) = match c {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            '[' => {
                let end = rest.find(']').map_or(rest.len(), |at| at + 1);
                (rest[..end].replacen("[!", "[^", 1), end)
            }
            c => (regex::escape(c.encode_utf8(&mut [0; 4])), c.len_utf8()),
        };
        regex.push_str(&piece);
        rest = &rest[len..];
    }
    Some(format!("{{filename=~`{regex}`}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one scrape configuration of files, as a host has it.
    /// Guarantees: its files, labels and stages as they are, in a form that the agent takes; nothing is missing.
    #[test]
    fn of_a_host() {
        let made = convert(
            r"
server: {http_listen_port: 9080}
positions: {filename: /tmp/positions.yaml}
clients: [{url: 'http://user:secret@loki:3100/loki/api/v1/push'}]
scrape_configs:
  - job_name: system
    pipeline_stages:
      - regex: {expression: '^(?P<level>\w+)'}
      - labels: {level: }
    static_configs:
      - targets: [localhost]
        labels: {job: varlogs, __path__: '/var/log/{syslog,*.log}', __path_exclude__: /var/log/x.log}
",
        )
        .unwrap();
        assert_eq!(made.missing, 0, "{}", made.text);
        assert!(!made.text.contains("secret"), "{}", made.text);
        let expect = "logs:
  files:
  - path: /var/log/syslog
    labels:
      job: varlogs
    exclude:
    - /var/log/x.log
  - path: /var/log/*.log
    labels:
      job: varlogs
    exclude:
    - /var/log/x.log
pipeline:
  stages:
  - regex:
      expression: ^(?P<level>\\w+)
  - labels:
      level: null
";
        assert!(made.text.ends_with(expect), "{}", made.text);
        serde_yaml_ng::from_str::<crate::config::Config>(&made.text).unwrap();
    }

    /// Scenario: several scrape configurations, of pods and of files, with parts that there are not here.
    /// Guarantees: each one's stages are for its lines alone; every part without an equivalent is named, with the reason.
    #[test]
    fn of_several() {
        let made = convert(
            r#"
clients: [{url: http://loki:3100, external_labels: {site: lab}, tenant_id: a}]
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs: [{role: pod}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_label_tier], target_label: tier}
      - {source_labels: [__meta_kubernetes_namespace], regex: dev, action: drop}
      - {action: labelmap, regex: '__meta_kubernetes_pod_label_(.+)'}
    pipeline_stages: [cri: {}]
  - job_name: nginx
    static_configs: [{labels: {app: nginx, __path__: '/var/log/nginx/*.log'}}, {labels: {x: y}}]
    pipeline_stages:
      - geoip: {db: x}
      - match: {selector: '{app="nginx"}', stages: [{tenant: {value: a}}]}
      - drop: {expression: health}
  - job_name: journal
    journal: {max_age: 12h, labels: {a: b}, json: true}
    pipeline_stages: [{drop: {older_than: 24h}}]
  - job_name: devices
    syslog: {listen_address: '0.0.0.0:514'}
"#,
        )
        .unwrap();
        for wanted in [
            "# NOT CONVERTED clients[0].tenant_id: ",
            "# NOT CONVERTED scrape_configs[0].relabel_configs[3]: labelmap of [] by ",
            "scrape_configs[0].relabel_configs: 1 of them make",
            "selector: '{namespace=~`dev`}'",
            "tier: tier",
            "# NOT CONVERTED scrape_configs[1].static_configs[1]: it has no __path__",
            "# NOT CONVERTED scrape_configs[1].pipeline_stages[0].geoip: there is no such stage; there are cri, ",
            "# NOT CONVERTED scrape_configs[1].pipeline_stages[1].match: stages[0].tenant: an agent has no tenants",
            "# scrape_configs[2].journal.max_age: at the very first start",
            "# NOT CONVERTED scrape_configs[2].journal.json: a line is the message",
            "# NOT CONVERTED scrape_configs[3].syslog: logs receives nothing",
            "  host: null\n  journal:\n    max_age: 12h\n    labels:\n      a: b\n",
            "selector: '{job=\"systemd-journal\"}'",
            "selector: '{pod!=\"\"}'",
            "selector: '{filename=~`/var/log/nginx/[^/]*\\.log`}'",
            "site: lab",
        ] {
            assert!(made.text.contains(wanted), "{wanted}: {}", made.text);
        }
        assert_eq!((made.missing, made.text.matches("- match:").count()), (7, 4), "{}", made.text);
        serde_yaml_ng::from_str::<crate::config::Config>(&made.text).unwrap();
    }

    /// Scenario: two scrape configurations of pods, as charts have one for each way in which pods are labelled; one
    /// leaves a namespace out, which the other may take.
    /// Guarantees: the same stages stand there once; the rule is named.
    #[test]
    fn of_pods_twice() {
        let one = |name: &str, rule: &str| {
            format!(
                "  - job_name: {name}\n    kubernetes_sd_configs: [{{role: pod}}]\n    pipeline_stages: [{{docker: }}]\n    relabel_configs: [{rule}]\n"
            )
        };
        let rule = "{source_labels: [__meta_kubernetes_namespace], regex: dev, action: drop}";
        let made = convert(&format!("scrape_configs:\n{}{}", one("a", rule), one("b", ""))).unwrap();
        assert!(
            made.text.contains("scrape_configs[0].relabel_configs[0]: others take pods, too"),
            "{}",
            made.text
        );
        assert_eq!((made.missing, made.text.matches("- match:").count()), (1, 1), "{}", made.text);
    }

    /// Scenario: files that are no configuration of Promtail.
    /// Guarantees: an error that says so.
    #[test]
    fn refused() {
        for text in ["", "3", "scrape_configs: []", "scrape_configs: [{pipeline_stages: 3}]"] {
            assert!(convert(text).is_err(), "{text}");
        }
    }
}
