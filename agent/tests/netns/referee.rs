//! Runs the path source through a scenario's network, inside its namespace, and holds its answer against the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use ao_agent::event::{Event, LogChunk, MetricSet};
use ao_agent::net::Mode;
use tokio::time::{Instant, timeout_at};

use crate::lab::Lab;
use crate::peers;
use crate::responder::Responder;
use crate::scenario::{Scenario, Truth};
use crate::{Source, hop_figures};

/// All that the source has said.
#[derive(Default)]
struct Said {
    reports: u64,
    last: Option<MetricSet>,
    /// Kind of each change, and how many reports after the change in the network it was told.
    changes: Vec<(String, u64)>,
    spans: u64,
}

/// Runs a scenario; panics where the answer is not the truth.
pub(crate) async fn run(scenario: &Scenario, lab: &Lab) {
    let responder = (!scenario.ways.is_empty()).then(|| Responder::start(scenario));
    if responder.is_none() {
        crate::awake().await;
    }
    for mode in &scenario.probe.modes {
        let said = listen(scenario, lab, responder.as_ref(), *mode).await;
        compare(scenario, &said, *mode);
    }
    if scenario.probe.cross {
        peers::agree(&address(scenario, &scenario.probe.target), &scenario.truth.hops);
    }
    if scenario.truth.mtr_loses {
        let loss = peers::mtr_loss_at_first_hop(&scenario.probe.target);
        eprintln!("mtr at five a second: {loss} % at the first hop");
        assert!(loss > 5.0, "mtr shows {loss} % at the first hop: the router does not hold back answers");
    }
}

async fn listen(scenario: &Scenario, lab: &Lab, responder: Option<&Responder>, mode: Mode) -> Said {
    let mut config = scenario.probe.config();
    for target in &mut config.targets {
        target.host = address(scenario, &target.host);
    }
    let target = config.targets[0].host.clone();
    let mut source = Source::path(mode, config);
    let (mut said, mut changed_at) = (Said::default(), 0);
    let mut left = scenario.change.iter().peekable();
    let deadline = Instant::now() + Duration::from_secs(150);
    while said.reports < scenario.probe.rounds {
        let event =
            timeout_at(deadline, source.events.recv()).await.expect("the reports did not come in time");
        match event.unwrap() {
            Event::Metrics(set) if set.group == target => {
                said.reports += 1;
                said.last = Some(set);
                if let Some(change) = left.next_if(|change| change.after == said.reports) {
                    lab.apply(&change.setup).unwrap();
                    if let Some(responder) = responder.filter(|_| !change.ways.is_empty()) {
                        responder.lead(&change.ways);
                    }
                    changed_at = said.reports;
                }
            }
            Event::Logs(chunk) => said.changes.push((kind(&chunk), said.reports - changed_at)),
            Event::Spans(chunk) => said.spans += chunk.spans,
            _ => {}
        }
    }
    said
}

fn kind(chunk: &LogChunk) -> String {
    let event: serde_json::Value = serde_json::from_str(&chunk.text).unwrap();
    assert_eq!(event["event"], "path_change");
    eprintln!("{}", chunk.text);
    event["kind"].as_str().unwrap().to_owned()
}

/// The address of a name in the network in user space; an address is its own.
fn address(scenario: &Scenario, name: &str) -> String {
    let (name, v6) = match name.strip_suffix("/6") {
        Some(name) => (name, true),
        None => (name, false),
    };
    match scenario.hops.get(name) {
        Some(hop) => {
            if v6 {
                hop.v6.clone()
            } else {
                hop.v4.clone()
            }
        }
        None => name.to_owned(),
    }
}

