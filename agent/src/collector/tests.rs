//! The table, the configuration, and rounds over the fixture trees.

use std::path::Path;

use super::*;

fn parse(yaml: &str) -> Result<Config, String> {
    serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())
}

fn fixtures() -> Roots {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Roots { proc: dir.join("proc"), sys: dir.join("sys"), root: dir.join("root") }
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
        ("cpuu: {}", "cpuu: there is no such collector; there are cpu, diskstats"),
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

/// Scenario: one round over the fixture trees, everything on.
/// Guarantees: exactly these series, with node_exporter's names, labels, types and units.
#[test]
fn golden() {
    let config = parse("stat: { softirq: true }").unwrap();
    let text = collect_once(&config, &fixtures(), None, 0).unwrap().exposition();
    // What differs from host to host, or from moment to moment.
    let moving = [
        "node_time_seconds ",
        "node_uname_info{",
        "node_scrape_collector_duration_seconds{",
        "node_filesystem_size_bytes{",
        "node_filesystem_free_bytes{",
        "node_filesystem_avail_bytes{",
        "node_filesystem_files{",
        "node_filesystem_files_free{",
    ];
    let fixed = |line: &str| match moving.iter().find(|start| line.starts_with(**start)) {
        Some(start) if start.ends_with(' ') => format!("{start}?"),
        Some(start) if *start == "node_uname_info{" => format!("{start}?}} 1"),
        Some(_) => format!("{}?", &line[..=line.rfind(' ').unwrap_or(0)]),
        None => line.to_owned(),
    };
    insta::assert_snapshot!(text.lines().map(fixed).collect::<Vec<_>>().join("\n"));
}

/// Scenario: a host of which nothing can be read, and one whose every file is noise.
/// Guarantees: each collector tells its failure, none panics, and the others go on.
#[test]
fn nothing_and_noise() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().into(), sys: dir.path().into(), root: dir.path().into() };
    let failed = |roots: &Roots| {
        let set = collect_once(&Config::default(), roots, None, 0).unwrap();
        let text = set.exposition();
        let lines =
            text.lines().filter(|l| l.starts_with("node_scrape_collector_success") && l.ends_with(" 0"));
        lines.map(|l| l.split('"').nth(1).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let all = ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat", "time"];
    assert_eq!(failed(&roots), all);
    let noise = b"cpu0 x\nintr\n\xff\xfe:: 1 2\n 8 0\n\0\0\n";
    std::fs::create_dir_all(dir.path().join("net")).unwrap();
    std::fs::create_dir_all(dir.path().join("self")).unwrap();
    for file in ["stat", "meminfo", "loadavg", "diskstats", "net/dev", "self/mountinfo"] {
        std::fs::write(dir.path().join(file), noise).unwrap();
    }
    assert_eq!(failed(&roots), all);
}

/// Scenario: `collect` for one collector that is switched off, and for one that is not there.
/// Guarantees: the first is read, by name; the second is refused with the names that there are.
#[test]
fn one_by_name() {
    let print = |name: &str| {
        let mut out = Vec::new();
        let args = Args { once: true, collector: Some(name.to_owned()) };
        print_once(&args, &parse("loadavg: false").unwrap(), &fixtures(), &mut out)?;
        Ok::<_, RunError>(String::from_utf8(out).unwrap())
    };
    let text = print("loadavg").unwrap();
    assert!(text.contains("node_load5 0.37\n") && !text.contains("node_memory"), "{text}");
    let error = print("load").unwrap_err().to_string();
    assert!(error.starts_with("there is no collector \"load\"; there are cpu, "), "{error}");
}
