//! A double of a sink: answers by a script and remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ao_proto::v1::Class;
use futures_util::future::BoxFuture;

use crate::sink::api::{
    Accepted, Answer, Batch, Decoded, DropReason, Lane, Policy, Refusal, RetryKind, Sink, Telemetry,
};

/// What the backend does with its n-th request, of these records; `None`: it never answers.
type Script = Box<dyn Fn(usize, &[u32]) -> Option<Answer> + Send + Sync>;

/// Takes lines of the class logs.
pub(super) struct Scripted {
    pub(super) name: &'static str,
    pub(super) script: Script,
    /// Whether a test request passes.
    pub(super) well: bool,
    pub(super) max_records: usize,
    pub(super) fresh_first: bool,
    /// Records that must not be sent.
    pub(super) left_out: Vec<(u32, DropReason)>,
    /// Requests of this lane are never answered.
    pub(super) hangs: Mutex<Option<Lane>>,
    pub(super) seen: Mutex<Vec<Request>>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Records by their number in their frames.
    pub(super) records: Vec<u32>,
    /// The lines: what a real sink would encode.
    pub(super) body: String,
    pub(super) accepted: bool,
    pub(super) lane: Lane,
}

impl Scripted {
    /// Answers every request at once.
    pub(super) fn new(script: impl Fn(usize, &[u32]) -> Answer + Send + Sync + 'static) -> Self {
        Self::hanging(move |n, records| Some(script(n, records)))
    }

    /// May never answer.
    pub(super) fn hanging(script: impl Fn(usize, &[u32]) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self {
            name: "scripted",
            script: Box::new(script),
            well: true,
            max_records: 5_000,
            fresh_first: true,
            left_out: Vec::new(),
            hangs: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on requests of this lane are never answered.
    pub(super) fn hang(&self, lane: Option<Lane>) {
        *self.hangs.lock().unwrap_or_else(PoisonError::into_inner) = lane;
    }

    /// Accepted lines of a lane, in order.
    pub(super) fn lines(&self, lane: Lane) -> Vec<String> {
        let accepted = self.requests().into_iter().filter(|request| request.accepted && request.lane == lane);
        accepted.flat_map(|request| request.body.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// How often each record was accepted.
    pub(super) fn accepted(&self) -> BTreeMap<u32, usize> {
        let mut times = BTreeMap::new();
        for request in self.requests().iter().filter(|request| request.accepted) {
            for record in &request.records {
                *times.entry(*record).or_default() += 1;
            }
        }
        times
    }
}

impl Sink for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Logs]
    }

    fn policy(&self) -> Policy {
        Policy { max_records: self.max_records, fresh_first: self.fresh_first, ..Policy::default() }
    }

    fn check(&self, _frame: &Decoded, _lane: Lane) -> Vec<(u32, DropReason)> {
        self.left_out.clone()
    }

    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer> {
        Box::pin(async {
            let records: Vec<u32> = batch.parts.iter().flat_map(|part| part.records.clone()).collect();
            let answer = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let hangs = *self.hangs.lock().unwrap_or_else(PoisonError::into_inner) == Some(batch.lane);
                let answer = if hangs { None } else { (self.script)(seen.len(), &records) };
                let accepted = matches!(answer, Some(Ok(_)));
                seen.push(Request { records, body: body(batch), accepted, lane: batch.lane });
                answer
            };
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn test(&self) -> BoxFuture<'_, Answer> {
        let well = self.well;
        Box::pin(async move { if well { Ok(Accepted::default()) } else { server_error() } })
    }
}

/// HTTP 500.
pub(super) fn server_error() -> Answer {
    Err(Refusal::Retry { kind: RetryKind::Server, after: None, why: "500".to_owned() })
}

/// The chosen lines, one behind the other.
fn body(batch: &Batch) -> String {
    let mut body = String::new();
    for part in &batch.parts {
        let Telemetry::Logs(frame) = &part.frame.telemetry else { continue };
        for (_, (_, line, _)) in (0_u32..).zip(frame.iter()).filter(|(n, _)| part.records.contains(n)) {
            body.push_str(line);
            body.push('\n');
        }
    }
    body
}
