//! Keyframes and frames: bit by bit what went in, and nothing but errors for all else.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::limits::MAX_LABEL_VALUE_BYTES;
use crate::model::{Exemplar, Family, Labels, MetricType, STALE_NAN, Series};

/// Floats as they occur, and every other bit pattern.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1_000_000_000_000_i64..1_000_000_000_000, 0..10_i32).prop_map(|(m, e)| m as f64 / 10_f64.powi(e)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![
            0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN, f64::MAX, f64::MIN_POSITIVE,
            f64::from_bits(STALE_NAN), f64::from_bits(0x7ff8_dead_beef_0001), 9_007_199_254_740_991.0,
            9_007_199_254_740_993.0, -9_007_199_254_740_992.0, 1e22, 4_503_599_627_370_497.0,
        ]),
    ]
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-e_]{0,3}", "\\PC{0,4}|[x-z]"), 0..6).prop_map(Labels::from_pairs)
}

fn keyframe() -> impl Strategy<Value = Keyframe> {
    let family =
        ("[a-c]{0,2}", 0..6_u8, "\\PC{0,9}", "[a-c]{0,2}").prop_map(|(name, kind, help, unit)| Family {
            name: name.into(),
            kind: MetricType::from_number(kind).unwrap(),
            help: help.into(),
            unit: unit.into(),
        });
    (any::<u64>(), any::<i64>(), prop::collection::vec(family, 1..5)).prop_flat_map(
        |(id, at_ms, families)| {
            let family = 0..families.len() as u32;
            prop::collection::vec((labels(), family, value()), 0..40).prop_map(move |rows| Keyframe {
                id,
                at_ms,
                families: families.clone(),
                values: rows.iter().map(|(_, _, value)| *value).collect(),
                series: rows.into_iter().map(|(labels, family, _)| Series { labels, family }).collect(),
            })
        },
    )
}

fn frame(keyframe: &Keyframe) -> impl Strategy<Value = MetricsFrame> + use<> {
    let n = keyframe.series.len();
    let references = keyframe.values.clone();
    // A third stays as it was, a third moves by a little, a third is anything.
    let values = prop::collection::vec((0..3, -1_000..1_000_i32, value()), n).prop_map(move |moves| {
        let moved = |(&reference, (how, by, other)): (&f64, (i32, i32, f64))| match how {
            0 => reference,
            1 => reference + f64::from(by) / 100.0,
            _ => other,
        };
        references.iter().zip(moves).map(moved).collect::<Vec<f64>>()
    });
    let exemplar = (0..n.max(1) as u32, labels(), value(), any::<i64>())
        .prop_map(|(series, labels, value, at_ms)| Exemplar { series, labels, value, at_ms });
    let exemplars = prop::collection::vec(exemplar, 0..if n == 0 { 1 } else { 4 });
    let absent = prop::collection::btree_set(0..n.max(1) as u32, 0..=n / 4);
    (any::<i64>(), values, absent, exemplars).prop_map(move |(at_ms, mut values, absent, exemplars)| {
        let absent: Vec<u32> = absent.into_iter().filter(|&i| (i as usize) < n).collect();
        absent.iter().for_each(|&i| values[i as usize] = 0.0);
        MetricsFrame { at_ms, values, absent, exemplars }
    })
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn same_keyframe(a: &Keyframe, b: &Keyframe) {
    assert_eq!((a.id, a.at_ms, &a.families, &a.series), (b.id, b.at_ms, &b.families, &b.series));
    assert_eq!(bits(&a.values), bits(&b.values));
}

fn same_frame(a: &MetricsFrame, b: &MetricsFrame) {
    assert_eq!((a.at_ms, &a.absent), (b.at_ms, &b.absent));
    assert_eq!(bits(&a.values), bits(&b.values));
    let parts = |frame: &MetricsFrame| {
        let part = |e: &Exemplar| (e.series, e.labels.clone(), e.value.to_bits(), e.at_ms);
        frame.exemplars.iter().map(part).collect::<Vec<_>>()
    };
    assert_eq!(parts(a), parts(b));
}

fn encoded(frame: &MetricsFrame, keyframe: &Keyframe) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(keyframe, &mut out);
    out
}

fn change(bytes: &mut [u8], changes: Vec<(prop::sample::Index, u8)>) {
    for (at, to) in changes {
        if !bytes.is_empty() {
            bytes[at.index(bytes.len())] = to;
        }
    }
}

type Changes = Vec<(prop::sample::Index, u8)>;

