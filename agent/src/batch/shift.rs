//! Times that are not of our clock are brought to it, before they are in a frame. Never clamped to one instant: what
//! one clock has stamped is moved by one offset, so that order and distances stay.
//!
//! - **The system's clock was set**, and the step is not confirmed (or was taken back, and records of then come late).
//!   Container runtimes, journald and applications stamp by that clock. Which times it showed when is known
//!   ([`ao_common::clock::Stretch`]): a time that it showed is moved by what it was off, ahead or behind.
//! - **Our own clock is far ahead of the aggregator's**, by more than 60 s: everything is moved back by the measured
//!   offset, since no sink takes what is ahead of the aggregator.
//! - **Some other clock is ahead** (an application's, a file from elsewhere): the newest time of the chunk becomes now,
//!   and the stream keeps this offset as long as it fits.
//!
//! Old data is not out of range and stays: a log file that is read for the first time, spans of a long request. So does
//! everything while no clock is wrong, which costs one comparison per record.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock::{self, Stretch};
use ao_proto::model::Labels;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use tokio::time::Instant;

use crate::event::{Event, LogChunk, MetricSet, SpanChunk};
use crate::metrics::{Metrics, SourceLabel};

/// Sinks take what is this far ahead of the aggregator's clock.
const AHEAD_NS: i64 = 60_000_000_000;
/// A writer may see a step this much later than we do.
const LATE_NS: i64 = 1_000_000_000;
/// The offset to the aggregator that is applied follows the measured one in steps of this, so that times do not jitter.
const COARSE_NS: i64 = 5_000_000_000;
/// An offset of a stream that would bring a time further back than this does not fit.
const FITS_NS: i64 = 600_000_000_000;
/// Times further apart than this are not of one clock.
const DAY_NS: i64 = 86_400_000_000_000;
/// Streams whose offsets are remembered.
const STREAMS: usize = 4_096;
/// Between two lines for people.
const QUIET: Duration = Duration::from_secs(60);

/// Brings events to our clock.
pub(crate) struct Shifter {
    metrics: Arc<Metrics>,
    /// Applied to everything: minus our clock's offset to the aggregator's where that is far ahead.
    correction: i64,
    /// By stream: the offset that brings another clock's times to ours.
    others: HashMap<u64, i64>,
    hasher: RandomState,
    /// When people were last told, and records moved since.
    told: Option<Instant>,
    untold: u64,
}

/// The clocks at one moment.
struct View {
    /// Corrected.
    now: i64,
    correction: i64,
    /// Newest first; empty where the system's clock is ours and has been for a while.
    stretches: Vec<Stretch>,
}

impl View {
    /// The offset for what an all too well known clock has stamped; none where the time lies ahead of all of them.
    fn known(&self, at: i64) -> Option<i64> {
        // The newest goes on beyond the last look; the others may have been a moment longer for their writers.
        let slack = std::iter::once(AHEAD_NS).chain(std::iter::repeat(LATE_NS));
        for (stretch, slack) in self.stretches.iter().zip(slack) {
            let until = stretch.until_ns.saturating_add(slack);
            if (stretch.from_ns..=until).contains(&at) {
                return Some(self.correction.saturating_sub(stretch.ahead_ns));
            }
        }
        (at.saturating_add(self.correction) <= self.now.saturating_add(AHEAD_NS)).then_some(self.correction)
    }
}

