//! The table, the configuration and whole rounds.

use super::*;

fn parse(yaml: &str) -> Result<Config, String> {
    serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())
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
    for (yaml, message) in [
        ("cpuu: {}", "cpuu: there is no such collector; there are cpu, diskstats"),
        ("cpu: { gest: true }", "cpu: unknown field `gest`"),
        ("netdev: { device_exclude: '(' }", "netdev: device_exclude: "),
        ("netdev: { device_exclude: a, device_include: b }", "exclude each other"),
        ("interval: 15", "15"),
        ("interval: 10ms", "less than a second"),
        ("interval: 5s", "deadline: 10s must be"),
    ] {
        let error = parse(yaml).unwrap_err();
        assert!(error.contains(message), "{yaml}: {error}");
    }
}
