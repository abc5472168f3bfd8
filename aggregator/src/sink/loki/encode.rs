//! A batch as a PushRequest: each stream once, its entries in order of time.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt::Write;

use ao_proto::logs::Pair;
use ao_proto::loki::{EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp};
use ao_proto::model::Labels;
use prost::Message;

use crate::sink::api::{Batch, Lane, RecordRef, Telemetry};

/// Every lane but the fresh one has streams of its own, with this label, so that fresh lines do not make theirs "too far
/// behind".
const LABEL: &str = "lane";

/// A stream of a request, borrowed from the batch.
pub(super) struct Stream<'a> {
    /// Its labels as Loki takes them.
    pub(super) selector: String,
    /// How many these are.
    pub(super) labels: usize,
    /// In order of time.
    pub(super) entries: Vec<Entry<'a>>,
}

/// A line of a request, borrowed from the batch.
pub(super) struct Entry<'a> {
    /// Its place in the batch.
    pub(super) record: RecordRef,
    /// Nanoseconds.
    pub(super) at_ns: i64,
    /// Without its line end.
    pub(super) line: &'a str,
    pub(super) metadata: &'a [Pair],
    /// What all lines of its stream have beside; its own go before.
    pub(super) shared: Option<&'a Labels>,
}

impl<'a> Entry<'a> {
    /// Its structured metadata, each name once.
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.metadata;
        let is_own = move |name: &str| own.iter().any(|(known, _)| **known == *name);
        let shared = self.shared.into_iter().flat_map(Labels::iter).filter(move |(name, _)| !is_own(name));
        own.iter().map(|(name, value)| (&**name, &**value)).chain(shared)
    }
}

/// The batch's chosen lines by stream, in the order in which the streams first come.
pub(super) fn streams(batch: &Batch) -> Vec<Stream<'_>> {
    let mut streams: Vec<Stream<'_>> = Vec::new();
    let mut by_selector: HashMap<String, usize> = HashMap::new();
    for (place, part) in batch.parts.iter().enumerate() {
        let Telemetry::Logs(frame) = &part.frame.telemetry else { continue };
        let mut slots: Vec<Option<usize>> = vec![None; frame.streams.len()];
        let mut chosen = part.records.iter().peekable();
        for (number, (entry, line, metadata)) in (0_u32..).zip(frame.iter()) {
            if chosen.next_if(|record| **record == number).is_none() {
                continue;
            }
            let stream = entry.stream as usize;
            let slot = match slots[stream] {
                Some(slot) => slot,
                None => {
                    let Some(selector) = selector(&frame.streams[stream], batch.lane) else {
                        continue;
                    };
                    let slot = match by_selector.entry(selector) {
                        Slot::Occupied(slot) => *slot.get(),
                        Slot::Vacant(slot) => {
                            let labels = &frame.streams[stream];
                            let added = batch.lane != Lane::Fresh && labels.get(LABEL).is_none();
                            streams.push(Stream {
                                selector: slot.key().clone(),
                                labels: labels.pairs().len() + usize::from(added),
                                entries: Vec::new(),
                            });
                            *slot.insert(streams.len() - 1)
                        }
                    };
                    slots[stream] = Some(slot);
                    slot
                }
            };
            let shared = frame.shared_by(entry);
            let entry = Entry { record: (place, number), at_ns: entry.at_ns, line, metadata, shared };
            streams[slot].entries.push(entry);
        }
    }
    for stream in &mut streams {
        // Stable: lines of one instant stay in the order in which they were read.
        stream.entries.sort_by_key(|entry| entry.at_ns);
    }
    streams
}

/// The request.
pub(super) fn push_request(streams: &[Stream<'_>]) -> Vec<u8> {
    let entry = |entry: &Entry<'_>| {
        let pair =
            |(name, value): (&str, &str)| LabelPairAdapter { name: name.to_owned(), value: value.to_owned() };
        EntryAdapter {
            timestamp: Some(timestamp(entry.at_ns)),
            line: entry.line.to_owned(),
            structured_metadata: entry.pairs().map(pair).collect(),
        }
    };
    let stream = |stream: &Stream<'_>| StreamAdapter {
        labels: stream.selector.clone(),
        entries: stream.entries.iter().map(entry).collect(),
    };
    PushRequest { streams: streams.iter().map(stream).collect() }.encode_to_vec()
}

/// A request of one line.
pub(super) fn one_line(selector: &str, at_ns: i64, line: &str) -> Vec<u8> {
    let entry = Entry { record: (0, 0), at_ns, line, metadata: &[], shared: None };
    push_request(&[Stream { selector: selector.to_owned(), labels: 1, entries: vec![entry] }])
}

fn timestamp(at_ns: i64) -> Timestamp {
    Timestamp { seconds: at_ns.div_euclid(1_000_000_000), nanos: at_ns.rem_euclid(1_000_000_000) as i32 }
}

/// Labels as Loki's parser takes them, with one of the lane but for the fresh one's; `None` where Loki would refuse them: there
/// is no label, or a name is not `[a-zA-Z_][a-zA-Z0-9_]*` (Loki pkg/logql/syntax, which is Prometheus' lexer).
pub(super) fn selector(labels: &Labels, lane: Lane) -> Option<String> {
    let pairs = labels.pairs();
    if pairs.is_empty() || !labels.iter().all(|(name, _)| is_name(name)) {
        return None;
    }
    let own = (lane != Lane::Fresh).then_some((LABEL, lane.name()));
    let before = labels.iter().filter(|(name, _)| own.is_none() || *name < LABEL);
    let behind = labels.iter().filter(|(name, _)| own.is_some() && *name > LABEL);
    let mut text = String::from("{");
    for (name, value) in before.chain(own).chain(behind) {
        let comma = if text.len() == 1 { "" } else { ", " };
        text.push_str(comma);
        text.push_str(name);
        text.push_str("=\"");
        quote(value, &mut text);
        text.push('"');
    }
    text.push('}');
    Some(text)
}

fn is_name(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b.is_ascii_digit())
}

/// What Go's strconv.Unquote reads back; Rust's own escapes (`\u{7f}`) it does not.
fn quote(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Writing to a String cannot fail.
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            c => out.push(c),
        }
    }
}
