//! A recording as the agent's batcher sends it: a frame per round; a keyframe at the start, when series come, and
//! after 15 minutes; a staleness marker for a series that has gone, which is absent from then on.

use std::error::Error;
use std::sync::Arc;

use ao_agent::record::{Recording, Snapshot};
use ao_proto::frame::{FrameError, compress, open, seal};
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Family, Labels, STALE_NAN, Series};
use ao_proto::v1::{Class, FrameHeader};
use bytes::Bytes;

use super::{frame_bytes, keyframe_bytes};
use crate::api::best_ns;

const KEYFRAME_AGE_MS: i64 = 15 * 60 * 1000;
/// Any: they are random on a real node.
const EPOCH: u64 = 0x9e37_79b9_7f4a_7c15;
const AGENT: [u8; 16] = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834_u128.to_le_bytes();

/// What was sent.
#[derive(Default)]
pub(super) struct Outcome {
    /// Bytes of all messages.
    pub(super) bytes: usize,
    /// Samples, staleness markers included.
    pub(super) samples: usize,
    /// Keyframes among the messages.
    pub(super) keyframes: usize,
    /// Of the last keyframe.
    pub(super) keyframe_bytes: usize,
    pub(super) keyframe_series: usize,
    /// Most samples in a round.
    pub(super) largest: usize,
    /// Samples whose series was in the round before, and those of them that differ.
    pub(super) comparable: usize,
    pub(super) changing: usize,
    /// A frame late in its keyframe's life, when most has changed: for the clock.
    pub(super) late: Option<(Keyframe, MetricsFrame)>,
    /// What the peer sends too.
    pub(super) rounds: Vec<Round>,
}

/// The samples of one frame.
pub(super) struct Round {
    pub(super) at_ms: i64,
    pub(super) samples: Vec<(Labels, f64)>,
}

pub(super) fn run(recording: &Recording) -> Result<Outcome, Box<dyn Error>> {
    let mut outcome = Outcome::default();
    let labels: Vec<Labels> = (0..recording.series.len()).map(|i| labels(recording, i)).collect();
    let mut keyframe = Keyframe::default();
    // The recording's number of each of the keyframe's series.
    let mut numbers: Vec<usize> = Vec::new();
    let mut ended: Vec<bool> = vec![false; labels.len()];
    let none = Snapshot::default();
    for (i, snapshot) in recording.snapshots.iter().enumerate() {
        let before = if i > 0 { &recording.snapshots[i - 1] } else { &none };
        count_changes(before, snapshot, &mut outcome);
        let value = |series: usize| snapshot.values.get(series).copied().flatten();
        let comes = (0..labels.len()).any(|series| value(series).is_some() && !numbers.contains(&series));
        if comes || snapshot.at_ms - keyframe.at_ms >= KEYFRAME_AGE_MS {
            let gone = |series: usize| ended[series] || !numbers.contains(&series);
            numbers = (0..labels.len()).filter(|&series| value(series).is_some() || !gone(series)).collect();
            keyframe = new_keyframe(recording, snapshot, &numbers, &labels, i as u64 + 1);
            let sealed = seal_keyframe(&keyframe);
            outcome.keyframes += 1;
            outcome.keyframe_bytes = sealed.len();
            outcome.keyframe_series = numbers.len();
            outcome.bytes += keyframe_bytes(&sealed);
        }
        let mut frame = MetricsFrame { at_ms: snapshot.at_ms, ..MetricsFrame::default() };
        let mut round = Round { at_ms: snapshot.at_ms, samples: Vec::new() };
        for (place, &series) in numbers.iter().enumerate() {
            let sample = value(series).or_else(|| (!ended[series]).then_some(f64::from_bits(STALE_NAN)));
            ended[series] = value(series).is_none();
            match sample {
                Some(value) => round.samples.push((labels[series].clone(), value)),
                None => frame.absent.push(place as u32),
            }
            frame.values.push(sample.unwrap_or_default());
        }
        let sealed = seal_frame(&frame, &keyframe, i as u64 + 1);
        check(&frame, &open_frame(&sealed, &keyframe)?)?;
        outcome.bytes += frame_bytes(&sealed);
        outcome.samples += round.samples.len();
        outcome.largest = outcome.largest.max(round.samples.len());
        outcome.rounds.push(round);
        if i == recording.snapshots.len() * 9 / 10 {
            outcome.late = Some((keyframe.clone(), frame));
        }
    }
    Ok(outcome)
}

