//! `promtool check metrics` over what the agent exposes: of each machine of the fixtures, and of this host.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ao_tests::workspace::{binary, root, tool};

/// What promtool says of node_exporter's and cAdvisor's own names as well, which boards and alerts select by: the beginning of a name,
/// what is said, and why it stays.
const KNOWN: &[(&str, &str, &str)] = &[
    ("node_memory_", "'snake_case'", "the kernel's own names in /proc/meminfo"),
    ("node_netstat_", "'snake_case'", "the kernel's own names in /proc/net/snmp and netstat"),
    ("container_memory_failcnt ", "\"_total\" suffix", "cAdvisor's name for it"),
    ("node_entropy_", "base unit \"bytes\"", "the kernel counts entropy in bits"),
];

/// Scenario: the golden snapshots of each fixture machine, all of its collectors on one page.
/// Guarantees: promtool parses the page and complains of nothing but the names that are others' own.
#[test]
fn fixture_machines() {
    let snapshots = root().join("agent/src/collector/snapshots");
    let mut machines = 0;
    for machine in std::fs::read_dir(&snapshots).unwrap() {
        let machine = machine.unwrap().path();
        lint(&machine.display().to_string(), &page(&machine));
        machines += 1;
    }
    assert!(machines > 0, "no machine in {}", snapshots.display());
}

/// Scenario: the golden snapshots of the machines with containers.
/// Guarantees: the same.
#[test]
fn fixture_containers() {
    let snapshots = root().join("agent/src/container/snapshots");
    let mut machines = 0;
    for machine in std::fs::read_dir(&snapshots).unwrap() {
        let machine = machine.unwrap().path();
        let page = lines(&machine);
        assert!(page.contains("\ncontainer_cpu_usage_seconds_total{"), "{}", machine.display());
        lint(&machine.display().to_string(), &page);
        machines += 1;
    }
    assert!(machines > 0, "no machine in {}", snapshots.display());
}

/// Scenario: `ao-agent collect --once` on this host.
/// Guarantees: the same.
#[test]
fn this_host() {
    let out = Command::new(binary("ao-agent")).args(["collect", "--once"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    lint("this host", &String::from_utf8(out.stdout).unwrap());
}

/// The snapshots of a machine as one page.
fn page(machine: &Path) -> String {
    let mut snapshots: Vec<_> =
        std::fs::read_dir(machine).unwrap().map(|entry| entry.unwrap().path()).collect();
    snapshots.sort();
    snapshots.iter().map(|snapshot| lines(snapshot)).collect()
}

/// A snapshot without its head; what it masks has a value again.
fn lines(snapshot: &Path) -> String {
    let content = std::fs::read_to_string(snapshot).unwrap();
    let body = content.splitn(3, "---\n").nth(2).unwrap_or_default();
    let whole = |line: &str| match line.strip_suffix(" ?") {
        Some(series) if !line.starts_with('#') => format!("{series} 0\n"),
        _ => format!("{}\n", line.replace("{?}", "{masked=\"\"}")),
    };
    body.lines().map(whole).collect()
}

/// Holds a page against promtool.
fn lint(whose: &str, page: &str) {
    let mut child = Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    let known = |line: &&str| {
        KNOWN.iter().any(|(name, complaint, _)| line.starts_with(name) && line.contains(complaint))
    };
    let new: Vec<&str> = said.lines().filter(|line| !line.is_empty() && !known(line)).collect();
    assert!(new.is_empty(), "promtool on the page of {whose}: {new:#?}");
    // 3: it has complained, of what is known. 1: it could not read the page.
    assert!(matches!(out.status.code(), Some(0 | 3)), "promtool on the page of {whose}: {}", out.status);
}
