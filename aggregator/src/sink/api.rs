//! What a sink is given, and what it answers. A sink turns a [`Batch`] into its backend's request and the backend's
//! answer into an [`Answer`]; waiting, retrying, bisecting, counting and the journal's cursor are the fan-out's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::Position;
use ao_proto::logs::LogFrame;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::v1::{Class, FrameHeader};
use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use thiserror::Error;

/// A store that telemetry goes to. Shared by one worker per class, so everything takes `&self`.
pub trait Sink: Send + Sync + 'static {
    /// File, YAML key, metric label and name of the journal's cursor: "prometheus".
    fn name(&self) -> &'static str;

    /// The classes that it takes.
    fn classes(&self) -> &'static [Class];

    /// Bounds of a request and of the records' times.
    fn policy(&self) -> Policy;

    /// Records of a frame that must not be sent, beyond what [`Policy`] says, each once, in ascending order.
    fn check(&self, _frame: &Decoded, _lane: Lane) -> Vec<(u32, DropReason)> {
        Vec::new()
    }

    /// Names the folder for what the sink must know after a restart; once, before anything is sent. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    fn keep_in(&self, _dir: &Path) -> Result<(), KeepError> {
        Ok(())
    }

    /// Stores what the requests that were accepted so far have changed of it; before their cursor moves. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses; it is called again then.
    fn keep(&self) -> Result<(), KeepError> {
        Ok(())
    }

    /// Sends the batch as one request, which the same batch always encodes to the same bytes. May be dropped at any
    /// await (shutdown).
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer>;

    /// Writes one record of our own, to tell a backend that is ill from one that cannot digest the batch.
    fn test(&self) -> BoxFuture<'_, Answer> {
        Box::pin(async { Ok(Accepted::default()) })
    }
}

/// What a sink must know after a restart cannot be stored.
#[derive(Debug, Error)]
#[error("cannot {operation} {path}, which a sink needs after a restart: {source}", path = path.display())]
pub struct KeepError {
    /// "read", "write".
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Which of a sink's workers sends: each has its own place in the journal, and its own streams where a backend wants
/// the records of a stream in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// What agents sent as they read it.
    #[default]
    Fresh,
    /// What agents could not send at once.
    Backlog,
    /// What this sink did not take at once.
    Late,
}

impl Lane {
    /// In metrics, files and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Backlog => "backlog",
            Self::Late => "late",
        }
    }
}

/// Bounds of a request, and of the age of what is in it. (How far ahead of the clock it may be is the same for all
/// sinks: the fan-out's.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Records of one request.
    pub max_records: usize,
    /// Payload bytes of one request, before the sink's own encoding.
    pub max_bytes: usize,
    /// Older records are dropped{too_old}; `None`: no bound.
    pub max_age: Option<Duration>,
    /// What was not taken in time waits in a lane of its own while what is new is sent. Where not, all stays in order.
    pub fresh_first: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_records: 5_000, max_bytes: 1 << 20, max_age: None, fresh_first: true }
    }
}

/// One frame of the journal, decoded.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Who, what, how much.
    pub header: FrameHeader,
    /// Where the journal's next frame begins.
    pub end: Position,
    /// What is in it.
    pub telemetry: Telemetry,
}

/// The content of a frame. Its records have numbers: a sample has that of its series in the keyframe, a line that of
/// its entry, a span its place in the message.
#[derive(Clone, Debug)]
pub enum Telemetry {
    /// Samples; the keyframe is shared by the frames that name it.
    Metrics(Arc<Keyframe>, MetricsFrame),
    /// Lines.
    Logs(LogFrame),
    /// Spans.
    Spans(ExportTraceServiceRequest),
}

/// What one request is made of, in the journal's order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Whose request it is.
    pub lane: Lane,
    /// None is empty.
    pub parts: Vec<Part>,
}

/// A frame, and which of its records are to be sent.
#[derive(Clone, Debug)]
pub struct Part {
    /// The frame.
    pub frame: Arc<Decoded>,
    /// Numbers of the records (see [`Telemetry`]), ascending.
    pub records: Vec<u32>,
}

/// One record of a batch: the part's place in it, and the record's number.
pub type RecordRef = (usize, u32);

/// What came of a request.
pub type Answer = Result<Accepted, Refusal>;

/// The backend took the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Records that it says it left out, where it names them.
    pub refused: Vec<RecordRef>,
    /// Records that it says it left out without naming them (OTLP's partial success).
    pub refused_unnamed: u64,
    /// Its words about them.
    pub why: String,
}

/// The backend did not take the request, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: 429, 5xx, timeout, connection.
    Retry {
        /// Which of these.
        kind: RetryKind,
        /// How long the backend asked us to wait.
        after: Option<Duration>,
        /// For people.
        why: String,
    },
    /// Not as we are set up (401, 403, 404, 405, 415): nothing in the data is wrong, so nothing is dropped.
    Configuration {
        /// For people.
        why: String,
    },
    /// Not in one piece (413).
    TooLarge {
        /// For people.
        why: String,
    },
    /// Not with these records in it (400, 409, 422); which ones is found by bisecting.
    Data {
        /// The backend's words.
        why: String,
    },
}

/// Why a request is sent again: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryKind {
    /// The connection broke, ours or that of a gateway (502): nobody knows whether the request was taken.
    Connection,
    /// No answer in time, to us or to a gateway (504): nobody knows either.
    Timeout,
    /// The backend asked us to slow down.
    Throttled,
    /// No connection, or nobody behind it can answer now (503): nothing was taken, and not for the data's sake.
    Unavailable,
    /// The backend failed (500), and may have stored a part. Where this repeats, the data may be why.
    Server,
}

