//! The table, the configuration, and rounds over the fixture trees.

use std::fs;
use std::path::{Path, PathBuf};

use super::api::CollectError;
use super::*;

mod bad_input;

fn parse(yaml: &str) -> Result<Config, String> {
    serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn roots(machine: &Path) -> Roots {
    Roots { proc: machine.join("proc"), sys: machine.join("sys"), root: machine.join("root") }
}

/// The machines of tests/fixtures, by name; those with cgroups are for the tests of containers.
fn machines() -> Vec<(String, Roots)> {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut machines: Vec<_> =
        entries.filter(|path| path.is_dir() && !path.join("sys/fs/cgroup").exists()).collect();
    machines.sort();
    let named = |path: &PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), roots(path));
    machines.iter().map(named).collect()
}

/// Scenario: sections as people write them, good and bad.
/// Guarantees: each mistake is refused by name; `false` and `true` switch.
#[test]
fn configuration() {
    let config =
        parse("interval: 30s\nnetdev: { device_exclude: '^veth' }\nuname: false\ncpu: true").unwrap();
    assert_eq!(config.interval, Span::secs(30));
    let names: Vec<_> = config.chosen().map(|(entry, _)| entry.name).collect();
    assert!(names.contains(&"netdev") && names.contains(&"cpu") && !names.contains(&"uname"));
    assert_eq!(parse("{}").unwrap(), Config::default());
    assert_eq!(parse("interval: 5s").unwrap().deadline, Span::secs(5));
    for (yaml, message) in [
        ("cpuu: {}", "cpuu: there is no such collector; there are "),
        ("cpu: { gest: true }", "cpu: unknown field `gest`"),
        ("netdev: { device_exclude: '(' }", "netdev: device_exclude: "),
        ("netdev: { device_exclude: a, device_include: b }", "exclude each other"),
        ("interval: 15", "15"),
        ("interval: 10ms", "less than a second"),
        ("interval: 5s\ndeadline: 10s", "deadline: 10s must be"),
    ] {
        let error = parse(yaml).unwrap_err();
        assert!(error.contains(message), "{yaml}: {error}");
    }
}

/// Options under which the fixtures are read, where the default ones leave something out.
const OPTIONS: &str = "stat: { softirq: true }\n\
    processes: true\nprocess_top: { io: true }\ntcpstat: true\n\
    cpu: { info: true, info_flags_include: '^(aes|asimd)$', info_bugs_include: ^spectre }\n\
    bcache: { priority_stats: true }\n\
    textfile: { directory: ['/var/lib/node_export*'] }";

/// Series whose values differ from host to host, or from moment to moment.
const MOVING: [&str; 9] = [
    "node_time_seconds ",
    "node_uname_info{",
    "node_filesystem_size_bytes{",
    "node_filesystem_free_bytes{",
    "node_filesystem_avail_bytes{",
    "node_filesystem_files{",
    "node_filesystem_files_free{",
    "node_textfile_mtime_seconds{",
    "node_timex_",
];

/// Scenario: each collector over each machine of the fixtures.
/// Guarantees: exactly the series of snapshots/MACHINE/COLLECTOR.snap, with node_exporter's names, labels, types and
/// units, and behind them why the collector fails there, where it does; nothing where there is no such file.
#[test]
fn golden() {
    let config = parse(OPTIONS).unwrap();
    for (machine, roots) in machines() {
        let folder = format!("snapshots/{machine}");
        for Entry { name, build, .. } in COLLECTORS {
            let section = config.sections.get(*name).filter(|section| !section.is_bool());
            let mut out = MetricSet::new("collector", "node-exporter", 0);
            let result = build(section.cloned()).unwrap().collect(&roots, &mut out);
            let text = out.exposition();
            let text = text.lines().map(still).chain(failure(&roots, result, !text.is_empty()));
            let text = text.collect::<Vec<_>>().join("\n");
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src/collector")
                .join(&folder)
                .join(format!("{name}.snap"));
            if text.is_empty() {
                assert!(!file.exists(), "{name} reads nothing of {machine}, but {} is there", file.display());
                continue;
            }
            insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(*name, text);
            });
        }
    }
}

/// Why it fails, as a comment behind what it could read; having nothing to read is none.
fn failure(roots: &Roots, result: Result<(), CollectError>, read: bool) -> Option<String> {
    let why = result.err().filter(|why| read || !matches!(why, CollectError::NoData(_)))?.to_string();
    let machine = roots.proc.parent().unwrap().display().to_string();
    Some(format!("# It fails: {}", why.replace(&machine, "")))
}

/// A line of the exposition without what moves.
fn still(line: &str) -> String {
    match MOVING.iter().find(|start| line.starts_with(**start)) {
        Some(start) if start.ends_with(' ') => format!("{start}?"),
        Some(start) if *start == "node_uname_info{" => format!("{start}?}} 1"),
        Some(_) => format!("{}?", &line[..=line.rfind(' ').unwrap_or(0)]),
        None => line.to_owned(),
    }
}
