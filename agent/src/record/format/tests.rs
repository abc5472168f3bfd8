//! What was written is read back; other lines are errors.

use super::*;

fn set(at_ms: i64, samples: &[(&str, &str, f64)]) -> MetricSet {
    let mut set = MetricSet::new("collector", "node-exporter", at_ms);
    for (name, label, value) in samples {
        let family = set.family(name, MetricType::Gauge, "help\twith \\ and\nline end");
        set.push(family, &[("label", label)], *value);
    }
    set
}

/// Scenario: rounds in which series come, stay, change, go and come back, with every kind of float and odd texts.
/// Guarantees: every value comes back bit by bit, and so do texts and times.
#[test]
fn round_trip() {
    let rounds = [
        set(1, &[("a", "x\ty\n\\z=1", 0.1), ("b", "", -0.0)]),
        set(2, &[("a", "x\ty\n\\z=1", 0.1), ("b", "", f64::NAN), ("c", "new", 1e-300)]),
        set(3, &[("b", "", f64::NEG_INFINITY), ("c", "new", 1e300)]),
        set(4, &[("a", "x\ty\n\\z=1", 123_456.789), ("c", "new", 1e300)]),
    ];
    let mut writer = Writer::new(Vec::new());
    rounds.iter().for_each(|round| writer.write(round).unwrap());
    let recording = Recording::read(std::str::from_utf8(&writer.out).unwrap()).unwrap();
    assert_eq!(recording.families.len(), 3);
    assert_eq!(recording.families[0].2, "help\twith \\ and\nline end");
    for (round, snapshot) in rounds.iter().zip(&recording.snapshots) {
        assert_eq!(round.at_ms, snapshot.at_ms);
        let here = |(i, value): (usize, &Option<f64>)| {
            let series = &recording.series[i];
            let name = recording.families[series.family].1.clone();
            value.map(|value| (name, series.labels.clone(), value.to_bits()))
        };
        let read: Vec<_> = snapshot.values.iter().enumerate().filter_map(here).collect();
        let text = |sample: &crate::event::SampleText| {
            let name = round.text(&round.families[sample.family as usize].name).to_owned();
            (name, Labels::from_pairs(round.labels_of(sample)), sample.value.to_bits())
        };
        assert_eq!(read, round.samples.iter().map(text).collect::<Vec<_>>());
    }
}

/// Scenario: lines that no recording has.
/// Guarantees: an error with the number of the line.
#[test]
fn refuses_other_lines() {
    for bad in ["", "F\t9\ta\tb", "S\t1\t", "T\tx", "0\t1", "-\t0", "X\t1", "T\t1\n7\t1", "T\t1\n0\t#zz"] {
        let text = format!("F\t1\ta\thelp\n{bad}");
        let line = text.lines().count().max(2);
        let text = text + "\n";
        assert_eq!(Recording::read(&text).map_err(|e| e.line), Err(line), "{bad:?}");
    }
}
