//! The layout of a keyframe.
//!
//! ```text
//! id u64 | time, ms | series: count | symbols and shapes (symbols.rs)
//! families: count | per family: name, help, unit by symbol, type u8, scale u8
//! per series: family, minus that of the series before | labels (a row of symbols.rs)
//! series whose value is no integer at its family's scale (a subset) | their bits u64 each
//! the other values as integers
//! ```
//!
//! Numbers are variable-length, signed ones zigzag, fixed ones little end first; subsets as in columns.rs.

use super::api::Keyframe;
use super::decimal::{self, MAX_SCALE, decimal, mantissa};
use super::scale::scales;
use crate::columns::{Reader, put, put_signed, put_subset};
use crate::frame::FrameError;
use crate::limits::{MAX_FAMILIES, MAX_ROW_LABELS, MAX_SERIES};
use crate::model::{Family, MetricType, Series};
use crate::symbols::{Keep, Table, Writer};

pub(super) fn encode(keyframe: &Keyframe) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + keyframe.series.len() * 24);
    out.extend_from_slice(&keyframe.id.to_le_bytes());
    put_signed(&mut out, keyframe.at_ms);
    put(&mut out, keyframe.series.len() as u64);

    let scales = scales(keyframe);
    let mut symbols = Writer::default();
    let mut body = Vec::with_capacity(keyframe.series.len() * 16);
    put(&mut body, keyframe.families.len() as u64);
    for (family, &scale) in keyframe.families.iter().zip(&scales) {
        for text in [&family.name, &family.help, &family.unit] {
            put(&mut body, u64::from(symbols.symbol(text)));
        }
        body.extend_from_slice(&[family.kind as u8, scale]);
    }
    let mut before = 0;
    for series in &keyframe.series {
        put_signed(&mut body, i64::from(series.family) - before);
        before = i64::from(series.family);
        symbols.row(&series.labels, &mut body);
    }
    symbols.finish(&mut out);
    out.append(&mut body);

    let mut floats = Vec::new();
    for (i, series) in keyframe.series.iter().enumerate() {
        let value = keyframe.values.get(i).copied().unwrap_or_default();
        let scale = scales.get(series.family as usize).copied().unwrap_or_default();
        match mantissa(value, scale) {
            Some(m) => put_signed(&mut body, m),
            None => floats.push((i as u32, value)),
        }
    }
    put_subset(&mut out, &floats.iter().map(|(i, _)| *i).collect::<Vec<_>>(), keyframe.series.len());
    for (_, value) in floats {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    out.append(&mut body);
    out
}

pub(super) fn count_series(raw: &[u8]) -> Result<usize, FrameError> {
    Ok(head(&mut Reader::new("keyframe", raw))?.2)
}

/// Id, time and number of series.
fn head(reader: &mut Reader<'_>) -> Result<(u64, i64, usize), FrameError> {
    // A family, a shape and a value: three bytes at least.
    Ok((reader.fixed()?, reader.signed()?, reader.count("the number of series", MAX_SERIES, 3)?))
}

/// With [`Keep::Nothing`], series have no labels.
pub(super) fn decode(raw: &[u8], keep: Keep) -> Result<Keyframe, FrameError> {
    let mut reader = Reader::new("keyframe", raw);
    let reader = &mut reader;
    let (id, at_ms, n) = head(reader)?;
    let mut table = Table::read(reader, keep, MAX_ROW_LABELS)?;

    let n_families = reader.count("the number of families", MAX_FAMILIES, 5)?;
    let mut families = Vec::with_capacity(n_families);
    let mut scales = Vec::with_capacity(n_families);
    for _ in 0..n_families {
        let (name, help, unit) = (table.symbol(reader)?, table.symbol(reader)?, table.symbol(reader)?);
        let Some(kind) = MetricType::from_number(reader.byte()?) else {
            return Err(reader.error("a metric type is not known"));
        };
        families.push(Family { name, kind, help, unit });
        let scale = reader.byte()?;
        if scale > MAX_SCALE {
            return Err(reader.error("a family's scale is too large"));
        }
        scales.push(scale);
    }

    let mut series = Vec::with_capacity(n);
    let mut before = 0_i64;
    for _ in 0..n {
        before = before.wrapping_add(reader.signed()?);
        if !usize::try_from(before).is_ok_and(|family| family < n_families) {
            return Err(reader.error("a series' family is not in the table"));
        }
        series.push(Series { labels: table.row(reader)?, family: before as u32 });
    }

    let mut values = vec![0.0; n];
    let floats = reader.subset(n)?;
    for &i in &floats {
        values[i as usize] = f64::from_bits(reader.fixed()?);
    }
    let mut floats = floats.into_iter().peekable();
    for (i, value) in values.iter_mut().enumerate() {
        if floats.next_if_eq(&(i as u32)).is_some() {
            continue;
        }
        let m = reader.signed()?;
        if !decimal::in_range(m) {
            return Err(reader.error("a value is out of range"));
        }
        *value = decimal(m, scales[series[i].family as usize]);
    }
    reader.done()?;
    Ok(Keyframe { id, at_ms, families, series, values })
}
