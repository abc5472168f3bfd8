//! A record of the journal as telemetry. Decoded keyframes are kept, since hundreds of frames name the same one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ao_common::journal::{Key, Record};
use ao_proto::frame::{self, FrameError, Opened};
use ao_proto::logs::LogFrame;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::v1::{Class, FrameHeader};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use thiserror::Error;

use crate::journal::keyframe_key;
use crate::sink::api::{Decoded, Telemetry};

/// Memory of one decoded series beside its strings: ten labels of two shared strings each, the value, the numbers.
const SERIES_BYTES: usize = 400;

/// Why a record is no telemetry.
#[derive(Debug, Error)]
pub(super) enum DecodeError {
    /// The envelope or the payload is damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The keyframe that it names is not in its segment.
    #[error("its keyframe {0:016x} is missing")]
    NoKeyframe(u64),
    /// The spans are no OTLP message.
    #[error("its spans are no OTLP message: {0}")]
    Spans(prost::DecodeError),
    /// A class that this build does not know.
    #[error("its class {0} is not known")]
    Class(i32),
}

/// What could not be decoded, with the header as far as it could be read.
pub(super) type Undecodable = Box<(FrameHeader, DecodeError)>;

/// Decodes a record; `keyframe` reads one from the record's segment.
///
/// # Errors
/// Whatever was not made by an agent of ours, or was damaged.
pub(super) fn decode(
    record: &Record,
    keyframes: &Keyframes,
    keyframe: impl FnOnce(Key) -> Option<Bytes>,
) -> Result<Decoded, Undecodable> {
    let opened =
        frame::open(&record.frame).map_err(|error| Box::new((FrameHeader::default(), error.into())))?;
    match telemetry(&opened, keyframes, keyframe) {
        Ok(telemetry) => Ok(Decoded { header: opened.header, end: record.end, telemetry }),
        Err(error) => Err(Box::new((opened.header, error))),
    }
}

fn telemetry(
    opened: &Opened,
    keyframes: &Keyframes,
    keyframe: impl FnOnce(Key) -> Option<Bytes>,
) -> Result<Telemetry, DecodeError> {
    let header = &opened.header;
    match Class::try_from(header.class) {
        Ok(Class::Metrics) => {
            let key = keyframe_key(header).ok_or(DecodeError::NoKeyframe(0))?;
            let keyframe = keyframes.get(key, || {
                let sealed = keyframe(key).ok_or(DecodeError::NoKeyframe(header.keyframe))?;
                Ok(Keyframe::decode(&frame::open(&sealed)?.decompress()?)?)
            })?;
            let metrics = MetricsFrame::decode(&opened.decompress()?, &keyframe)?;
            Ok(Telemetry::Metrics(keyframe, metrics))
        }
        Ok(Class::Logs | Class::LogsLow) => Ok(Telemetry::Logs(LogFrame::decode(&opened.decompress()?)?)),
        Ok(Class::Spans) => {
            let message = ExportTraceServiceRequest::decode(&*opened.decompress()?);
            message.map(Telemetry::Spans).map_err(DecodeError::Spans)
        }
        _ => Err(DecodeError::Class(header.class)),
    }
}

/// The keyframes decoded last, within a budget; shared by all workers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keyframes {
    budget: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<Key, (u64, Arc<Keyframe>)>,
    /// Keys by the time of their last use, which is a count of uses.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

