//! Sets through the tables and back.

use ao_proto::frame::{open, seal};
use ao_proto::limits::MAX_HEADER_BYTES;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{MetricType, STALE_NAN};
use proptest::prelude::*;

use super::*;
use crate::batch::series::KEYFRAME_AGE_MS;

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

/// What a receiver makes of a frame, which checks it first: labels and value of each sample present; the keyframe's id.
fn read(draft: &Draft) -> (Vec<(String, f64)>, u64) {
    let (_, sealed) = draft.keyframe.as_ref().unwrap();
    let keyframe = open(sealed).unwrap().decompress().unwrap();
    Keyframe::check(&keyframe).unwrap();
    let keyframe = Keyframe::decode(&keyframe).unwrap();
    let raw = open(&seal(&draft.header, &draft.payload)).unwrap().decompress().unwrap();
    MetricsFrame::check(&raw, keyframe.id, keyframe.series.len()).unwrap();
    let decoded = MetricsFrame::decode(&raw, &keyframe).unwrap();
    let present = |n: &usize| !decoded.absent.contains(&(*n as u32));
    let samples = (0..keyframe.series.len()).filter(present);
    (samples.map(|n| (keyframe.series[n].labels.to_string(), decoded.values[n])).collect(), keyframe.id)
}

/// What one frame holds that is alone.
fn read_back(encoded: &Encoded) -> (Vec<(String, f64)>, u64) {
    let [draft] = &*encoded.drafts else { panic!("{} frames", encoded.drafts.len()) };
    read(draft)
}

fn table() -> Group {
    Group::new([1; 16], vec![("job".into(), "j".into()), ("instance".into(), "node".into())])
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
    assert_eq!(renewed.drafts[0].header.records, 3);
}

/// Scenario: a set names a series twice.
/// Guarantees: the first value counts, the double is reported.
#[test]
fn doubles_are_counted() {
    let encoded = table().encode(&set(0, &[("a", &[], 1.0), ("a", &[], 2.0)]));
    assert_eq!(encoded.doubles, 1);
    assert_eq!(read_back(&encoded).0[0].1, 1.0);
}

/// Texts that zstd makes no smaller.
fn noise(seed: u64, length: usize) -> String {
    let mut random = seed.wrapping_mul(6_364_136_223_846_793_005);
    let mut one = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(33 + (random >> 33) as u8 % 94)
    };
    (0..length).map(|_| one()).collect()
}

/// Scenario: a set of 9 MB of labels, then half of its series, and again all of them; a help text of 4 MiB.
/// Guarantees: several frames, each of which the aggregator takes; every sample is in exactly one of them; what goes
/// has one marker; what comes back counts; what fits nowhere is counted.
#[test]
fn more_than_a_keyframe_may_have() {
    let mut group = table();
    let series: Vec<(String, String)> = (0..9_000).map(|n| (format!("n{n}"), noise(n, 1_000))).collect();
    let labels: Vec<[(&str, &str); 2]> =
        series.iter().map(|(name, value)| [("name", &**name), ("noise", &**value)]).collect();
    let take = |at: i64, step: usize| {
        let samples: Vec<Sample<'_>> =
            labels.iter().step_by(step).map(|pairs| ("a", &pairs[..], at as f64)).collect();
        set(at, &samples)
    };
    for (at, step, stale) in [(1, 1, 0), (2, 2, 4_500), (3, 2, 0), (4, 1, 0)] {
        let encoded = group.encode(&take(at, step));
        assert!(encoded.drafts.len() > 2 && encoded.refused == 0, "{} frames", encoded.drafts.len());
        let mut samples: Vec<(String, f64)> = encoded.drafts.iter().flat_map(|draft| read(draft).0).collect();
        for draft in &encoded.drafts {
            let sealed = draft.keyframe.as_ref().unwrap().1.len();
            assert!(sealed <= ao_proto::limits::MAX_SEALED_BYTES - MAX_HEADER_BYTES);
        }
        assert_eq!(samples.iter().filter(|(_, value)| value.to_bits() == STALE_NAN).count(), stale, "{at}");
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        samples.dedup_by(|a, b| a.0 == b.0);
        assert_eq!(samples.len(), 9_000 / step + stale);
    }
    let none = group.encode(&set(5, &[]));
    assert!(none.drafts.len() > 2);
    assert_eq!(group.encode(&set(6, &[("a", &[], 1.0)])).drafts.len(), 1, "the others are over");
    let mut large = set(7, &[("a", &[], 1.0)]);
    let family = large.family("b", MetricType::Gauge, &noise(1, 4 << 20));
    large.push(family, &[], 1.0);
    let encoded = group.encode(&large);
    assert_eq!((encoded.refused, read_back(&encoded).0.len()), (1, 1));
}

proptest! {
    /// Scenario: any sets, one behind the other, of few or many labels.
    /// Guarantees: the aggregator takes every frame; each series of a set is in exactly one, with its value.
    #[test]
    fn every_frame_is_taken(
        sets in proptest::collection::vec(proptest::collection::btree_map(("[a-c]{1,2}", 0..200_usize), any::<f64>(), 0..40), 1..6),
    ) {
        let mut group = table();
        for (at, samples) in sets.iter().enumerate() {
            let mut set = MetricSet::new("collector", "node-exporter", at as i64 * KEYFRAME_AGE_MS / 2);
            for ((name, labels), value) in samples {
                let family = set.family(name, MetricType::Gauge, "help");
                let pairs: Vec<_> = (0..*labels).map(|n| (format!("l{n}"), format!("{labels}"))).collect();
                let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
                set.push(family, &pairs, *value);
            }
            let encoded = group.encode(&set);
            let all = encoded.drafts.iter().flat_map(|draft| read(draft).0);
            let living: Vec<f64> = all.map(|(_, value)| value).filter(|value| value.to_bits() != STALE_NAN).collect();
            prop_assert_eq!(living.len(), samples.len());
        }
    }
}
