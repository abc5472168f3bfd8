//! Who may import whom.
//!
//! ```text
//! main -> app, cli -> config -> {sources, middle, out} -> {event, context, metrics, net} -> {ao-common, ao-proto}
//! ```
//!
//! Never upward, no circle of files, no circle of rooms; sources import no other room of their row; a family's
//! `api.rs` imports no sibling; what is dangerous has one place.

use super::graph::{self, CRATES, Edge};
use super::hold;
use super::source::{self, File};

/// Where a room (a module at a crate's top) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Small types and tools that the row stands on.
    Ground,
    /// Of the row: sends and receives on the data's way.
    Way,
    /// Of the row: where data comes from. Knows no other room of the row.
    Source,
    /// Composes the rooms' own configurations.
    Config,
    /// Wires the rooms, or is the command line.
    App,
    /// The binary.
    Main,
}

const AGENT: &[(Layer, &[&str])] = &[
    (Layer::Main, &["main"]),
    (Layer::App, &["app", "cli", "collect", "convert", "mtr", "ping", "record", "tail", "fuzzing"]),
    (Layer::Config, &["config"]),
    (
        Layer::Source,
        &[
            "canary",
            "collector",
            "container",
            "logs",
            "latency",
            "mesh",
            "path",
            "probe",
            "scrape",
            "otlp",
            "own",
        ],
    ),
    (
        Layer::Way,
        &["directives", "enrich", "pipeline", "rules", "streams", "batch", "spool", "identity", "uplink"],
    ),
    (
        Layer::Ground,
        &[
            "clock",
            "context",
            "event",
            "exposition",
            "footprint",
            "glob",
            "heap",
            "metrics",
            "net",
            "netlink",
            "rounds",
            "severity",
            "spans",
            "trouble",
        ],
    ),
];

const AGGREGATOR: &[(Layer, &[&str])] = &[
    (Layer::Main, &["main"]),
    (Layer::App, &["app", "cli", "fuzzing"]),
    (Layer::Config, &["config"]),
    (Layer::Way, &["identity", "ingest", "control", "fanout", "sink", "up", "verify", "api", "console"]),
    (Layer::Ground, &["canaries", "clock", "journal", "ledger", "metrics", "nodes"]),
];

/// What each crate may import of ours.
const ARROWS: [(&str, &[&str]); 4] = [
    ("ao_agent", &["ao_common", "ao_proto"]),
    ("ao_aggregator", &["ao_common", "ao_proto"]),
    ("ao_common", &[]),
    ("ao_proto", &[]),
];

/// Dangerous things and the one place for each.
struct Place {
    what: &'static str,
    /// Words that give it away.
    words: &'static [&'static str],
    /// Where the rule holds.
    within: &'static str,
    /// Where it may be.
    only: &'static [&'static str],
}

const PLACES: &[Place] = &[
    Place {
        what: "opens a raw socket",
        words: &["SOCK_RAW", "SocketType::RAW", "Type::RAW"],
        within: "",
        only: &["agent/src/net.rs", "agent/src/net/"],
    },
    Place {
        what: "makes an HTTP client",
        words: &["hyper_util::client", "hyper::client", "legacy::Client", "Client::builder(TokioExecutor"],
        within: "aggregator/",
        only: &["aggregator/src/sink/http.rs"],
    },
    Place {
        what: "asks the system for the time of day, which may be set (ao_common::clock::now_ns may not)",
        words: &["SystemTime::now", "Utc::now", "ClockId::Realtime", "CLOCK_REALTIME"],
        within: "",
        only: &["proto/common/src/clock/source.rs"],
    },
    Place {
        what: "touches the journal's files",
        words: &["std::fs", "fs::", "File::", "OpenOptions"],
        within: "proto/common/src/journal",
        only: &["proto/common/src/journal/storage.rs"],
    },
];

fn room(path: &str, folder: &str) -> Option<String> {
    graph::module_of(path, folder).into_iter().next()
}

fn show(edge: &Edge) -> String {
    format!("  {}:{} imports {}", edge.from, edge.line, edge.to)
}

/// Scenario: every import of one of our crates by another.
/// Guarantees: agent and aggregator stand on common and proto alone, and these on nothing of ours.
#[test]
fn crates_point_downward() {
    let files = source::rust_files();
    let mut wrong = Vec::new();
    for ((folder, name), (_, allowed)) in CRATES.iter().zip(ARROWS) {
        let foreign = |edge: &Edge| {
            edge.to.starts_with("ao_")
                && !allowed.contains(&edge.to.as_str())
                && !(edge.to == *name && edge.from.ends_with("src/main.rs"))
        };
        wrong.extend(graph::edges(&files, folder).iter().filter(|edge| foreign(edge)).map(show));
    }
    hold(
        "a crate imports another that it must not know: move what both need to proto/common or proto",
        &wrong,
    );
}