impl Keyframes {
    /// Keeps about as many bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, kept: Arc::default() }
    }

    /// The keyframe of this name, decoded by `load` if it is not there.
    fn get(
        &self,
        key: Key,
        load: impl FnOnce() -> Result<Keyframe, DecodeError>,
    ) -> Result<Arc<Keyframe>, DecodeError> {
        if let Some(found) = self.lock().touch(key) {
            return Ok(found);
        }
        // Not under the lock: two workers that decode the same one at once do no harm.
        let loaded = Arc::new(load()?);
        let mut kept = self.lock();
        match kept.touch(key) {
            Some(found) => Ok(found),
            None => {
                kept.insert(key, loaded.clone(), self.budget);
                Ok(loaded)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn touch(&mut self, key: Key) -> Option<Arc<Keyframe>> {
        let (used, keyframe) = self.by_key.get_mut(&key)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(keyframe.clone())
    }

    fn insert(&mut self, key: Key, keyframe: Arc<Keyframe>, budget: usize) {
        self.uses += 1;
        self.bytes += weight(&keyframe);
        self.by_use.insert(self.uses, key);
        self.by_key.insert(key, (self.uses, keyframe));
        // The newest stays even if it alone is over the budget.
        while self.bytes > budget && self.by_key.len() > 1 {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((_, gone)) = self.by_key.remove(&oldest) {
                self.bytes -= weight(&gone);
            }
        }
    }
}

fn weight(keyframe: &Keyframe) -> usize {
    keyframe.series.len() * SERIES_BYTES + keyframe.families.len() * 128
}

#[cfg(test)]
mod tests {
    use ao_common::journal::Position;

    use super::*;

    fn record(header: FrameHeader, raw: &[u8]) -> Record {
        let header = FrameHeader { agent: vec![7; 16], raw_bytes: raw.len() as u64, ..header };
        let end = Position { segment: 1, offset: 9 };
        Record {
            position: Position::default(),
            end,
            key: keyframe_key(&header),
            frame: frame::seal(&header, &frame::compress(raw)),
        }
    }

    fn metrics_record(keyframe: &Keyframe) -> (Record, Bytes) {
        let values = vec![2.0; keyframe.series.len()];
        let mut raw = Vec::new();
        MetricsFrame { at_ms: 5, values, ..<_>::default() }.encode(keyframe, &mut raw);
        let header =
            FrameHeader { class: Class::Metrics.into(), keyframe: keyframe.id, records: 1, ..<_>::default() };
        let encoded = keyframe.encode();
        let sealed_header =
            FrameHeader { agent: vec![7; 16], raw_bytes: encoded.len() as u64, ..header.clone() };
        (record(header, &raw), frame::seal(&sealed_header, &frame::compress(&encoded)))
    }

    fn keyframe(id: u64) -> Keyframe {
        let labels = ao_proto::model::Labels::from_pairs([("__name__", "up")]);
        let families = vec![ao_proto::model::Family { name: "up".into(), ..<_>::default() }];
        let series = vec![ao_proto::model::Series { labels, family: 0 }];
        Keyframe { id, at_ms: 1, families, series, values: vec![1.0] }
    }

    /// Scenario: two frames of one keyframe, then one whose keyframe is missing.
    /// Guarantees: the keyframe is read and decoded once; what lacks its own is an error with its header.
    #[test]
    fn keyframes_are_decoded_once() {
        let keyframes = Keyframes::new(1 << 20);
        let (record, sealed) = metrics_record(&keyframe(3));
        let first = decode(&record, &keyframes, |_| Some(sealed)).expect("decodes");
        let second = decode(&record, &keyframes, |_| panic!("read again")).expect("decodes");
        let (Telemetry::Metrics(a, frame), Telemetry::Metrics(b, _)) = (first.telemetry, second.telemetry)
        else {
            panic!("metrics")
        };
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!((frame.at_ms, frame.values), (5, vec![2.0]));
        let (other, _) = metrics_record(&keyframe(4));
        let (header, error) = *decode(&other, &keyframes, |_| None).expect_err("no keyframe");
        assert_eq!(
            (header.records, error.to_string().as_str()),
            (1, "its keyframe 0000000000000004 is missing")
        );
    }

    /// Scenario: more keyframes than the budget holds, one of them used all the time.
    /// Guarantees: memory stays bounded; the one in use stays.
    #[test]
    fn keyframes_within_a_budget() {
        let keyframes = Keyframes::new(4 * weight(&keyframe(0)));
        for id in 0..100_u64 {
            keyframes.get(u128::from(id), || Ok(keyframe(id))).expect("loads");
            keyframes.get(0, || panic!("it was forgotten")).expect("kept");
        }
        let kept = keyframes.lock();
        assert_eq!((kept.by_key.len(), kept.by_use.len(), kept.bytes), (4, 4, keyframes.budget));
    }

    /// Scenario: a damaged envelope, a payload that is no telemetry, a class from the future.
    /// Guarantees: errors that say what is wrong; the header is kept where it could be read.
    #[test]
    fn what_cannot_be_decoded() {
        let keyframes = Keyframes::new(1 << 20);
        let check = |record: &Record, records: u64, words: &str| {
            let (header, error) = *decode(record, &keyframes, |_| None).expect_err("damaged");
            assert_eq!(header.records, records);
            assert!(error.to_string().contains(words), "{error}");
        };
        let header = |class: i32| FrameHeader { class, records: 3, ..<_>::default() };
        let mut damaged = record(header(1), b"x");
        damaged.frame = damaged.frame.slice(..damaged.frame.len() - 1);
        check(&damaged, 0, "checksum");
        check(&record(header(2), b"\xff\xff\xff"), 3, "no OTLP message");
        check(&record(header(3), b"\xff\xff\xff"), 3, "log");
        check(&record(header(9), b""), 3, "class 9");
    }
}
