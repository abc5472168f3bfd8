//! Chips that hang, sensors that fail, labels that would be the same.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::*;

fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join("class/hwmon").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let roots = Roots { sys: dir.path().to_owned(), ..Roots::default() };
    (dir, roots)
}

fn collect(hwmon: &mut dyn Collector, roots: &Roots) -> (String, Result<(), CollectError>) {
    let mut out = MetricSet::new("collector", "node-exporter", 0);
    let result = hwmon.collect(roots, &mut out);
    (out.exposition(), result)
}

static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

fn slow(chip: &mut Chip) {
    if chip.path.ends_with("hwmon0") {
        let mut open = GATE.0.lock().unwrap();
        while !*open {
            open = GATE.1.wait(open).unwrap();
        }
    }
    read(chip);
}

/// Scenario: a chip that does not answer in two rounds, beside one that does; then it answers.
/// Guarantees: the other one is read in each round; the error names the chip; it is back once it has answered.
#[test]
fn a_chip_that_hangs() {
    let (_dir, roots) =
        host(&[("hwmon0/name", "hung\n"), ("hwmon0/temp1_input", "1000\n"), ("hwmon1/name", "good\n")]);
    let none = || Filter::new(("", None), ("", None), "").unwrap();
    let crew = Crew::new("hwmon", slow);
    // The first round waits for all of it, for the sake of the one that hangs.
    let timeout = Duration::from_secs(5);
    let mut hwmon = Hwmon { chips: none(), sensors: none(), timeout, crew, stuck: HashSet::new() };
    for _round in 0..2 {
        let (text, result) = collect(&mut hwmon, &roots);
        assert!(text.contains("chip=\"good\"") && !text.contains("chip=\"hung\""), "{text}");
        let error = result.unwrap_err().to_string();
        assert!(error.contains("hwmon0: the sensor chip does not answer"), "{error}");
    }
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    let begin = Instant::now();
    while !collect(&mut hwmon, &roots)
        .0
        .contains("node_hwmon_temp_celsius{chip=\"hung\",sensor=\"temp1\"} 1\n")
    {
        assert!(begin.elapsed() < Duration::from_secs(20), "the chip never came back");
    }
    assert!(collect(&mut hwmon, &roots).1.is_ok());
}

/// Scenario: sensors that are gone, that are folders, that are empty or no numbers; filters of chips and sensors.
/// Guarantees: the others are given and there is no error; what is filtered is not there.
#[test]
fn sensors_that_fail() {
    let (dir, roots) = host(&[
        ("hwmon0/name", "a\n"),
        ("hwmon0/temp1_input", "1000\n"),
        ("hwmon0/temp2_input", "\n"),
        ("hwmon0/temp3_input", "many\n"),
        ("hwmon0/temp4_input/x", ""),
        ("hwmon0/fan1_input", "900\n"),
        ("hwmon1/name", "b\n"),
        ("hwmon1/temp1_input", "2000\n"),
    ]);
    symlink("/nowhere", dir.path().join("class/hwmon/hwmon0/temp5_input")).unwrap();
    let given = |section: &str| {
        let mut hwmon = build(serde_yaml_ng::from_str(section).unwrap()).unwrap();
        let (text, result) = collect(&mut *hwmon, &roots);
        result.unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("node_hwmon_temp") || line.starts_with("node_hwmon_fan"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let [fan, a, b] = [
        "node_hwmon_fan_rpm{chip=\"a\",sensor=\"fan1\"} 900",
        "node_hwmon_temp_celsius{chip=\"a\",sensor=\"temp1\"} 1",
        "node_hwmon_temp_celsius{chip=\"b\",sensor=\"temp1\"} 2",
    ];
    assert_eq!(given("{}"), [fan, a, b]);
    assert_eq!(given("chip_exclude: ^b$"), [fan, a]);
    assert_eq!(given("sensor_include: ;temp"), [a, b]);
    assert_eq!(given("sensor_exclude: a;temp1"), [fan, b]);
}
