//! What a backend refused record by record: one file per worker, a JSON object a line, for people to read and
//! to send again by hand. Bounded: a full file becomes the previous one, whose forerunner goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ao_proto::logs::LogFrame;
use ao_proto::model::Labels;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value, json};
use thiserror::Error;

use super::deliver::Refused;
use super::report::hex;
use crate::sink::api::Telemetry;

/// The file cannot be written.
#[derive(Debug, Error)]
#[error("cannot {operation} the dead-letter file {path}: {source}", path = path.display())]
pub(super) struct DeadLetterError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The two files `NAME.jsonl` and `NAME.old.jsonl`.
pub(super) struct DeadLetters {
    path: PathBuf,
    old: PathBuf,
    max_bytes: u64,
}

impl DeadLetters {
    /// Files in `dir`, which must be there; together at most `max_bytes`, but for one record.
    pub(super) fn new(dir: &Path, name: &str, max_bytes: u64) -> Self {
        let file = |suffix: &str| dir.join(format!("{name}{suffix}"));
        Self { path: file(".jsonl"), old: file(".old.jsonl"), max_bytes }
    }

    /// Appends the records, fsynced. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn write(&self, sink: &str, at_ms: i64, refused: &[Refused]) -> Result<(), DeadLetterError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| DeadLetterError { operation, path, source }
        };
        let mut file = self.open().map_err(failed("open", &self.path))?;
        let mut size = file.metadata().map_err(failed("read", &self.path))?.len();
        for one in refused {
            let mut line = line(sink, at_ms, one).to_string();
            line.push('\n');
            if size > 0 && size + line.len() as u64 > self.max_bytes / 2 {
                file.sync_data().map_err(failed("fsync", &self.path))?;
                fs::rename(&self.path, &self.old).map_err(failed("rename", &self.path))?;
                file = self.open().map_err(failed("open", &self.path))?;
                size = 0;
            }
            file.write_all(line.as_bytes()).map_err(failed("write", &self.path))?;
            size += line.len() as u64;
        }
        file.sync_data().map_err(failed("fsync", &self.path))
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.path)
    }
}

fn line(sink: &str, at_ms: i64, refused: &Refused) -> Value {
    let header = &refused.frame.header;
    json!({
        "at_ms": at_ms,
        "sink": sink,
        "reason": refused.reason.name(),
        "why": &*refused.why,
        "agent": hex(&header.agent),
        "source": header.source,
        "epoch": format!("{:016x}", header.epoch),
        "lane": header.lane,
        "sequence": header.sequence,
        "record": record(&refused.frame.telemetry, refused.record),
    })
}

/// The record itself; null where the frame has no such record.
fn record(telemetry: &Telemetry, number: u32) -> Value {
    let place = number as usize;
    let found = match telemetry {
        Telemetry::Metrics(keyframe, frame) => {
            keyframe.series.get(place).zip(frame.values.get(place)).map(|(series, value)| {
                // As text: JSON has no NaN and no infinity.
                json!({"labels": labels(&series.labels), "value": value.to_string(), "at_ms": frame.at_ms})
            })
        }
        Telemetry::Logs(frame) => log_line(frame, place),
        Telemetry::Spans(message) => span(message, place),
    };
    found.unwrap_or(Value::Null)
}

fn labels(labels: &Labels) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn log_line(frame: &LogFrame, place: usize) -> Option<Value> {
    let (entry, text, metadata) = frame.iter().nth(place)?;
    let shared = frame.shared_by(entry).into_iter().flat_map(Labels::iter);
    let own = metadata.iter().map(|(name, value)| (&**name, &**value));
    let metadata: serde_json::Map<_, _> =
        shared.chain(own).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let stream = frame.streams.get(entry.stream as usize).map(labels);
    Some(json!({"labels": stream, "at_ns": entry.at_ns, "line": text, "metadata": metadata}))
}

fn span(message: &ExportTraceServiceRequest, place: usize) -> Option<Value> {
    let spans = message.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
    let span = spans.into_iter().nth(place)?;
    Some(json!({
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "name": span.name,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ao_proto::logs::LogEntry;

    use super::*;
    use crate::sink::api::{Decoded, DropReason};

    fn refused(text: &str) -> Refused {
        let frame = LogFrame {
            streams: vec![Labels::from_pairs([("app", "a")])],
            shared: vec![],
            entries: vec![LogEntry { len: text.len() as u32, at_ns: 7, ..<_>::default() }],
            text: text.to_owned(),
            metadata: vec![],
        };
        let telemetry = Telemetry::Logs(frame);
        let frame = Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry });
        Refused { frame, record: 0, reason: DropReason::Refused, why: "line \"too\" long".into() }
    }

    /// Scenario: a refused line is written.
    /// Guarantees: one JSON object that says what, whose, when and why.
    #[test]
    fn a_line_tells_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let letters = DeadLetters::new(dir.path(), "loki-logs", 1 << 20);
        letters.write("loki", 5, &[refused("x\ny")]).expect("written");
        let text = fs::read_to_string(dir.path().join("loki-logs.jsonl")).expect("a file");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["why"], "line \"too\" long");
        assert_eq!(value["reason"], "refused");
        let record = json!({"labels": {"app": "a"}, "at_ns": 7, "line": "x\ny", "metadata": {}});
        assert_eq!(value["record"], record);
    }

    /// Scenario: far more is refused than the files may hold, over several starts.
    /// Guarantees: the size stays bounded, the newest records stay, each on a line of its own.
    #[test]
    fn bounded_by_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        for n in 0..100 {
            let letters = DeadLetters::new(dir.path(), "loki-logs", 4_000);
            letters.write("loki", n, &[refused("a"), refused("b")]).expect("written");
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("a file");
        let (old, new) = (read("loki-logs.old.jsonl"), read("loki-logs.jsonl"));
        assert!(old.len() + new.len() <= 4_000, "{} + {}", old.len(), new.len());
        let times: Vec<i64> = old
            .lines()
            .chain(new.lines())
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("JSON")["at_ms"].as_i64().expect("a number")
            })
            .collect();
        assert!(times.is_sorted() && times.last() == Some(&99));
    }
}
