//! A batch as a WriteRequest, written by hand straight from the frames' labels: no copy of a label for each sample, and
//! -0.0 keeps its sign, which prost's rule for default values would take from it. Field numbers: remote.proto.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ao_proto::model::{Exemplar, Labels};
use prost::encoding::encode_varint;

use crate::sink::api::{Batch, Telemetry};

/// A sample and the series it belongs to, by its place in the request.
struct Point {
    slot: u32,
    at_ms: i64,
    value: f64,
}

/// The request for the batch's samples: each series once, in the order in which they first come; the samples of a
/// series in order of time, as the specification demands.
pub(super) fn write_request(batch: &Batch) -> Vec<u8> {
    let mut series: Vec<&Labels> = Vec::new();
    let mut slots: HashMap<&Labels, u32> = HashMap::new();
    // The frames of a batch share few keyframes; only the first frame of each looks its labels up.
    let mut known: HashMap<*const ao_proto::metrics::Keyframe, Vec<u32>> = HashMap::new();
    let mut points = Vec::with_capacity(batch.records());
    let mut exemplars: Vec<(u32, &Exemplar)> = Vec::new();
    for part in &batch.parts {
        let Telemetry::Metrics(keyframe, frame) = &part.frame.telemetry else { continue };
        let of_series =
            known.entry(Arc::as_ptr(keyframe)).or_insert_with(|| vec![u32::MAX; keyframe.series.len()]);
        for record in &part.records {
            let number = *record as usize;
            let slot = &mut of_series[number];
            if *slot == u32::MAX {
                *slot = match slots.entry(&keyframe.series[number].labels) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        series.push(entry.key());
                        *entry.insert(series.len() as u32 - 1)
                    }
                };
            }
            points.push(Point { slot: *slot, at_ms: frame.at_ms, value: frame.values[number] });
        }
        let taken = frame.exemplars.iter().filter(|e| part.records.binary_search(&e.series).is_ok());
        exemplars.extend(taken.map(|exemplar| (of_series[exemplar.series as usize], exemplar)));
    }
    // Stable: of two samples at one time the first one read stays first.
    points.sort_by_key(|point| (point.slot, point.at_ms));
    exemplars.sort_by_key(|(slot, exemplar)| (*slot, exemplar.at_ms));
    write(&series, &points, &exemplars)
}

/// A request of one sample.
pub(super) fn one_sample(labels: &Labels, at_ms: i64, value: f64) -> Vec<u8> {
    write(&[labels], &[Point { slot: 0, at_ms, value }], &[])
}

fn write(series: &[&Labels], points: &[Point], exemplars: &[(u32, &Exemplar)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 16 + series.len() * 256);
    let (mut scratch, mut inner) = (Vec::new(), Vec::new());
    let (mut points, mut exemplars) = (points.iter().peekable(), exemplars.iter().peekable());
    for (slot, labels) in series.iter().enumerate() {
        scratch.clear();
        put_labels(&mut scratch, labels);
        while let Some(point) = points.next_if(|point| point.slot as usize == slot) {
            inner.clear();
            put_sample(&mut inner, point.value, 1, point.at_ms, 2);
            put_bytes(&mut scratch, 2, &inner);
        }
        while let Some((_, exemplar)) = exemplars.next_if(|(of, _)| *of as usize == slot) {
            inner.clear();
            put_labels(&mut inner, &exemplar.labels);
            put_sample(&mut inner, exemplar.value, 2, exemplar.at_ms, 3);
            put_bytes(&mut scratch, 3, &inner);
        }
        put_bytes(&mut out, 1, &scratch);
    }
    out
}

/// Field 1, once per label.
fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels.iter() {
        out.push(1 << 3 | 2);
        encode_varint((field_len(name) + field_len(value)) as u64, out);
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    }
}

/// Bytes of a text as a field with a tag of one byte.
fn field_len(text: &str) -> usize {
    1 + prost::encoding::encoded_len_varint(text.len() as u64) + text.len()
}

/// A length-delimited field.
fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag << 3 | 2);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A double and an int64, whatever their values.
fn put_sample(out: &mut Vec<u8>, value: f64, value_tag: u8, at_ms: i64, at_tag: u8) {
    out.push(value_tag << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    out.push(at_tag << 3);
    encode_varint(at_ms as u64, out);
}
