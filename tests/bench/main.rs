//! `ao-bench [--only FAMILY]`: measures, prints a table and writes `target/bench.json`.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | a row, a family |
//! | `netns` | network namespaces, and programs in them |
//! | `wire` | bytes and time per sample and per log line |
//! | `logs` | log lines: CPU, memory, bytes on the wire |
//! | `pipeline` | what the real processes cost |
//! | `icmp` | how right, dear and lossy the pinger is, beside fping and smokeping_prober |
//! | `host` | what reading the host costs, beside node_exporter |
//! | `container` | what reading 2,000 cgroups costs |
//! | `lanes` | how a backlog drains beside new data |
//! | `path` | what tracing paths costs, beside mtr |
//! | `drain` | the same through the real processes, after an outage |
//!
//! A family is one file and two lines below.

mod api;
mod netns;

mod container;
mod drain;
mod host;
mod icmp;
mod lanes;
mod logs;
mod path;
mod pipeline;
mod wire;

use std::error::Error;
use std::path::Path;

use clap::Parser as _;

use crate::api::{Family, Row};

/// Every family, in the order in which they run.
const FAMILIES: &[Family] = &[
    Family { name: "wire", run: wire::run },
    Family { name: "logs", run: logs::run },
    Family { name: "pipeline", run: pipeline::run },
    Family { name: "host", run: host::run },
    Family { name: "icmp", run: icmp::run },
    Family { name: "lanes", run: lanes::run },
    Family { name: "container", run: container::run },
    Family { name: "path", run: path::run },
    Family { name: "drain", run: drain::run },
];

/// Measures the product beside its peers.
#[derive(clap::Parser)]
struct Cli {
    /// Run this family alone.
    #[arg(long, value_name = "FAMILY")]
    only: Option<String>,
    /// What this process does for a measurement of another one.
    #[arg(long, hide = true)]
    role: Option<String>,
    /// For that.
    #[arg(long, hide = true, default_value = "")]
    argument: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    if let Some(role) = &cli.role {
        return match role.as_str() {
            "get" => netns::get(&cli.argument),
            "mtr" => path::mtr(&cli.argument),
            _ => icmp::role(role, &cli.argument),
        };
    }
    let chosen = |family: &&Family| cli.only.as_deref().is_none_or(|only| only == family.name);
    let families: Vec<&Family> = FAMILIES.iter().filter(chosen).collect();
    if families.is_empty() {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        return Err(format!("there is no such family; there are: {}", names.join(", ")).into());
    }
    let mut rows = Vec::new();
    for family in families {
        rows.extend((family.run)()?);
    }
    print(&rows);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json");
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&file, serde_json::to_string_pretty(&rows)? + "\n")
        .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    Ok(())
}

/// An aligned table. Figures of one magnitude are easier to compare than exact ones: four digits.
#[allow(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(rows: &[Row]) {
    let cells = |row: &Row| {
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        let ratio = row.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default();
        let peer = row.peer.unwrap_or_default().to_owned();
        [
            row.id.clone(),
            number(row.ours),
            row.unit.to_owned(),
            optional(row.peer_value),
            ratio,
            peer,
            row.what.clone(),
        ]
    };
    let head = ["id", "ours", "unit", "peer", "ratio", "whose", "what"].map(str::to_owned);
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 7] =
        std::array::from_fn(|i| lines.iter().map(|line| line[i].len()).max().unwrap_or_default());
    for line in &lines {
        let figure = |i: usize| matches!(i, 1 | 3 | 4);
        let cell = |(i, text): (usize, &String)| {
            let width = widths[i];
            if figure(i) { format!("{text:>width$}") } else { format!("{text:<width$}") }
        };
        let line: Vec<String> = line.iter().enumerate().map(cell).collect();
        println!("{}", line.join("  ").trim_end());
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
