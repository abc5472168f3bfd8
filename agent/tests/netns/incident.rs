//! Two agents that measure each other through a scenario's network, until something befalls it; what the one at `c` says
//! of it is held against the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ao_agent::context::Context;
use ao_agent::event::{Event, MetricSet};
use ao_agent::net::{Mode, Prober};
use ao_agent::trouble::{ALARMS, Alarms};
use ao_agent::{latency, mesh, path};
use ao_common::clock;
use ao_common::units::Span;
use ao_proto::v1::{Directives, Peer, Target};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::Source;
use crate::lab::Lab;
use crate::other::{self, Other};
use crate::scenario::Scenario;
use crate::wires::{Fates, Wires};
use crate::world::SERVER;

/// The agent at `c`.
pub(crate) const CLIENT: &str = "10.77.1.1";
/// UDP port of the echoes.
const PORT: u16 = 4418;
/// Everything has been seen by then.
const LONG: Duration = Duration::from_secs(90);
/// Long enough to be noticed, and long enough for all to be well again; a recording takes longer than both.
const BLIP: Duration = Duration::from_millis(1500);
const CALM: Duration = Duration::from_secs(4);
/// Log lines are referred to from so long before a recording on.
const AROUND_NS: i64 = 30_000_000_000;
/// What must not be said is not said for so long.
const QUIET: Duration = Duration::from_secs(12);

/// What befalls two agents.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Incident {
    /// Wires, by their link: what befalls them for [`BLIP`], and is over for [`CALM`] before all else.
    blip: BTreeMap<String, Fates>,
    /// Wires, by their link.
    wires: BTreeMap<String, Fates>,
    /// As [`Scenario::setup`].
    setup: Vec<String>,
    /// The other agent's process stands still for so many of every two seconds.
    stops: f64,
    /// The name server's: well, slow, silent, failing.
    resolver: Option<String>,
    /// Targets of pings at `c`, beside the other agent.
    pings: Vec<String>,
    /// Whether `c` asks the name server itself, as a target.
    asks_names: bool,
    /// Whether `c` traces the path to the other agent.
    traces: bool,
    truth: Truth,
}

/// What must be said; what is left out is not compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Truth {
    /// Of the incident: what got worse.
    trouble: Option<String>,
    /// Its target; left out, the other agent.
    target: Option<String>,
    /// Who is to blame.
    verdict: Option<String>,
    /// The hop or name server that is named.
    hop: Option<String>,
    /// A part of the evidence.
    says: String,
    /// Nothing is recorded.
    quiet: bool,
    /// The dead ports are those whose packets the wire swallows.
    dead_ports: bool,
    /// Pings and echoes are not lost.
    clean: Vec<String>,
    /// Bytes.
    mtu: Option<f64>,
    /// Milliseconds that each direction takes longer than it used to, from and to.
    there: Option<[f64; 2]>,
    back: Option<[f64; 2]>,
}

/// What the aggregator would tell an agent that measures one other.
pub(crate) fn directives((own, _): (&str, &str), (other, node): (&str, &str)) -> Directives {
    let peer =
        Peer { node: node.to_owned(), address: other.to_owned(), port: PORT.into(), ..Peer::default() };
    Directives {
        version: 1,
        peers: vec![peer],
        askers: vec![other.to_owned()],
        address: own.to_owned(),
        latency: vec![Target { host: other.to_owned(), ..Target::default() }],
        ..Directives::default()
    }
}

pub(crate) fn alarms() -> Alarms {
    Alarms::new(ALARMS)
}

/// Runs the mesh, fast.
pub(crate) fn measure(ctx: Context, prober: &Arc<Prober>, alarms: &Alarms) {
    let config = mesh::Config {
        port: PORT,
        interval: Span(Duration::from_millis(200)),
        round: Span(Duration::from_millis(800)),
        timeout: Span(Duration::from_millis(800)),
        mtu: Span::secs(2),
        export: Span::secs(1),
        ..mesh::Config::default()
    };
    tokio::spawn(mesh::run(config, ctx, Arc::clone(prober), alarms.subscribe()));
}

/// All that the agent at `c` has said since something befell it.
#[derive(Default)]
struct Said {
    /// The newest by job and group.
    sets: BTreeMap<(String, String), MetricSet>,
    events: Vec<Value>,
    /// Trace ids.
    traces: BTreeSet<String>,
}

impl Said {
    fn take(&mut self, event: Event) {
        match event {
            Event::Metrics(set) => drop(self.sets.insert((set.job.to_owned(), set.group.clone()), set)),
            Event::Logs(chunk) => {
                eprintln!("said: {}", chunk.text);
                self.events.push(serde_json::from_str(&chunk.text).unwrap());
            }
            Event::Spans(chunk) => {
                let request = ExportTraceServiceRequest::decode(chunk.request).unwrap();
                let id = &request.resource_spans[0].scope_spans[0].spans[0].trace_id;
                self.traces.insert(id.iter().map(|byte| format!("{byte:02x}")).collect());
            }
            Event::Forget(_) => {}
        }
    }

