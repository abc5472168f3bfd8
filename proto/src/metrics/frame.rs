//! The layout of a frame.
//!
//! ```text
//! keyframe id u64 | time, ms, minus the keyframe's
//! absent series (a subset)
//! series that changed since the keyframe (a subset)
//! of these, those at another scale than their family's (a subset) | scale u8 each
//! and those that are no integers at any scale (a subset)
//! differences of the others, as integers (bits.rs)
//! float bits XOR the keyframe's, in eight planes: all top bytes, then all second bytes, ...
//! exemplars: count | per exemplar: series, value bits u64, time minus the frame's, labels: count, (length, text) each
//! ```
//!
//! Numbers are variable-length, signed ones zigzag, fixed ones little end first; subsets as in columns.rs. Planes put
//! the bytes that are alike (sign and exponent) side by side for zstd.

use super::api::{Keyframe, MetricsFrame, Reference};
use super::bits::{BitReader, BitWriter};
use super::decimal::{MAX_SCALE, decimal, decimal_scale, in_range, mantissa};
use super::scale::scales;
use crate::columns::{Reader, put, put_signed, put_subset};
use crate::frame::FrameError;
use crate::limits::{MAX_EXEMPLARS, MAX_LABEL_NAME_BYTES, MAX_LABEL_VALUE_BYTES, MAX_LABELS};
use crate::model::{Exemplar, Labels};

pub(super) fn encode(frame: &MetricsFrame, keyframe: &Reference, out: &mut Vec<u8>) {
    let n = keyframe.values.len();
    out.reserve(64 + n);
    out.extend_from_slice(&keyframe.id.to_le_bytes());
    put_signed(out, frame.at_ms.wrapping_sub(keyframe.at_ms));

    let absent = absent(frame, n);
    put_subset(out, &absent, n);
    let mut absent = absent.into_iter().peekable();

    let mut changed = Vec::with_capacity(n / 2);
    let mut rescaled = Vec::new();
    let mut own_scales = Vec::new();
    let mut floats = Vec::new();
    let mut xors = Vec::new();
    let mut differences = Vec::with_capacity(n * 2);
    let mut bits = BitWriter::new(&mut differences);
    let references = keyframe.values.iter().zip(&keyframe.scales);
    for (i, (&value, (&reference, &scale))) in frame.values.iter().zip(references).enumerate() {
        if absent.next_if_eq(&(i as u32)).is_some() || value.to_bits() == reference.to_bits() {
            continue;
        }
        let place = changed.len() as u32;
        changed.push(i as u32);
        if let Some(m) = mantissa(value, scale) {
            bits.put(m - base(reference, scale));
        } else if let Some((e, m)) = decimal_scale(value).and_then(|e| Some((e, mantissa(value, e)?))) {
            rescaled.push(place);
            own_scales.push(e);
            bits.put(m - base(reference, e));
        } else {
            floats.push(place);
            xors.push(value.to_bits() ^ reference.to_bits());
        }
    }
    bits.finish();
    put_subset(out, &changed, n);
    put_subset(out, &rescaled, changed.len());
    out.append(&mut own_scales);
    put_subset(out, &floats, changed.len());
    out.append(&mut differences);
    for plane in (0..8).rev() {
        out.extend(xors.iter().map(|xor| (xor >> (8 * plane)) as u8));
    }
    encode_exemplars(frame, out);
}

/// The integer of the reference value at this scale, from which differences count; 0 where it is none.
fn base(reference: f64, scale: u8) -> i64 {
    mantissa(reference, scale).unwrap_or(0)
}

/// The absent series in order, with those for which the frame has no value.
fn absent(frame: &MetricsFrame, n: usize) -> Vec<u32> {
    let mut absent: Vec<u32> = frame.absent.iter().copied().filter(|&i| (i as usize) < n).collect();
    if frame.values.len() < n {
        absent.extend(frame.values.len() as u32..n as u32);
    }
    if !absent.is_sorted_by(|a, b| a < b) {
        absent.sort_unstable();
        absent.dedup();
    }
    absent
}

