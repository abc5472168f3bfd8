//! The agent beside the real node_exporter on this host: the same series, types, labels and values.
//!
//! | room | what it holds |
//! |---|---|
//! | `compare` | what misses and what differs, series by series |
//! | `rules` | what is no host series, how far a gauge may move between two reads, the list of exceptions |
//!
//! Ours is read before and behind theirs, so that every counter of theirs must lie between our two reads.

mod compare;
mod rules;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::exposition::{self, Page};
use ao_tests::process::Process;
use ao_tests::prometheus::get;
use ao_tests::workspace::{binary, free_addresses, report, tool};
use compare::{Outcome, compare};
use rules::{EXCEPTIONS, Exceptions, is_host};
use serde_json::json;

/// Of node_exporter's host series, what must match; what the exceptions excuse counts as not matched.
const BAR: f64 = 0.97;
/// Values that are off are looked at again, since what happens on the host between two reads is not ours to rule.
const LOOKS: usize = 4;

/// A file for the textfile collectors, whose folders differ by default.
const TEXT: &str =
    "# TYPE backup_last_success_seconds gauge\nbackup_last_success_seconds{volume=\"home\"} 1.7e+09\n";

/// Scenario: node_exporter with its default flags and `ao-agent collect --serve` on this host; both are scraped.
/// Guarantees: every host series of node_exporter is there, with its type, its labels and its value, but for those of
/// the list of exceptions, which are 3 % at most and all needed.
#[tokio::test(flavor = "multi_thread")]
async fn node_exporters_series_are_ours() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = free_addresses();
    let texts = folder.path().join("texts");
    std::fs::create_dir(&texts).unwrap();
    std::fs::write(texts.join("backup.prom"), TEXT).unwrap();
    let config = folder.path().join("agent.yaml");
    std::fs::write(&config, format!("collectors: {{textfile: {{directory: [{texts:?}]}}}}\n")).unwrap();
    let mut command = Command::new(binary("ao-agent"));
    command.arg("--config").arg(&config).args(["collect", "--serve", &ours.to_string()]);
    let _agent = Process::start("ao-agent", folder.path(), &mut command);
    let mut command = Command::new(tool("prometheus-node-exporter"));
    // Debian builds it with systemd's collector on; the project's own default is off.
    command.args([&format!("--web.listen-address={theirs}"), "--no-collector.systemd"]);
    command.arg(format!("--collector.textfile.directory={}", texts.display()));
    let _exporter = Process::start("node_exporter", folder.path(), &mut command);

    // The first pages; they also let both remember what they hold against counters that go back.
    let by_collector = collectors(theirs).await;
    scrape(ours, "").await;
    let mut outcome = Outcome::default();
    for look in 0..LOOKS {
        let [before, they, after] =
            [scrape(ours, "").await, scrape(theirs, "").await, scrape(ours, "").await];
        let now = compare([&before, &after], &they, is_host);
        if look == 0 {
            outcome = now;
        } else {
            outcome.look_again(&now);
        }
        if outcome.differing.is_empty() {
            break;
        }
    }

    let exceptions = Exceptions::read(EXCEPTIONS).unwrap();
    let (open, excused) = exceptions.split(&outcome);
    let total = outcome.total();
    let share = outcome.matched.len() as f64 / total as f64;
    print(&outcome, &by_collector, share);
    let differing: BTreeMap<_, _> = outcome.differing.iter().collect();
    report(
        "parity-node-exporter",
        &json!({
            "matched": outcome.matched.len(), "total": total, "share": share,
            "excused": excused.len(), "missing": outcome.missing, "differing": differing,
        }),
    );
    assert!(total > 300, "node_exporter gave {total} series alone");
    assert!(share >= BAR, "{share:.4} of {total} series match, which is less than {BAR}");
    assert!(open.is_empty(), "no exception says why these miss or differ: {open:#?}");
    let most = (1.0 - BAR) * total as f64;
    assert!(excused.len() as f64 <= most, "{} of {total} series are exceptions: {excused:#?}", excused.len());
    let unused = exceptions.unused(&outcome);
    assert!(unused.is_empty(), "exceptions that nothing needs any more: {unused:?}");
}

/// Which of node_exporter's collectors gives a family: it is asked for each of them alone.
async fn collectors(theirs: SocketAddr) -> BTreeMap<String, String> {
    let first = eventually("node_exporter answers", Duration::from_secs(20), async || {
        let (_, text) = get(&format!("http://{theirs}/metrics")).await?;
        Page::read(&text)
    })
    .await;
    let marks = first.samples.keys().filter_map(|series| {
        series.strip_prefix("node_scrape_collector_success{collector=\"")?.strip_suffix("\"}")
    });
    let mut found = BTreeMap::new();
    for collector in marks {
        let page = scrape(theirs, &format!("?collect[]={collector}")).await;
        for series in page.samples.keys().filter(|series| is_host(series)) {
            let name = exposition::name(series);
            if !name.starts_with("node_scrape_collector_") {
                found.insert(name.to_owned(), collector.to_owned());
            }
        }
    }
    found
}

async fn scrape(address: SocketAddr, query: &str) -> Page {
    eventually("a page of metrics", Duration::from_secs(20), async || {
        let (status, text) = get(&format!("http://{address}/metrics{query}")).await?;
        if status == 200 { Page::read(&text) } else { Err(format!("{status}: {text}")) }
    })
    .await
}

/// The share, and what of each collector misses or differs.
#[allow(clippy::print_stdout, reason = "what the test shows its reader")]
fn print(outcome: &Outcome, by_collector: &BTreeMap<String, String>, share: f64) {
    let collector = |series: &str| {
        let of = series.strip_prefix("node_scrape_collector_").and_then(|rest| rest.split('"').nth(1));
        let known = || by_collector.get(exposition::name(series)).cloned();
        of.map(str::to_owned).or_else(known).unwrap_or_else(|| "?".to_owned())
    };
    let mut table = BTreeMap::<String, [Vec<String>; 3]>::new();
    let missing = outcome.missing.iter().map(|series| (1, series.clone(), series.clone()));
    let differing =
        outcome.differing.iter().map(|(series, why)| (2, series.clone(), format!("{series}: {why}")));
    let matched = outcome.matched.iter().map(|series| (0, series.clone(), series.clone()));
    for (column, series, line) in matched.chain(missing).chain(differing) {
        table.entry(collector(&series)).or_default()[column].push(line);
    }
    println!("{:<18}{:>8}{:>8}{:>10}", "collector", "matched", "missing", "differing");
    for (name, [matched, missing, differing]) in &table {
        println!("{name:<18}{:>8}{:>8}{:>10}", matched.len(), missing.len(), differing.len());
    }
    for (name, [_, missing, differing]) in &table {
        for (what, lines) in [("missing", missing), ("differing", differing)] {
            for line in lines {
                println!("{name}: {what}: {line}");
            }
        }
    }
    let (matched, total) = (outcome.matched.len(), outcome.total());
    println!("node_exporter's host series: {matched} of {total} match, a share of {share:.4}");
}
