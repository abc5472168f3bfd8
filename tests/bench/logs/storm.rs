//! As many lines as a core reads: they lie in pod files before the agent starts, which is bound to one core, and all its
//! CPU time counts, from its start until the aggregator has the last line in its journal.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::stack::Stack;

use super::LOGS_ALONE;
use crate::api::{Row, cpu_seconds};

const FILES: usize = 100;
const LINES_PER_FILE: usize = 10_000;
/// Bytes of a line as it lies in the file, its end included.
const LINE: usize = 216;
/// The median of so many runs.
const RUNS: usize = 3;

pub(super) async fn run() -> Result<Row, Box<dyn Error>> {
    let total = FILES * LINES_PER_FILE;
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        rates.push(total as f64 / storm(total).await?);
    }
    rates.sort_by(f64::total_cmp);
    let what = format!(
        "lines per second of the agent's CPU time on one core: {total} CRI lines of {LINE} bytes in {FILES} pod files, \
         until journalled at the aggregator; median of {RUNS}"
    );
    Ok(Row::new("logs.lines_per_cpu_s", what, rates[RUNS / 2], "lines/s"))
}

/// The agent's CPU seconds.
async fn storm(total: usize) -> Result<f64, Box<dyn Error>> {
    let mut stack = Stack::new();
    write_files(&stack.pods())?;
    stack.start_aggregator("{}", "").await;
    stack.agent_core = Some(0);
    stack.start_agent(LOGS_ALONE).await;
    eventually("all lines are journalled", Duration::from_secs(180), async || {
        let labels = "source=\"logs\",class=\"logs\"";
        let received = stack.aggregator_metric("ao_ledger_received_records_total", labels).await?;
        if received >= total as f64 { Ok(()) } else { Err(format!("{received} of {total}")) }
    })
    .await;
    cpu_seconds(stack.agent().id())
}

fn write_files(pods: &Path) -> std::io::Result<()> {
    for file in 0..FILES {
        let folder = pods.join(format!("bench_pod-{file}_uid-{file}/app"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("0.log"), lines(file))?;
    }
    Ok(())
}

/// Requests as a service logs them, with ids that do not compress, in the form in which containerd stores them.
fn lines(file: usize) -> String {
    let mut text = String::with_capacity(LINES_PER_FILE * LINE);
    for n in 0..LINES_PER_FILE {
        let end = text.len() + LINE;
        let (second, nanos) = (n / 1_000 % 60, n % 1_000 * 1_000_000 + n * 7_919 % 1_000_000);
        let id = (file * LINES_PER_FILE + n) as u64;
        // Writing to a String cannot fail.
        let _ok = write!(
            text,
            "2026-01-01T00:00:{second:02}.{nanos:09}Z stdout F {{\"level\":\"{}\",\"file\":{file},\"seq\":{n},\
             \"trace\":\"{:016x}\",\"msg\":\"request served\",\"path\":\"/api/v1/items/{}\",\"status\":200,\
             \"ms\":{},\"note\":\"",
            ["info", "info", "info", "warn"][n * 31 % 4],
            (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            n * 7_919 % 10_007,
            n * 31 % 997,
        );
        const NOTE: &str = "served from the cache of this zone, which had it from another one";
        let room = end - 3 - text.len();
        text.push_str(&NOTE[..room]);
        text.push_str("\"}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    /// Scenario: the lines of a file.
    /// Guarantees: each has the length that the figure is for, and ends as a line of JSON.
    #[test]
    fn lines_have_one_length() {
        let text = super::lines(99);
        assert!(text.lines().all(|line| line.len() + 1 == super::LINE && line.ends_with("\"}")));
        assert_eq!(text.lines().count(), super::LINES_PER_FILE);
    }
}