/// Nanoseconds per sample to encode and to decode.
pub(super) fn time(outcome: &Outcome) -> Result<(f64, f64), Box<dyn Error>> {
    let (keyframe, frame) = outcome.late.as_ref().ok_or("the recording is empty")?;
    let sealed = seal_frame(frame, keyframe, 300);
    let samples = (frame.values.len() - frame.absent.len()).max(1) as f64;
    let encode = best_ns(|| repeat(|| seal_frame(frame, keyframe, 300))) / REPEATS / samples;
    let decode = best_ns(|| repeat(|| open_frame(&sealed, keyframe))) / REPEATS / samples;
    Ok((encode, decode))
}

/// One frame takes microseconds: too short for the clock.
pub(super) const REPEATS: f64 = 100.0;

pub(super) fn repeat<T>(mut work: impl FnMut() -> T) {
    for _ in 0..REPEATS as usize {
        std::hint::black_box(work());
    }
}

fn count_changes(before: &Snapshot, now: &Snapshot, outcome: &mut Outcome) {
    for (before, now) in before.values.iter().zip(&now.values) {
        if let (Some(before), Some(now)) = (before, now) {
            outcome.comparable += 1;
            outcome.changing += usize::from(before.to_bits() != now.to_bits());
        }
    }
}

/// All labels as the agent sends them: the name, the series' own, and those that every host series carries.
fn labels(recording: &Recording, series: usize) -> Labels {
    let series = &recording.series[series];
    let name = format!("{}{}", recording.families[series.family].1, series.suffix);
    let base =
        [("job", "node-exporter"), ("instance", "worker-17"), ("node", "worker-17"), ("cluster", "default")];
    Labels::from_pairs(base.into_iter().chain([("__name__", &*name)]).chain(series.labels.iter()))
}

fn new_keyframe(
    recording: &Recording,
    snapshot: &Snapshot,
    numbers: &[usize],
    labels: &[Labels],
    id: u64,
) -> Keyframe {
    let mut places = vec![None; recording.families.len()];
    let mut families = Vec::new();
    let mut series = Vec::new();
    for &number in numbers {
        let family = recording.series[number].family;
        let place = *places[family].get_or_insert_with(|| {
            let (kind, name, help) = &recording.families[family];
            let text = |text: &str| -> Arc<str> { text.into() };
            families.push(Family { name: text(name), kind: *kind, help: text(help), unit: text("") });
            families.len() as u32 - 1
        });
        series.push(Series { labels: labels[number].clone(), family: place });
    }
    let value = |&number: &usize| snapshot.values.get(number).copied().flatten().unwrap_or_default();
    // As random as a real one, or it would compress.
    let id = id.wrapping_mul(EPOCH);
    Keyframe { id, at_ms: snapshot.at_ms, families, series, values: numbers.iter().map(value).collect() }
}

fn header(keyframe: &Keyframe, samples: usize, at_ms: i64, raw: &[u8]) -> FrameHeader {
    FrameHeader {
        agent: AGENT.to_vec(),
        class: Class::Metrics.into(),
        keyframe: keyframe.id,
        source: "collector".to_owned(),
        records: samples as u64,
        first_ms: at_ms,
        raw_bytes: raw.len() as u64,
        ..FrameHeader::default()
    }
}

fn seal_keyframe(keyframe: &Keyframe) -> Bytes {
    let raw = keyframe.encode();
    seal(&header(keyframe, keyframe.series.len(), keyframe.at_ms, &raw), &compress(&raw))
}

fn seal_frame(frame: &MetricsFrame, keyframe: &Keyframe, sequence: u64) -> Bytes {
    /// The ledger's size of a sample: a time and a value.
    const SAMPLE_BYTES: u64 = 16;
    let mut raw = Vec::new();
    frame.encode(keyframe, &mut raw);
    let header = header(keyframe, frame.values.len() - frame.absent.len(), frame.at_ms, &raw);
    let header = FrameHeader { epoch: EPOCH, sequence, bytes: header.records * SAMPLE_BYTES, ..header };
    seal(&header, &compress(&raw))
}

fn open_frame(sealed: &Bytes, keyframe: &Keyframe) -> Result<MetricsFrame, FrameError> {
    MetricsFrame::decode(&open(sealed)?.decompress()?, keyframe)
}

/// A figure of a codec that loses something is worth nothing.
fn check(sent: &MetricsFrame, received: &MetricsFrame) -> Result<(), String> {
    let bits = |frame: &MetricsFrame| frame.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let same =
        (sent.at_ms, &sent.absent) == (received.at_ms, &received.absent) && bits(sent) == bits(received);
    if same { Ok(()) } else { Err(format!("the frame of {} did not come back as it was", sent.at_ms)) }
}