/// Why a record is given up: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The frame cannot be decoded.
    Undecodable,
    /// Older than the backend takes.
    TooOld,
    /// Too far ahead of the clock to wait for.
    Future,
    /// Labels or ids that the backend's data model does not know.
    Invalid,
    /// Larger than the backend takes, alone.
    TooLarge,
    /// The backend refused just this record.
    Refused,
    /// Received before the sink was there, and no longer in the journal.
    Earlier,
    /// Lost in the journal to damage of the disk before the sink had read it.
    Damaged,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Undecodable,
        Self::TooOld,
        Self::Future,
        Self::Invalid,
        Self::TooLarge,
        Self::Refused,
        Self::Earlier,
        Self::Damaged,
    ];

    /// Name in the ledger, in metrics and in the dead-letter file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::TooOld => "too_old",
            Self::Future => "future",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Earlier => "earlier",
            Self::Damaged => "damaged",
        }
    }
}

impl Refusal {
    /// All that [`Refusal::kind`] gives.
    pub const KINDS: [&str; 8] = [
        "connection",
        "timeout",
        "throttled",
        "unavailable",
        "server_error",
        "configuration",
        "too_large",
        "refused",
    ];

    /// Name of the outcome in metrics: a closed set.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Retry { kind: RetryKind::Connection, .. } => "connection",
            Self::Retry { kind: RetryKind::Timeout, .. } => "timeout",
            Self::Retry { kind: RetryKind::Throttled, .. } => "throttled",
            Self::Retry { kind: RetryKind::Unavailable, .. } => "unavailable",
            Self::Retry { kind: RetryKind::Server, .. } => "server_error",
            Self::Configuration { .. } => "configuration",
            Self::TooLarge { .. } => "too_large",
            Self::Data { .. } => "refused",
        }
    }

    /// Words for people.
    pub fn why(&self) -> &str {
        match self {
            Self::Retry { why, .. }
            | Self::Configuration { why }
            | Self::TooLarge { why }
            | Self::Data { why } => why,
        }
    }
}

impl Telemetry {
    /// The numbers of the records that are there, ascending.
    pub fn records(&self) -> Vec<u32> {
        match self {
            Self::Metrics(keyframe, frame) => {
                let mut absent = frame.absent.iter().copied().peekable();
                (0..keyframe.series.len() as u32).filter(|n| absent.next_if_eq(n).is_none()).collect()
            }
            Self::Logs(frame) => (0..frame.entries.len() as u32).collect(),
            Self::Spans(request) => {
                let spans = request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len());
                (0..spans.sum::<usize>() as u32).collect()
            }
        }
    }
}

impl Batch {
    /// Records in all parts.
    pub fn records(&self) -> usize {
        self.parts.iter().map(|part| part.records.len()).sum()
    }

    /// The first `count` records, and the others. The same batch always parts in the same way.
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let empty = || Self { lane: self.lane, parts: Vec::new() };
        let (mut first, mut rest) = (empty(), empty());
        let mut left = count;
        for mut part in self.parts {
            let behind = part.records.split_off(left.min(part.records.len()));
            left -= part.records.len();
            if !behind.is_empty() {
                rest.parts.push(Part { frame: part.frame.clone(), records: behind });
            }
            if !part.records.is_empty() {
                first.parts.push(part);
            }
        }
        (first, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames of 3, 1 and 2 lines.
    fn batch() -> Batch {
        let frame = |lines: usize| {
            let telemetry =
                Telemetry::Logs(LogFrame { entries: vec![<_>::default(); lines], ..<_>::default() });
            let records = telemetry.records();
            let frame = Decoded { header: <_>::default(), end: <_>::default(), telemetry };
            Part { frame: Arc::new(frame), records }
        };
        Batch { parts: vec![frame(3), frame(1), frame(2)], ..Batch::default() }
    }

    /// Scenario: a batch is parted at every place, the ends included.
    /// Guarantees: no record is lost or doubled, no part is empty, the order stays.
    #[test]
    fn a_batch_parts_anywhere() {
        let flat = |batches: &[&Batch]| -> Vec<u32> {
            batches.iter().flat_map(|b| &b.parts).flat_map(|part| part.records.clone()).collect()
        };
        let whole = batch();
        for at in 0..=whole.records() + 1 {
            let (first, rest) = whole.clone().split_at(at);
            assert_eq!(first.records(), at.min(6));
            assert_eq!(flat(&[&first, &rest]), flat(&[&whole]), "at {at}");
            assert!(first.parts.iter().chain(&rest.parts).all(|part| !part.records.is_empty()));
        }
    }

    /// Scenario: a metrics frame lacks some of its keyframe's series.
    /// Guarantees: the records are numbered by series, the absent ones left out.
    #[test]
    fn absent_series_are_no_records() {
        let series = ao_proto::model::Series { labels: <_>::default(), family: 0 };
        let keyframe = Keyframe { series: vec![series; 5], values: vec![0.0; 5], ..<_>::default() };
        let frame = MetricsFrame { values: vec![1.0; 5], absent: vec![0, 3], ..<_>::default() };
        assert_eq!(Telemetry::Metrics(Arc::new(keyframe), frame).records(), [1, 2, 4]);
    }
}