fn compare(scenario: &Scenario, said: &Said, mode: Mode) {
    let truth: &Truth = &scenario.truth;
    let set = said.last.as_ref().unwrap();
    let hops = hop_figures(set);
    let text = set.exposition();
    let v6 = scenario.probe.target.ends_with("/6");
    let named = |word: &str| -> Vec<String> {
        let each = word.split('|').map(|name| if v6 { format!("{name}/6") } else { name.to_owned() });
        each.map(|name| address(scenario, &name).trim_end_matches("/6").to_owned()).collect()
    };
    let words: Vec<&str> = truth.hops.split_whitespace().collect();
    let found: Vec<&str> = hops.iter().map(|hop| hop["host"].as_str()).collect();
    let right = words.len() == found.len()
        && words.iter().zip(&found).all(|(word, host)| match *word {
            "?" => *host == "???",
            word => named(word).iter().any(|name| name == host),
        });
    assert!(right, "{mode}: hops are {found:?}, true is {:?}\n{text}", truth.hops);
    within("loss", truth.loss.as_deref(), &hops, mode);
    within("best", truth.rtt.as_deref(), &hops, mode);
    if let Some(sets) = &truth.sets {
        let expected: Vec<Vec<String>> = sets.split_whitespace().map(sorted(&named)).collect();
        let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for labels in series(set, "netpath_hop_info") {
            found.entry(labels["ttl"].parse().unwrap()).or_default().push(labels["ip"].clone());
        }
        let found: Vec<Vec<String>> = found
            .into_values()
            .map(|mut ips| {
                ips.sort();
                ips
            })
            .collect();
        assert_eq!(found, expected, "{mode}: sets\n{text}");
    }
    if let Some(paths) = truth.paths {
        assert_eq!(crate::sample(set, "netpath_paths"), paths, "{mode}: paths\n{text}");
    }
    if let Some(balancing) = &truth.balancing {
        let line = format!("netpath_balancing{{target=\"{}\",kind=\"{balancing}\"}} 1", set.group);
        assert!(text.contains(&line), "{mode}: no {line}\n{text}");
    }
    if let Some(labels) = &truth.labels {
        for (at, expected) in labels.split_whitespace().enumerate().filter(|(_, word)| *word != "-") {
            for (position, label) in expected.split(',').enumerate() {
                let line = format!("ttl=\"{}\",position=\"{position}\"}} {label}\n", at + 1);
                assert!(text.contains(&line), "{mode}: no {line}\n{text}");
            }
        }
    }
    let told: Vec<String> = said.changes.iter().map(|(kind, after)| format!("{kind}@{after}")).collect();
    let fits = told.len() == truth.changes.len()
        && told.iter().zip(&truth.changes).all(|(told, expected)| match expected.split_once('@') {
            // The round under way at the change may show either path.
            Some((kind, at)) => {
                let at: u64 = at.parse().unwrap();
                [at, at + 1].iter().any(|at| *told == format!("{kind}@{at}"))
            }
            None => told.split('@').next() == Some(expected),
        });
    assert!(fits, "{mode}: told are {told:?}, true is {:?}", truth.changes);
    assert_eq!(said.spans > 0, !truth.changes.is_empty(), "each change is a trace");
    let line = |hop: &BTreeMap<String, String>| {
        format!("{} loss {} best {} ms", hop["host"], hop["loss"], hop["best"])
    };
    eprintln!("{mode}: {}", hops.iter().map(line).collect::<Vec<_>>().join(", "));
}

fn sorted<'a>(named: &'a impl Fn(&str) -> Vec<String>) -> impl Fn(&str) -> Vec<String> + 'a {
    |word| {
        let mut names = named(word);
        names.sort();
        names
    }
}

/// The labels of all series of a name.
fn series(set: &MetricSet, name: &str) -> Vec<BTreeMap<String, String>> {
    let of =
        |sample: &&ao_agent::event::SampleText| set.text(&set.families[sample.family as usize].name) == name;
    let labels = |sample: &ao_agent::event::SampleText| {
        set.labels_of(sample).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    set.samples.iter().filter(of).map(labels).collect()
}

/// Each hop's figure lies within its range, `-` for any.
fn within(column: &str, truth: Option<&str>, hops: &[BTreeMap<String, String>], mode: Mode) {
    let Some(truth) = truth else { return };
    let words: Vec<&str> = truth.split_whitespace().collect();
    assert_eq!(words.len(), hops.len(), "{column} of as many hops");
    for (word, hop) in words.iter().zip(hops).filter(|(word, _)| **word != "-") {
        let (least, most) = word.split_once('-').unwrap_or((word, word));
        let [least, most, found] = [least, most, &hop[column]].map(|text| text.parse::<f64>().unwrap());
        assert!(
            (least..=most).contains(&found),
            "{mode}: {column} of {} is {found}, true is {word}",
            hop["host"]
        );
    }
}
