//! Sets through the table and back.

use ao_proto::frame;
use ao_proto::model::MetricType;

use super::*;

/// Name, labels, value.
type Sample<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

fn set(at_ms: i64, samples: &[Sample<'_>]) -> MetricSet {
    let mut set = MetricSet::new("collector", "node-exporter", at_ms);
    for (name, labels, value) in samples {
        let family = set.family(name, MetricType::Gauge, "help");
        set.push(family, labels, *value);
    }
    set
}

/// What a receiver makes of it: labels and value of each sample present; the keyframe's id.
fn read_back(encoded: &Encoded) -> (Vec<(String, f64)>, u64) {
    let (_, sealed) = encoded.draft.keyframe.as_ref().unwrap();
    let opened = frame::open(sealed).unwrap();
    let keyframe = Keyframe::decode(&opened.decompress().unwrap()).unwrap();
    let sealed = seal(&encoded.draft.header, &encoded.draft.payload);
    let raw = frame::open(&sealed).unwrap().decompress().unwrap();
    let decoded = MetricsFrame::decode(&raw, &keyframe).unwrap();
    let present = |n: &usize| !decoded.absent.contains(&(*n as u32));
    let samples = (0..keyframe.series.len()).filter(present);
    (samples.map(|n| (keyframe.series[n].labels.to_string(), decoded.values[n])).collect(), keyframe.id)
}

fn table() -> SeriesTable {
    SeriesTable::new([1; 16], vec![("job".into(), "j".into()), ("instance".into(), "node".into())])
}

/// Scenario: two sets with the same series, then one with another order and a new series.
/// Guarantees: values arrive under their labels; the keyframe stays until a series is new.
#[test]
fn values_arrive_under_their_labels() {
    let mut table = table();
    let (first, id) = read_back(&table.encode(&set(1_000, &[("a", &[], 1.0), ("b", &[("x", "1")], 2.5)])));
    assert_eq!(first[0], (r#"{__name__="a", instance="node", job="j"}"#.to_owned(), 1.0));
    assert_eq!(first[1], (r#"{__name__="b", instance="node", job="j", x="1"}"#.to_owned(), 2.5));
    let (_, same) = read_back(&table.encode(&set(2_000, &[("b", &[("x", "1")], 3.0), ("a", &[], 1.0)])));
    assert_eq!(same, id);
    let third = [("b", &[("x", "2")][..], 7.0), ("b", &[("x", "1")], 4.0), ("a", &[], 1.0)];
    let (third, other) = read_back(&table.encode(&set(3_000, &third)));
    assert_ne!(other, id);
    assert_eq!(third.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [1.0, 4.0, 7.0]);
}

/// Scenario: a series goes away for two sets and comes back.
/// Guarantees: one staleness marker, then nothing, then its value again.
#[test]
fn a_series_that_ends_is_marked_once() {
    let mut table = table();
    table.encode(&set(1_000, &[("a", &[], 1.0), ("b", &[], 2.0)]));
    let (gone, _) = read_back(&table.encode(&set(2_000, &[("a", &[], 1.0)])));
    assert_eq!(gone[1].1.to_bits(), STALE_NAN);
    let (after, _) = read_back(&table.encode(&set(3_000, &[("a", &[], 1.0)])));
    assert_eq!(after.len(), 1);
    let (back, _) = read_back(&table.encode(&set(4_000, &[("a", &[], 1.0), ("b", &[], 5.0)])));
    assert_eq!(back[1].1, 5.0);
}

/// Scenario: a keyframe grows old while a series has ended, then a new one comes.
/// Guarantees: the ended series is no longer in the new keyframe; numbers still match values.
#[test]
fn an_old_keyframe_is_renewed_without_the_dead() {
    let mut table = table();
    table.encode(&set(0, &[("a", &[], 1.0), ("b", &[], 2.0), ("c", &[], 3.0)]));
    table.encode(&set(1_000, &[("a", &[], 1.0), ("c", &[], 3.5)]));
    let renewed = table.encode(&set(KEYFRAME_AGE_MS, &[("d", &[], 4.0), ("c", &[], 3.75), ("a", &[], 1.0)]));
    let (samples, _) = read_back(&renewed);
    assert_eq!(samples.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [1.0, 3.75, 4.0]);
    assert_eq!(renewed.draft.header.records, 3);
}

/// Scenario: a set names a series twice.
/// Guarantees: the first value counts, the double is reported.
#[test]
fn doubles_are_counted() {
    let encoded = table().encode(&set(0, &[("a", &[], 1.0), ("a", &[], 2.0)]));
    assert_eq!(encoded.doubles, 1);
    assert_eq!(read_back(&encoded).0[0].1, 1.0);
}
