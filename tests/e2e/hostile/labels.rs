//! Payloads whose labels are too many, too long, or just within every limit and still large, as no encoder of ours
//! makes them (proto/src/symbols.rs has the format).

use ao_proto::limits::{MAX_LABEL_VALUE_BYTES, MAX_LABELS};
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;

fn put(out: &mut Vec<u8>, n: usize) {
    prost::encode_length_delimiter(n, out).unwrap();
}

/// A table of these texts and one shape of the first `names` of them.
fn table(texts: &[String], names: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, texts.len());
    texts.iter().for_each(|text| put(&mut out, text.len()));
    texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
    put(&mut out, 1);
    put(&mut out, names);
    (0..names).for_each(|n| put(&mut out, n));
    out
}

/// One label more than a stream may have.
pub(super) fn too_many() -> Vec<u8> {
    let texts: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n:02}")).collect();
    table(&texts, texts.len())
}

/// A label's value that is longer than it may be.
pub(super) fn too_long() -> Vec<u8> {
    let mut out = table(&["l".into(), "v".repeat(MAX_LABEL_VALUE_BYTES + 1)], 1);
    // One stream, of the first shape; its value is the symbol behind that of the row before, in zigzag.
    out.extend_from_slice(&[1, 0, 2]);
    out
}

/// One line, and streams of 64 labels each: a million labels, which is the limit, are 1 MiB, and some bytes on the wire.
pub(super) fn streams(count: usize) -> Vec<u8> {
    let labels = Labels::from_pairs((0..MAX_LABELS).map(|n| (format!("l{n:02}"), "v")));
    let entries = vec![LogEntry { at_ns: 1, len: 4, ..LogEntry::default() }];
    let frame = LogFrame { streams: vec![labels], entries, text: "evil".into(), ..LogFrame::default() };
    let small = frame.encode();
    // One stream, of the first shape, whose values are all the symbol behind the names: 64 in zigzag.
    let row = [&[1, 0][..], &[0x80, 1].repeat(MAX_LABELS)].concat();
    let at = small.windows(row.len()).position(|part| part == row).expect("the row is as we think");
    let mut out = small[..at].to_vec();
    put(&mut out, count);
    out.extend_from_slice(&row[1..]);
    // The others differ in nothing.
    out.resize(out.len() + (count - 1) * (1 + MAX_LABELS), 0);
    out.extend_from_slice(&small[at + row.len()..]);
    out
}