    /// The values of a family whose labels hold all of these.
    fn values(&self, family: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let sets = self.sets.values().flat_map(|set| set.samples.iter().map(move |sample| (set, sample)));
        let wanted = sets.filter(|(set, sample)| {
            let found: BTreeMap<_, _> = set.labels_of(sample).collect();
            set.text(&set.families[sample.family as usize].name) == family
                && labels.iter().all(|(name, value)| found.get(name) == Some(value))
        });
        wanted.map(|(_, sample)| sample.value).collect()
    }

    fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(family, labels).first().copied()
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// The recordings that began since then: one before may be of the machine, which others make busy, and of mixed times.
    fn incidents(&self, since_ns: i64) -> impl Iterator<Item = &Value> {
        self.of_kind("incident").filter(move |event| {
            event["logs"]["from_ns"].as_i64().is_none_or(|from_ns| from_ns + AROUND_NS >= since_ns)
        })
    }
}

/// Runs a scenario; panics where what is said is not the truth.
pub(crate) async fn run(scenario: &Scenario, incident: &Incident, lab: &Lab) {
    let wires = Wires::start(scenario, lab);
    crate::awake().await;
    let mut other = Other::start(lab);
    if scenario.resolver {
        other::names_are_found().await;
    }
    let (ctx, prober, mut source) = Source::start(Mode::Raw);
    source.direct(directives((CLIENT, "client"), (SERVER, "server")));
    let alarms = alarms();
    measure(ctx.clone(), &prober, &alarms);
    let config = latencies(incident);
    tokio::spawn(latency::run(config, ctx.clone(), Arc::clone(&prober), alarms.clone()));
    if incident.traces {
        let config = path::Config { targets: vec![SERVER.into()], ..scenario.probe.config() };
        tokio::spawn(path::run(config, ctx, prober, alarms.clone()));
    }
    other.is_well().await;
    let before = listen(&mut source, LONG, |said| is_well(said, incident)).await;
    assert!(is_well(&before, incident), "nothing is measured before anything has befallen it");

    if !incident.blip.is_empty() {
        wires.befall(&incident.blip);
        listen(&mut source, BLIP, |_| false).await;
        wires.befall(&incident.blip.keys().map(|link| (link.clone(), Fates::default())).collect());
        listen(&mut source, CALM, |_| false).await;
    }
    wires.befall(&incident.wires);
    lab.apply(&incident.setup).unwrap();
    if let Some(mood) = &incident.resolver {
        other::mood(mood);
    }
    let befell_ns = clock::now_ns();
    let truth = &incident.truth;
    let patience = if truth.quiet { QUIET } else { LONG };
    let done = |said: &Said| is_said(truth, &wires, said, befell_ns).is_ok() && !truth.quiet;
    let listening = listen(&mut source, patience, done);
    let said = if incident.stops > 0.0 {
        tokio::select! {
            said = listening => said,
            () = other.stop_for(incident.stops) => unreachable!(),
        }
    } else {
        listening.await
    };
    if let Err(missing) = is_said(truth, &wires, &said, befell_ns) {
        panic!("{missing}; said was {:#?}", said.events);
    }
    let target = truth.target.as_deref().unwrap_or("server");
    for event in said.incidents(befell_ns) {
        is_whole(event, &said);
        let blamed = (event["verdict"].as_str(), event["hop"].as_str());
        let right = (truth.verdict.as_deref(), truth.hop.as_deref());
        let nobody = blamed == (Some("unknown"), None);
        let free = truth.verdict.is_none() || event["target"] != target;
        assert!(free || nobody || blamed == right, "somebody else is blamed: {event}");
    }
}

fn latencies(incident: &Incident) -> latency::Config {
    let mut config = latency::Config {
        targets: incident.pings.iter().map(|target| target.as_str().into()).collect(),
        interval: Span::secs(1),
        pings: 10,
        timeout: Span(Duration::from_millis(400)),
        export: Span::secs(1),
        resolve: Span::secs(1),
        // The machine is busy with other scenarios.
        starved: Span::secs(1),
        ..latency::Config::default()
    };
    if incident.asks_names {
        let group = format!(
            "{{name: dns, probe: {{dns: {{query: peer.lab}}}}, targets: [{}], timeout: 1s, pings: 4}}",
            crate::lab::RESOLVER
        );
        config.groups = vec![serde_yaml_ng::from_str(&group).unwrap()];
    }
    config
}

async fn listen(source: &mut Source, patience: Duration, is_enough: impl Fn(&Said) -> bool) -> Said {
    let (mut said, deadline) = (Said::default(), Instant::now() + patience);
    while !is_enough(&said) {
        match timeout_at(deadline, source.events.recv()).await {
            Ok(Some(event)) => said.take(event),
            Ok(None) | Err(_) => break,
        }
    }
    said
}

