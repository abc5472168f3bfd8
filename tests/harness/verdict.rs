//! What is owed against what is there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::load::{Owed, counter, lines, spans};
use crate::loki::Loki;
use crate::prometheus::{get, query_at};
use crate::stack::metric;
use crate::tempo::Tempo;
use prost::Message as _;
use serde::Serialize;
use serde_json::Value;

/// One signal's count.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Signal {
    /// Records owed.
    pub sent: u64,
    /// Records owed and not there.
    pub lost: u64,
    /// Records there under two identities.
    pub double: u64,
    /// Requests that came again, byte for byte.
    pub resent: u64,
    /// The most of them that the faults allow.
    pub resent_bound: u64,
    /// Some of what is wrong, for people.
    pub examples: Vec<String>,
}

/// How many examples are kept.
const EXAMPLES: usize = 5;

impl Signal {
    /// Whether everything is as it must be.
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.double == 0 && self.resent <= self.resent_bound && self.sent > 0
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

/// Where each record arrived; the same record in requests of other bytes is a double.
#[derive(Default)]
struct Seen<K> {
    /// Number of the request, and what else tells one identity from another.
    arrived: HashMap<K, Vec<(usize, String)>>,
    /// Hashes of the requests' bytes.
    requests: Vec<u64>,
}

impl<K: Eq + Hash + Ord + Debug> Seen<K> {
    fn is_double(&self, arrived: &[(usize, String)]) -> bool {
        let first = arrived.first().map(|(n, _)| self.requests[*n]);
        // Twice in one request is double, too.
        let mut numbers = HashSet::new();
        arrived.iter().any(|(n, _)| !numbers.insert(n) || Some(self.requests[*n]) != first)
    }