/// Scenario: every import between the rooms of a binary's crate.
/// Guarantees: only downward; sources know no other room of their row, and no other room of the row knows them.
#[test]
fn rooms_point_downward() {
    let files = source::rust_files();
    let mut wrong = Vec::new();
    for ((folder, _), layers) in CRATES.iter().zip([AGENT, AGGREGATOR]) {
        let layer = |path: &str| {
            let room = room(path, folder)?;
            layers.iter().find(|(_, rooms)| rooms.contains(&room.as_str())).map(|(layer, _)| *layer)
        };
        for file in
            files.iter().filter(|file| file.path.starts_with(folder) && !file.path.ends_with("lib.rs"))
        {
            if layer(&file.path).is_none() {
                wrong.push(format!(
                    "  {}: this room has no layer yet: give it one in tests/repo/layers.rs",
                    file.path
                ));
            }
        }
        for edge in graph::edges(&files, folder) {
            let (Some(from), Some(to)) = (layer(&edge.from), layer(&edge.to)) else { continue };
            let same_room = room(&edge.from, folder) == room(&edge.to, folder);
            let sideways_source = (from == Layer::Source || from == Layer::Way) && to == Layer::Source
                || from == Layer::Source && to == Layer::Way;
            if !same_room && (to > from || sideways_source) {
                wrong.push(show(&edge));
            }
        }
    }
    hold(
        "a room imports one above it, or a source one of its row: hand it over from above, or move it down",
        &wrong,
    );
}

/// Scenario: the imports of every crate as a graph of files, and as a graph of rooms.
/// Guarantees: no circle in either.
#[test]
fn no_circles() {
    let files = source::rust_files();
    let mut wrong = Vec::new();
    for (folder, _) in CRATES {
        let edges: Vec<Edge> =
            graph::edges(&files, folder).into_iter().filter(|edge| !edge.to.starts_with("ao_")).collect();
        let pairs: Vec<_> = edges.iter().map(|edge| (edge.from.clone(), edge.to.clone())).collect();
        for circle in graph::circles(&pairs) {
            wrong.push(format!("circle of {} files:", circle.len()));
            wrong.extend(
                edges
                    .iter()
                    .filter(|edge| circle.contains(&edge.from) && circle.contains(&edge.to))
                    .map(show),
            );
        }
        let of_rooms = |edge: &Edge| Some((room(&edge.from, folder)?, room(&edge.to, folder)?));
        let pairs: Vec<_> = edges.iter().filter_map(of_rooms).collect();
        for circle in graph::circles(&pairs) {
            wrong.push(format!("circle of rooms in {folder}: {}", circle.join(", ")));
        }
    }
    hold(
        "imports go in a circle: move the types that both sides need into a file below both (api.rs, error.rs, ...)",
        &wrong,
    );
}

/// Scenario: every `api.rs`.
/// Guarantees: it imports neither a sibling nor its family's table.
#[test]
fn api_imports_no_sibling() {
    let files = source::rust_files();
    let mut wrong = Vec::new();
    for (folder, _) in CRATES {
        for edge in graph::edges(&files, folder).iter().filter(|edge| edge.from.ends_with("/api.rs")) {
            let family = edge.from.trim_end_matches("/api.rs");
            if format!("{family}/") == folder {
                // The room `api` is no family's.
                continue;
            }
            let own_child = edge.to.starts_with(&format!("{family}/api/"));
            if !own_child && (edge.to.starts_with(&format!("{family}/")) || edge.to == format!("{family}.rs"))
            {
                wrong.push(show(edge));
            }
        }
    }
    hold("a family's api.rs stands below its siblings: move what it needs into it", &wrong);
}

/// Scenario: every source outside the tests.
/// Guarantees: raw sockets, HTTP clients and the journal's files are each touched in one place.
#[test]
fn one_place_for_each() {
    let mut wrong = Vec::new();
    for file in source::rust_files().iter().filter(|file| !graph::is_test(&file.path) && !is_of_tests(file)) {
        let code = source::without_tests(&source::code(&file.text));
        for place in PLACES.iter().filter(|place| file.path.starts_with(place.within)) {
            if place.only.iter().any(|only| file.path.starts_with(only)) {
                continue;
            }
            for (index, line) in code.lines().enumerate() {
                if let Some(word) = place.words.iter().find(|word| line.contains(**word)) {
                    let only = place.only.join(" or ");
                    wrong.push(format!(
                        "  {}:{} {} ({word}): only {only} may",
                        file.path,
                        index + 1,
                        place.what
                    ));
                }
            }
        }
    }
    hold("something dangerous is done outside of its one place: call that place instead", &wrong);
}

fn is_of_tests(file: &File) -> bool {
    file.path.starts_with("tests/")
}
