//! The ledger as a table: a line per node and signal, from the API's answer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::Table;

/// Sums of a node's rows of one signal.
#[derive(Default)]
struct Line {
    read: u64,
    spool: u64,
    has_agent: bool,
    received: u64,
    /// By sink: delivered, dropped, in flight.
    sinks: BTreeMap<String, [i64; 3]>,
    says: Vec<String>,
}

/// The table; what is out of balance comes with its sentence.
pub(super) fn of(ledger: &Value) -> Table {
    let sinks: Vec<&str> =
        ledger["sinks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines: BTreeMap<(String, &str), Line> = BTreeMap::new();
    for row in ledger["rows"].as_array().into_iter().flatten() {
        let node = row["node"].as_str().unwrap_or_default().to_owned();
        let signal = match row["class"].as_str() {
            Some("metrics") => "metrics",
            Some("spans") => "traces",
            _ => "logs",
        };
        lines.entry((node, signal)).or_default().add(row);
    }
    let mut heads = vec!["node", "signal", "read", "in spool", "received"];
    let of_sinks: Vec<String> =
        sinks.iter().map(|sink| format!("{sink}: delivered/dropped/in flight")).collect();
    heads.extend(of_sinks.iter().map(String::as_str));
    let mut table = Table::new(&heads);
    for ((node, signal), line) in lines {
        let of_agent = |count: u64| if line.has_agent { count.to_string() } else { "-".to_owned() };
        let fixed =
            [node, signal.to_owned(), of_agent(line.read), of_agent(line.spool), line.received.to_string()];
        let of_sinks = sinks.iter().map(|sink| {
            line.sinks.get(*sink).map_or_else(String::new, |[delivered, dropped, flying]| {
                format!("{delivered}/{dropped}/{flying}")
            })
        });
        table.row(fixed.into_iter().chain(of_sinks));
        for says in line.says {
            table.note(format!("  {says}"));
        }
    }
    table.note("(what is read and in the spool are the agents' own words, told every 15 s)".to_owned());
    table
}

impl Line {
    fn add(&mut self, row: &Value) {
        let count = |value: &Value| value["records"].as_u64().unwrap_or(0);
        if row["agent"].is_object() {
            self.has_agent = true;
            self.read += count(&row["agent"]["read"]);
            self.spool += count(&row["agent"]["in_flight"]);
        }
        self.received += count(&row["received"]);
        for fate in row["sinks"].as_array().into_iter().flatten() {
            let sum = self.sinks.entry(fate["sink"].as_str().unwrap_or_default().to_owned()).or_default();
            let dropped: u64 =
                fate["dropped"].as_object().into_iter().flatten().map(|(_, of)| count(of)).sum();
            sum[0] += count(&fate["delivered"]) as i64;
            sum[1] += dropped as i64;
            sum[2] += fate["in_flight"]["records"].as_i64().unwrap_or(0);
        }
        let verdict = row["verdict"].as_str().unwrap_or_default();
        if matches!(verdict, "off" | "away") {
            self.says.push(row["says"].as_str().unwrap_or_default().to_owned());
        }
    }
}