fn encode_exemplars(frame: &MetricsFrame, out: &mut Vec<u8>) {
    put(out, frame.exemplars.len() as u64);
    for exemplar in &frame.exemplars {
        put(out, u64::from(exemplar.series));
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        put_signed(out, exemplar.at_ms.wrapping_sub(frame.at_ms));
        put(out, exemplar.labels.iter().len() as u64);
        for text in exemplar.labels.iter().flat_map(|(name, value)| [name, value]) {
            put(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// What stands before the differences.
struct Columns<'a> {
    /// Time, less the keyframe's.
    after_ms: i64,
    absent: Vec<u32>,
    changed: Vec<u32>,
    rescaled: Vec<u32>,
    own: &'a [u8],
    floats: Vec<u32>,
}

fn columns<'a>(reader: &mut Reader<'a>, given: u64, n: usize) -> Result<Columns<'a>, FrameError> {
    let needs = reader.fixed()?;
    if needs != given {
        return Err(FrameError::Keyframe { needs, given });
    }
    let after_ms = reader.signed()?;
    let absent = reader.subset(n)?;
    let changed = reader.subset(n)?;
    let rescaled = reader.subset(changed.len())?;
    let own = reader.bytes(rescaled.len())?;
    if own.iter().any(|&e| e > MAX_SCALE) {
        return Err(reader.error("a scale is too large"));
    }
    let floats = reader.subset(changed.len())?;
    Ok(Columns { after_ms, absent, changed, rescaled, own, floats })
}

pub(super) fn check(raw: &[u8], id: u64, n: usize) -> Result<(), FrameError> {
    let mut reader = Reader::new("metrics", raw);
    let reader = &mut reader;
    let Columns { changed, floats, .. } = columns(reader, id, n)?;
    let mut bits = BitReader::default();
    for _ in floats.len()..changed.len() {
        bits.take(reader)?;
    }
    reader.bytes(floats.len() * 8)?;
    decode_exemplars(reader, n, 0)?;
    reader.done()
}

pub(super) fn decode(raw: &[u8], keyframe: &Keyframe) -> Result<MetricsFrame, FrameError> {
    let mut reader = Reader::new("metrics", raw);
    let reader = &mut reader;
    let n = keyframe.series.len();
    let scales = scales(keyframe);
    let Columns { after_ms, absent, changed, rescaled, own, floats } = columns(reader, keyframe.id, n)?;
    let at_ms = keyframe.at_ms.wrapping_add(after_ms);

    let mut values = keyframe.values.clone();
    values.resize(n, 0.0);
    let mut own_scales = rescaled.iter().zip(own).peekable();
    let mut bits = BitReader::default();
    let mut skip = floats.iter().peekable();
    for (place, &i) in changed.iter().enumerate() {
        if skip.next_if(|&&float| float as usize == place).is_some() {
            continue;
        }
        let value = &mut values[i as usize];
        let scale = match own_scales.next_if(|(own, _)| **own as usize == place) {
            Some((_, &e)) => e,
            None => scales.get(keyframe.series[i as usize].family as usize).copied().unwrap_or_default(),
        };
        let m = base(*value, scale).wrapping_add(bits.take(reader)?);
        if !in_range(m) {
            return Err(reader.error("a value is out of range"));
        }
        *value = decimal(m, scale);
    }
    let planes = reader.bytes(floats.len() * 8)?;
    for (k, &place) in floats.iter().enumerate() {
        let xor = (0..8).fold(0, |bits, plane| bits << 8 | u64::from(planes[plane * floats.len() + k]));
        let value = &mut values[changed[place as usize] as usize];
        *value = f64::from_bits(value.to_bits() ^ xor);
    }
    for &i in &absent {
        values[i as usize] = 0.0;
    }
    let exemplars = decode_exemplars(reader, n, at_ms)?;
    reader.done()?;
    Ok(MetricsFrame { at_ms, values, absent, exemplars })
}

fn decode_exemplars(reader: &mut Reader<'_>, n: usize, at_ms: i64) -> Result<Vec<Exemplar>, FrameError> {
    // A series, eight bytes, a time and a count.
    let count = reader.count("the number of exemplars", MAX_EXEMPLARS, 11)?;
    let mut exemplars = Vec::with_capacity(count);
    for _ in 0..count {
        let series = reader.below(n, "an exemplar's series is not in the keyframe")? as u32;
        let value = f64::from_bits(reader.fixed()?);
        let at_ms = at_ms.wrapping_add(reader.signed()?);
        let labels = reader.count("the number of labels", MAX_LABELS, 2)?;
        let mut pairs = Vec::with_capacity(labels);
        for _ in 0..labels {
            let mut text = |most: usize| {
                let length = reader.below(most + 1, "an exemplar's label is too long")?;
                reader.text(length)
            };
            pairs.push((text(MAX_LABEL_NAME_BYTES)?.into(), text(MAX_LABEL_VALUE_BYTES)?.into()));
        }
        exemplars.push(Exemplar { series, labels: Labels::new(pairs), value, at_ms });
    }
    Ok(exemplars)
}
