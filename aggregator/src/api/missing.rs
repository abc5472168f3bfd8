//! What the console cannot show, why, and the one command that would change it.

use serde::Serialize;

use super::nodes::Node;
use crate::sink::embedded::Store;

/// Data that comes by itself is missed only when its node has reported for so long.
const PATIENCE_MS: i64 = 30_000;
/// The agent's own door says what keeps it.
const READY: &str = "curl -s 127.0.0.1:8810/readyz";

/// Something that is not there.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What, in a few words.
    pub what: String,
    /// Why, in a sentence.
    pub why: String,
    /// The command, or the line of configuration, that would bring it; empty where there is none.
    pub command: String,
    /// False for what is merely not set up (traces): worth a hint, not a warning.
    pub fault: bool,
}

/// Looks for gaps.
pub fn of(store: &Store, nodes: &[Node], now_ms: i64) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut miss = |fault, what: String, why: &str, command: &str| {
        found.push(Missing { what, why: why.to_owned(), command: command.to_owned(), fault });
    };
    if nodes.is_empty() {
        miss(
            false,
            "No agent has reported yet".to_owned(),
            "The aggregator takes agents on port 4417; one on this host reports within seconds of its start.",
            READY,
        );
        return found;
    }
    let known_long = |node: &Node| now_ms - node.first_ms > PATIENCE_MS;
    let patient = nodes.iter().any(known_long);
    let book = store.series();
    for node in nodes.iter().filter(|node| node.state == "silent") {
        miss(
            true,
            format!("{} is silent", node.name),
            "Nothing has come from its agent for more than three minutes; it keeps what it reads and sends it later.",
            READY,
        );
    }
    for node in nodes.iter().filter(|node| node.state == "reporting" && known_long(node)) {
        if book.of("node_cpu_seconds_total", &node.name).next().is_none() {
            miss(
                true,
                format!("No host figures from {}", node.name),
                "Its agent sends, but no CPU times are among it: the collectors are off, or /proc is not the host's.",
                "curl -s 127.0.0.1:8810/metrics | grep ao_collector",
            );
        }
    }
    for probe in book.named("ao_probe_info").filter(|probe| !probe.label("command").is_empty()) {
        miss(
            true,
            format!("{}: {}", probe.node(), mode(probe.label("mode"))),
            probe.label("reason"),
            probe.label("command"),
        );
    }
    for clock in book.named("ao_clock_offset_seconds") {
        let Some(ahead) = clock.last().map(|point| point.value).filter(|ahead| ahead.abs() > 1.0) else {
            continue;
        };
        let side = if ahead > 0.0 { "ahead" } else { "behind" };
        miss(
            true,
            format!("The clock of {} is {:.1} s {side}", clock.node(), ahead.abs()),
            "Its agent has measured it against this aggregator's; times more than a minute ahead are shifted, counted.",
            "timedatectl set-ntp true",
        );
    }
    let has = |name| book.named(name).next().is_some();
    let (latency, paths) = (has("smokeping_requests_total"), has("mtr_report_loss"));
    drop(book);
    if patient && !latency {
        miss(
            true,
            "No round trips".to_owned(),
            "No agent probes a target: without targets in the configuration each one takes its default gateway.",
            "ping -c1 \"$(ip route | awk '/^default/ {print $3; exit}')\"",
        );
    }
    if patient && !paths {
        miss(
            true,
            "No paths".to_owned(),
            "No agent traces a path yet; the first round takes some seconds.",
            "",
        );
    }
    let lines = store.logs().newest();
    if patient && lines == 0 {
        miss(
            false,
            "No log lines".to_owned(),
            "The agents watch /var/log/*.log and the pods' logs; nothing was written since they started.",
            "logger hello; echo hello >> /var/log/hello.log",
        );
    }
    let spans = store.traces().fill().arrived;
    if spans == 0 {
        miss(
            false,
            "No traces".to_owned(),
            "Applications send them to their node's agent by OTLP over gRPC.",
            "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317",
        );
    }
    found
}

/// What an agent that may not open raw sockets does instead (its own name for it in `ao_probe_info`).
fn mode(mode: &str) -> &'static str {
    match mode {
        "ping" => "round trips by unprivileged ping sockets",
        _ => "round trips without ICMP",
    }
}