impl Shifter {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            correction: 0,
            others: HashMap::new(),
            hasher: RandomState::new(),
            told: None,
            untold: 0,
        }
    }

    /// Brings the times of an event to our clock.
    pub(crate) fn bring(&mut self, event: &mut Event) {
        let view = self.view();
        let (source, moved) = match event {
            Event::Metrics(set) => (set.source, self.set(&view, set)),
            Event::Logs(chunk) => return self.bring_lines(chunk),
            Event::Spans(chunk) => (chunk.source, self.spans(&view, chunk)),
            Event::Forget(_) => return,
        };
        self.count(source, moved);
    }

    /// The same for lines alone.
    pub(crate) fn bring_lines(&mut self, chunk: &mut LogChunk) {
        if !chunk.lines.is_empty() {
            let view = self.view();
            let moved = self.lines(&view, chunk);
            self.count(chunk.source, moved);
        }
    }

    fn count(&mut self, source: &'static str, moved: u64) {
        if moved > 0 {
            self.metrics.shifted_records.get_or_create(&SourceLabel { source }).inc_by(moved);
            self.tell(source, moved);
        }
    }

    fn view(&mut self) -> View {
        let now = clock::now_ns();
        let (offset, stretches) = clock::look(|anchor| {
            let mut stretches: Vec<_> = anchor.stretches().collect();
            if stretches.iter().all(|stretch| stretch.ahead_ns == 0) {
                stretches.clear();
            }
            (anchor.offset_ns().unwrap_or(0), stretches)
        });
        self.correction = correction(self.correction, offset);
        View { now: now.saturating_add(self.correction), correction: self.correction, stretches }
    }

    fn set(&mut self, view: &View, set: &mut MetricSet) -> u64 {
        let at = set.at_ms.saturating_mul(1_000_000);
        let stream = self.hasher.hash_one((set.source, &set.group));
        let by = self.offset(view, stream, at, at);
        set.at_ms = set.at_ms.saturating_add(by.div_euclid(1_000_000));
        if by == 0 { 0 } else { set.samples.len() as u64 }
    }

    fn lines(&mut self, view: &View, chunk: &mut LogChunk) -> u64 {
        let newest = newest(view, chunk.lines.iter().map(|line| line.at_ns));
        if newest.is_none() && view.is_plain() {
            return 0;
        }
        let stream = self.hasher.hash_one::<(&str, &Labels)>((chunk.source, &chunk.labels));
        let (mut moved, mut begin, mut before) = (0, 0, None);
        for line in &mut chunk.lines {
            let end = begin + line.len as usize;
            let by = self.offset(view, stream, line.at_ns, newest.unwrap_or(line.at_ns));
            line.at_ns = line.at_ns.saturating_add(by);
            moved += u64::from(by != 0);
            // Two clocks may have come together here: a line equal to its predecessor stays one of its own.
            let text = chunk.text.get(begin..end);
            if let Some((at, same)) = before
                && line.at_ns == at
                && text == same
            {
                line.at_ns += 1;
            }
            (before, begin) = (Some((line.at_ns, text)), end);
        }
        moved
    }

    fn spans(&mut self, view: &View, chunk: &mut SpanChunk) -> u64 {
        let (first, last) = chunk.times_ns;
        if view.is_plain() && view.known(last).is_some() {
            return 0;
        }
        // The receiver has read it: it can be read.
        let Ok(mut request) = ExportTraceServiceRequest::decode(chunk.request.clone()) else { return 0 };
        let (mut moved, mut times) = (0, None);
        for resource in &mut request.resource_spans {
            // An application is a clock.
            let name = resource.resource.as_ref().map(Message::encode_to_vec);
            let stream = self.hasher.hash_one((chunk.source, name));
            let newest = newest(view, spans(resource).map(|span| end_of(span)));
            for span in spans(resource) {
                let at = end_of(span);
                let by = self.offset(view, stream, at, newest.unwrap_or(at));
                moved += u64::from(by != 0);
                move_span(span, by);
                let start = i64::try_from(span.start_time_unix_nano).unwrap_or(i64::MAX);
                let (oldest, newest) = times.unwrap_or((start, start));
                times = Some((start.min(oldest), end_of(span).max(newest)));
            }
        }
        if moved > 0 {
            chunk.request = Bytes::from(request.encode_to_vec());
            chunk.times_ns = times.unwrap_or((first, last));
        }
        moved
    }

    /// What to add to the time of one record; `newest` is that of its chunk, of those that lie ahead of all clocks.
    fn offset(&mut self, view: &View, stream: u64, at: i64, newest: i64) -> i64 {
        if let Some(by) = view.known(at) {
            return by;
        }
        let fits = |by: &i64| {
            let then = at.saturating_add(*by);
            then <= view.now.saturating_add(AHEAD_NS) && then >= view.now.saturating_sub(FITS_NS)
        };
        if let Some(by) = self.others.get(&stream).copied().filter(fits) {
            return by;
        }
        let base = if newest.saturating_sub(at) < DAY_NS { newest } else { at };
        let by = view.now.saturating_sub(base);
        if self.others.len() >= STREAMS {
            self.others.clear();
        }
        self.others.insert(stream, by);
        by
    }

    fn tell(&mut self, source: &str, moved: u64) {
        self.untold += moved;
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            let records = std::mem::take(&mut self.untold);
            tracing::warn!(
                source,
                records,
                "records carried times of a clock that is wrong; they were shifted"
            );
            self.told = Some(Instant::now());
        }
    }
}

impl View {
    /// No known clock is wrong.
    fn is_plain(&self) -> bool {
        self.stretches.is_empty() && self.correction == 0
    }
}

/// The correction from now on.
fn correction(was: i64, offset: i64) -> i64 {
    let wanted = if offset > AHEAD_NS { -offset } else { 0 };
    let is_near = wanted != 0 && was != 0 && wanted.saturating_sub(was).saturating_abs() < COARSE_NS;
    if is_near { was } else { wanted }
}

/// The newest of those that lie ahead of all clocks.
fn newest(view: &View, times: impl Iterator<Item = i64>) -> Option<i64> {
    times.filter(|at| view.known(*at).is_none()).max()
}

fn spans(resource: &mut ResourceSpans) -> impl Iterator<Item = &mut Span> {
    resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans)
}

/// All its times by one offset; 0 says that there is none.
fn move_span(span: &mut Span, by: i64) {
    let events = span.events.iter_mut().map(|event| &mut event.time_unix_nano);
    let all = [&mut span.start_time_unix_nano, &mut span.end_time_unix_nano];
    for time in all.into_iter().chain(events).filter(|time| **time > 0) {
        *time = time.saturating_add_signed(by);
    }
}

/// When a span ended; its start where it does not say.
fn end_of(span: &Span) -> i64 {
    i64::try_from(span.end_time_unix_nano.max(span.start_time_unix_nano)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