    /// Counts what is owed, and what came twice.
    fn signal(&self, owed: impl Iterator<Item = K>) -> Signal {
        let mut signal = Signal::default();
        for key in owed {
            signal.sent += 1;
            if !self.arrived.contains_key(&key) {
                signal.lost += 1;
                signal.example(|| format!("{key:?} is not there"));
            }
        }
        let mut doubles: Vec<_> =
            self.arrived.iter().filter(|(_, arrived)| self.is_double(arrived)).collect();
        doubles.sort();
        for double in doubles {
            signal.double += 1;
            signal.example(|| format!("in requests of other bytes: {double:?}"));
        }
        let distinct: HashSet<_> = self.requests.iter().collect();
        signal.resent = (self.requests.len() - distinct.len()) as u64;
        signal
    }
}

fn hash_of(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}

/// Lines at Loki's server.
#[derive(Default)]
pub struct Lines {
    seen: Seen<(String, u64)>,
    taken: usize,
}

impl Lines {
    /// Takes in what is new there, and counts.
    pub fn look(&mut self, owed: &Owed, loki: &Loki) -> Signal {
        // The server and its clock must not wait for us.
        let (lines, bodies, violations) = {
            let recorded = loki.recorded();
            let bodies = recorded.bodies[self.seen.requests.len()..].to_vec();
            (recorded.lines[self.taken..].to_vec(), bodies, recorded.violations.clone())
        };
        self.taken += lines.len();
        self.seen.requests.extend(bodies.iter().map(|body| hash_of(body)));
        for line in lines {
            let Some((stream, n)) = lines::parse(&line.text) else { continue };
            let identity = format!("{} at {}", line.labels, line.at_ns);
            self.seen.arrived.entry((stream.to_owned(), n)).or_default().push((line.request, identity));
        }
        let all = owed.lines.iter().flat_map(|(stream, count)| (0..*count).map(|n| (stream.clone(), n)));
        let mut signal = self.seen.signal(all);
        for violation in violations {
            signal.double += 1;
            signal.example(|| violation);
        }
        signal
    }
}

/// Spans at Tempo's server.
#[derive(Default)]
pub struct Spans {
    seen: Seen<u64>,
}

impl Spans {
    /// Takes in what is new there, and counts.
    pub fn look(&mut self, owed: &Owed, tempo: &Tempo) -> Signal {
        let requests = tempo.accepted()[self.seen.requests.len()..].to_vec();
        for request in requests {
            let number = self.seen.requests.len();
            self.seen.requests.push(hash_of(&request.encode_to_vec()));
            for n in spans::of(&request).filter_map(|span| spans::parse(&span.name)) {
                self.seen.arrived.entry(n).or_default().push((number, String::new()));
            }
        }
        self.seen.signal(owed.spans.iter().copied())
    }
}

/// How far a sample's time may be from the moment when it was read, seconds: a round takes its time on a busy machine.
const STAMP_S: f64 = 3.0;

/// Samples in Prometheus, against what the agent says that it has spooled; the agent must not collect any more. While it
/// or its clock was `frozen` (from, to; seconds), a round that had its time already may have read nothing yet.
///
/// # Errors
/// Where somebody does not answer.
pub async fn of_samples(
    prometheus: &str,
    admin: std::net::SocketAddr,
    began_s: f64,
    frozen: &[(f64, f64)],
) -> Result<(Signal, f64), String> {
    let spooled = metric(admin, "ao_ledger_read_records_total", "source=\"collector\"").await? as u64;
    // Also what was stamped with a wrong time.
    let (later, range) = (now_s() + 10_800.0, "[12h]");
    let selector = format!("{{job=\"node-exporter\"}}{range}");
    let names = format!("group by (__name__) (last_over_time({selector}))");
    let names = query_at(prometheus, &names, later).await?;
    let mut found = 0;
    // `up` is the aggregator's own.
    for name in names.iter().filter(|name| name.label("__name__") != "up") {
        // One by one: counting drops the name, and series of different names may have the same labels.
        let counted = format!("sum(count_over_time({}{selector}))", name.label("__name__"));
        let counted = query_at(prometheus, &counted, later).await?;
        found += counted.first().map_or(0, |series| series.points[0].1 as u64);
    }
    let mut signal = Signal { sent: spooled, lost: spooled.saturating_sub(found), ..Signal::default() };
    signal.double = found.saturating_sub(spooled);
    if signal.lost + signal.double > 0 {
        signal.example(|| format!("{spooled} samples spooled, {found} in Prometheus"));
    }
    let clock = query_at(prometheus, &format!("{}{range}", counter::METRIC), later).await?;
    if clock.len() != 1 {
        return Err(format!("{} series of the clock", clock.len()));
    }
    let points = &clock[0].points;
    for point in points {
        let read_s = began_s + point.1 / 1_000.0;
        let (earlier, later) = (point.0.min(read_s), point.0.max(read_s));
        if later - earlier > STAMP_S + within(frozen, earlier, later) {
            signal.double += 1;
            signal.example(|| format!("read at {read_s:.3}, stamped {:.3}", point.0));
        }
    }
    let gap = points.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
    let stands = |pair: &[(f64, f64)]| {
        let lawful = counter::EVERY.as_secs_f64() + within(frozen, pair[0].0, pair[1].0);
        pair[0].1 == pair[1].1 && pair[1].0 - pair[0].0 > lawful
    };
    for pair in points.windows(2).filter(|pair| pair[0].1 > pair[1].1 || stands(pair)) {
        signal.double += 1;
        signal.example(|| format!("the counter stands or goes back: {pair:?}"));
    }
    Ok((signal, gap))
}

/// Seconds of some spans that lie between two moments.
fn within(spans: &[(f64, f64)], from: f64, to: f64) -> f64 {
    spans.iter().map(|(begin, end)| (end.min(to) - begin.max(from)).max(0.0)).sum()
}

/// In a counter that is read once a second, with its times, no second is missing between the first and the last but for
/// those in which the agent at `admin` says that it has not read.
///
/// # Errors
/// Where one is, or the agent does not answer.
pub async fn every_second(points: &[(f64, f64)], admin: std::net::SocketAddr) -> Result<(), String> {
    let skipped = metric(admin, SKIPPED, "").await?;
    let spanned = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
    // At both ends a second is begun, so that there is one sample more.
    if points.len() as f64 + skipped <= spanned {
        return Err(format!("{} samples in {spanned} s, {skipped} rounds left out", points.len()));
    }
    match points.windows(2).find(|pair| pair[0].1 > pair[1].1) {
        Some(pair) => Err(format!("the counter goes back: {pair:?}")),
        None => Ok(()),
    }
}

/// The agent's count of rounds in which it has not read its host.
pub const SKIPPED: &str = "ao_collector_skipped_rounds_total";

/// Whether the ledger balances at both ends with nothing in flight and nothing dropped; if not, why.
pub async fn ledger(admin: std::net::SocketAddr, http: std::net::SocketAddr) -> Result<(), String> {
    let (_, text) = get(&format!("http://{http}/api/v1/ledger")).await?;
    let balance: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    let rows = balance["rows"].as_array().filter(|rows| !rows.is_empty());
    let mut received = BTreeMap::<&str, u64>::new();
    for row in rows.ok_or("the aggregator's ledger is empty")? {
        let records = row["received"]["records"].as_u64().ok_or("a row without records")?;
        // What the aggregator says itself, no agent has read.
        if row["node"] != "aggregator" {
            *received.entry(row["source"].as_str().unwrap_or_default()).or_default() += records;
        }
        for fate in row["sinks"].as_array().into_iter().flatten() {
            let settled = fate["delivered"] == row["received"];
            let none_dropped = fate["dropped"].as_object().is_none_or(serde_json::Map::is_empty);
            if !settled || !none_dropped {
                return Err(format!("received {}, but {fate}", row["received"]));
            }
        }
    }
    for (source, received) in received {
        let read = metric(admin, "ao_ledger_read_records_total", &format!("source=\"{source}\"")).await?;
        let left = async |what: &str| {
            metric(admin, &format!("ao_ledger_{what}"), &format!("source=\"{source}\"")).await
        };
        let (dropped, under_way) = (left("dropped_records_total").await?, left("in_flight_records").await?);
        if dropped + under_way > 0.0 {
            return Err(format!("{source}: the agent has dropped {dropped} and {under_way} are under way"));
        }
        if read as u64 != received {
            return Err(format!("{source}: the agent has read {read}, the aggregator received {received}"));
        }
    }
    Ok(())
}

/// Seconds since 1970.
pub fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