/// Each direction's delay has its baseline, the MTU is found, the path and the pings are known, the walk of the times when
/// all is well is over.
fn is_well(said: &Said, incident: &Incident) -> bool {
    let pings = said.values("smokeping_requests_total", &[]);
    let other_pings = usize::from(incident.asks_names) + incident.pings.len();
    said.value("netmesh_delay_change_seconds", &[]).is_some()
        && said.value("netmesh_path_mtu_bytes", &[]) == Some(1500.0)
        && pings.len() > other_pings
        && pings.iter().all(|pings| *pings >= 40.0)
        && (!incident.traces || said.sets.keys().any(|(job, _)| job == "mtr"))
}

/// What is missing or wrong.
fn is_said(truth: &Truth, wires: &Wires, said: &Said, befell_ns: i64) -> Result<(), String> {
    let is = |right: bool, what: String| if right { Ok(()) } else { Err(what) };
    let incidents: Vec<&Value> = said.incidents(befell_ns).collect();
    if truth.quiet {
        is(incidents.is_empty(), format!("{} incidents", incidents.len()))?;
    }
    if let Some(trouble) = &truth.trouble {
        let target = truth.target.as_deref().unwrap_or("server");
        let of_it = |event: &&&Value| event["trouble"] == *trouble && event["target"] == target;
        let event = incidents.iter().find(of_it).ok_or(format!("no incident {trouble} of {target}"))?;
        let hop = event["hop"].as_str();
        is(
            event["verdict"].as_str() == truth.verdict.as_deref(),
            format!("the verdict is {}", event["verdict"]),
        )?;
        is(hop == truth.hop.as_deref(), format!("the hop is {hop:?}"))?;
        let evidence = event["evidence"].to_string();
        is(evidence.contains(&truth.says), format!("the evidence is {evidence}"))?;
    }
    if truth.dead_ports {
        let ports = wires.ports();
        // Those of a sweep are asked again and again; a recording asks a few times from ports of its own. A packet or two
        // may have been under way when it began.
        let dead = |(flow, (passed, lost)): (&(u16, u16), &(u32, u32))| {
            (flow.1 == PORT && *lost > 30 + 30 * passed).then_some(flow.0)
        };
        let dead: BTreeSet<u16> = ports.iter().filter_map(dead).collect();
        let newest = said.of_kind("dead_ports").last().ok_or("no dead ports")?;
        let named = newest["dead_source_ports"].as_array().unwrap();
        let named: BTreeSet<u16> = named.iter().map(|port| port.as_u64().unwrap() as u16).collect();
        is(!dead.is_empty() && named == dead, format!("dead are {dead:?}, named {named:?}"))?;
    }
    for clean in &truth.clean {
        let lost = match clean.as_str() {
            "echoes" => said.value("netmesh_echo_loss_ratio", &[]),
            host => {
                let (asked, came) = ("smokeping_requests_total", "smokeping_response_duration_seconds");
                let set = said.sets.get(&("smokeping".to_owned(), host.to_owned()));
                set.map(|set| crate::sample(set, asked) - crate::sample(set, &format!("{came}_count")))
            }
        };
        is(lost == Some(0.0), format!("lost of {clean} are {lost:?}"))?;
    }
    if let Some(mtu) = truth.mtu {
        let found = said.value("netmesh_path_mtu_bytes", &[]);
        is(found == Some(mtu), format!("the path takes {found:?}"))?;
    }
    for (direction, range) in [("forward", truth.there), ("backward", truth.back)] {
        let Some([least, most]) = range else { continue };
        let found =
            said.value("netmesh_delay_change_seconds", &[("direction", direction)]).unwrap_or(f64::NAN) * 1e3;
        is((least..=most).contains(&found), format!("{direction} takes {found} ms longer"))?;
    }
    Ok(())
}

/// The bundle: one event and one trace, both ends, both directions, the logs of both nodes.
fn is_whole(event: &Value, said: &Said) {
    assert!(said.traces.contains(event["trace_id"].as_str().unwrap()), "its trace: {event}");
    assert!(!event["evidence"].as_array().unwrap().is_empty(), "a verdict has its evidence: {event}");
    let (from, to) = (event["logs"]["from_ns"].as_i64().unwrap(), event["logs"]["to_ns"].as_i64().unwrap());
    assert!(
        (60_000_000_000..120_000_000_000).contains(&(to - from)),
        "half a minute before and behind: {event}"
    );
    assert!(event["here"]["cpu_pressure"].is_f64(), "the counters of this end: {event}");
    let query = event["logs"]["query"].as_str().unwrap();
    if event["peer"] == "server" {
        assert_eq!(query, "{node_name=~\"client|server\"}");
        assert!(!event["forward"].as_array().unwrap().is_empty(), "the way there: {event}");
        if event["there"].is_object() {
            assert!(!event["backward"].as_array().unwrap().is_empty(), "the way back: {event}");
        }
    } else {
        assert_eq!(query, "{node_name=~\"client\"}");
    }
}