fn changes() -> impl Strategy<Value = Changes> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Scenario: any keyframe and any frame on it, with every kind of float.
    /// Guarantees: both come back bit by bit, the frame also from the decoded keyframe.
    #[test]
    fn round_trip((keyframe, frame) in keyframe().prop_flat_map(|k| (Just(k.clone()), frame(&k)))) {
        let decoded = Keyframe::decode(&keyframe.encode()).unwrap();
        same_keyframe(&keyframe, &decoded);
        same_frame(&frame, &MetricsFrame::decode(&encoded(&frame, &keyframe), &decoded).unwrap());
    }

    /// Scenario: valid payloads with some bytes changed or the end cut off.
    /// Guarantees: an error or a value that can be encoded again, never a panic; the same of a mere look.
    #[test]
    fn changed_bytes(
        (keyframe, frame) in keyframe().prop_flat_map(|k| (Just(k.clone()), frame(&k))),
        changes in changes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut raw = keyframe.encode();
        prop_assert!(Keyframe::decode(&raw[..cut.index(raw.len())]).is_err());
        change(&mut raw, changes.clone());
        let looked = Keyframe::decode(&raw).map(|other| other.id);
        prop_assert_eq!(Keyframe::check(&raw), looked);
        if let Ok(other) = Keyframe::decode(&raw) {
            same_keyframe(&other, &Keyframe::decode(&other.encode()).unwrap());
        }
        let mut raw = encoded(&frame, &keyframe);
        prop_assert!(MetricsFrame::decode(&raw[..cut.index(raw.len())], &keyframe).is_err());
        change(&mut raw, changes);
        if let Ok(other) = MetricsFrame::decode(&raw, &keyframe) {
            same_frame(&other, &MetricsFrame::decode(&encoded(&other, &keyframe), &keyframe).unwrap());
        }
    }

    /// Scenario: any bytes, as a keyframe and as a frame.
    /// Guarantees: an error or a value, never a panic.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), keyframe in keyframe()) {
        let _either = Keyframe::decode(&bytes);
        let _either = MetricsFrame::decode(&[&keyframe.id.to_le_bytes(), &bytes[..]].concat(), &keyframe);
    }
}

fn small() -> (Keyframe, MetricsFrame) {
    let series =
        |cpu: &str| Series { labels: Labels::from_pairs([("__name__", "t"), ("cpu", cpu)]), family: 0 };
    let family = Family { name: "t".into(), kind: MetricType::Counter, help: "x".into(), unit: "".into() };
    let keyframe = Keyframe {
        id: 42,
        at_ms: 1_000,
        families: vec![family],
        series: vec![series("0"), series("1"), series("2")],
        values: vec![1.25, 2.0, 3.5],
    };
    let frame = MetricsFrame { at_ms: 16_000, values: vec![1.26, 2.0, 7.0], ..MetricsFrame::default() };
    (keyframe, frame)
}

/// Scenario: the small keyframe and frame of a counter of hundredths on three CPUs.
/// Guarantees: the layout of the module's heads, byte by byte: a change of it is a change of the wire version.
#[test]
fn layout() {
    let (keyframe, frame) = small();
    let expect: Vec<u8> = [
        &42_u64.to_le_bytes()[..],
        &[0xd0, 0x0f, 3],             // 1000 ms, three series
        &[8, 1, 1, 0, 8, 3, 1, 1, 1], // eight symbols and their lengths
        b"tx__name__cpu012",
        &[1, 2, 3, 4],                          // one shape of two names
        &[1, 0, 1, 2, 1, 2],                    // one family: t, x, "", counter, hundredths
        &[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 2], // per series: same family, shape 0, same name, the next cpu
        &[0],                                   // no floats
        &[0xfa, 0x01, 0x90, 0x03, 0xbc, 0x05],  // 125, 200, 350
    ]
    .concat();
    assert_eq!(keyframe.encode(), expect);
    let expect: Vec<u8> = [
        &42_u64.to_le_bytes()[..],
        &[0xb0, 0xea, 0x01], // 15 s later
        &[0],                // none absent
        &[2, 0b101],         // the first and the third changed
        &[0, 0],             // none at another scale, no floats
        // 1 and 350 hundredths, zigzag 2 and 700: lengths 2 and 10, 700 - 512 behind the second.
        &[0x82, 0xe2, 0x05],
        &[0], // no exemplars
    ]
    .concat();
    assert_eq!(encoded(&frame, &keyframe), expect);
}

/// Scenario: a frame decoded with a keyframe of another id.
/// Guarantees: an error that names both.
#[test]
fn wrong_keyframe() {
    let (keyframe, frame) = small();
    let other = Keyframe { id: 43, ..keyframe.clone() };
    let error = MetricsFrame::decode(&encoded(&frame, &keyframe), &other);
    assert_eq!(error, Err(FrameError::Keyframe { needs: 42, given: 43 }));
}

/// Scenario: a frame with fewer values than its keyframe has series, one with more, absent series out of order.
/// Guarantees: what has no value is absent, nothing is invented.
#[test]
fn uneven_frames() {
    let (keyframe, _) = small();
    let decode = |values: Vec<f64>, absent: Vec<u32>| {
        let frame = MetricsFrame { at_ms: 0, values, absent, exemplars: Vec::new() };
        MetricsFrame::decode(&encoded(&frame, &keyframe), &keyframe).map(|f| (f.values, f.absent))
    };
    assert_eq!(decode(vec![5.0], vec![]), Ok((vec![5.0, 0.0, 0.0], vec![1, 2])));
    assert_eq!(decode(vec![1.0, 2.0, 3.0, 4.0], vec![2, 0, 2, 9]), Ok((vec![0.0, 2.0, 0.0], vec![0, 2])));
}

/// Scenario: a keyframe that claims a million series in few bytes, and one with a label value over the limit.
/// Guarantees: refused, the first before memory is spent.
#[test]
fn limits() {
    let mut raw = vec![0; 9];
    raw.extend([0x80, 0x80, 0x3f, 0, 0, 0, 0]);
    assert!(matches!(Keyframe::decode(&raw), Err(FrameError::Content { what: "keyframe", .. })));
    let (mut keyframe, _) = small();
    let long = "x".repeat(MAX_LABEL_VALUE_BYTES + 1);
    keyframe.series[0].labels = Labels::from_sorted(vec![("a".into(), long.into())]);
    assert!(Keyframe::decode(&keyframe.encode()).is_err());
}

/// Scenario: counters of jiffies and nanoseconds as seconds, a gauge that stood at a whole number, a load average.
/// Guarantees: changes cost bytes of the difference, not of the float: none is sent as float bits.
#[test]
fn decimals_are_small() {
    let family = |name: &str| Family { name: name.into(), ..Family::default() };
    let series = |i: u32| Series { labels: Labels::from_pairs([("i", i.to_string())]), family: i };
    let keyframe = Keyframe {
        families: ["jiffies", "nanoseconds", "whole", "zero"].map(family).to_vec(),
        series: (0..4).map(series).collect(),
        values: vec![123_456.78, 123_456.789_012_345, 40.0, 0.0],
        ..Keyframe::default()
    };
    let values = vec![123_471.03, 123_456.789_112_345, 40.5, 0.07];
    let frame = MetricsFrame { values, ..MetricsFrame::default() };
    let raw = encoded(&frame, &keyframe);
    // 8 id, 1 time, 1 absent, 2 changed, 4 rescaled, 1 floats, 2 + 3 + 1 + 1 differences, 1 exemplars.
    assert_eq!(raw.len(), 25);
    assert_eq!(MetricsFrame::decode(&raw, &keyframe).map(|f| f.values), Ok(frame.values));
}

/// Scenario: memory in KiB, disk bytes in sectors, and a size that leaves its multiples.
/// Guarantees: multiples cost less than bytes would; what is none comes back all the same.
#[test]
fn sizes_are_small() {
    let names = ["memory", "disk", "odd"];
    let family = |name: &str| Family { name: name.into(), ..Family::default() };
    let series = |i: u32| Series { labels: Labels::from_pairs([("i", i.to_string())]), family: i };
    let keyframe = Keyframe {
        families: names.map(family).to_vec(),
        series: (0..3).map(series).collect(),
        values: vec![8_263_016_448.0, 512.0 * 12_345.0, 1_048_576.0],
        ..Keyframe::default()
    };
    let values = vec![8_263_016_448.0 + 63.0 * 1024.0, 512.0 * 12_346.0, 1_048_577.0];
    let frame = MetricsFrame { values, ..MetricsFrame::default() };
    let raw = encoded(&frame, &keyframe);
    // 8 id, 1 time, 1 absent, 2 changed, 3 rescaled, 1 floats, 1 + 1 + 1 differences, 1 exemplars.
    assert_eq!(raw.len(), 20);
    assert_eq!(MetricsFrame::decode(&raw, &keyframe).map(|f| f.values), Ok(frame.values));
}

/// Scenario: 64 labels' names and a name repeated in all series, as a node's thousand series have.
/// Guarantees: what is the same in every row is stored once.
#[test]
fn strings_are_shared() {
    let name: Arc<str> = "cluster".into();
    let series = |i: u32| Series {
        labels: Labels::new(vec![(name.clone(), "default".into()), ("i".into(), i.to_string().into())]),
        family: 0,
    };
    let keyframe = Keyframe {
        families: vec![Family::default()],
        series: (0..1_000).map(series).collect(),
        values: vec![0.0; 1_000],
        ..Keyframe::default()
    };
    let decoded = Keyframe::decode(&keyframe.encode()).unwrap();
    let first = decoded.series[0].labels.pairs()[0].1.clone();
    assert!(decoded.series.iter().all(|s| Arc::ptr_eq(&s.labels.pairs()[0].1, &first)));
}
