//! Events into frames: enriched, gathered by source, closed by bytes, count or age, and appended to the spool.
//!
//! | room | what it holds |
//! |---|---|
//! | `group` | the series of a group of samples, in as many tables as they need |
//! | `series` | one table: keyframes, and one frame per set |
//! | `logs` | the log frame under way |
//! | `shift` | brings times of clocks that are wrong to ours |
//! | `spans` | the span frame under way |

mod group;
mod logs;
mod series;
mod shift;
mod spans;

use std::collections::HashMap;
use std::sync::Arc;

use ao_common::repeated::Repeated;
use ao_common::units::{Size, Span};
use ao_proto::model::FileId;
use ao_proto::v1::Directives;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::batch::group::Group;
use crate::batch::logs::LogBatch;
use crate::batch::shift::Shifter;
use crate::batch::spans::SpanBatch;
use crate::enrich::Enricher;
use crate::event::{Event, LogChunk, MetricSet, SampleText, SpanChunk};
use crate::heap;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::rules::Rules;
use crate::spool::{Draft, Spool};
use crate::streams::Streams;

/// Section `batch`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Close a frame of log lines or spans at this size, before compression (at most 4MiB).
    pub bytes: Size,
    /// Close a frame at this many lines.
    pub lines: usize,
    /// Close a frame at this age.
    pub age: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes: Size::mib(1), lines: 16_384, age: Span(std::time::Duration::from_millis(500)) }
    }
}

/// A table that has seen no set for this long is dropped: its group (a target, a pod) is gone.
const TABLE_IDLE: std::time::Duration = std::time::Duration::from_secs(3600);

/// With so many bytes of lines and samples gone through, what they took of the heap is given back: at 10,000 lines a second
/// this is every five seconds or so. A burst, or lines that have waited for their pods, leave many times what is needed from then on.
const GIVE_BACK: usize = 8 << 20;

/// Spans whose sender waits for the disk are closed at this age: an application's exporter sends one request at a time,
/// so that a longer wait would bound how many spans it can hand over.
const WAITED_FOR: std::time::Duration = std::time::Duration::from_millis(50);

static REFUSED: Repeated =
    Repeated::new("more sets had samples too large", std::time::Duration::from_secs(60));

/// What log lines pass on their way into a frame.
pub(crate) struct Steps {
    pub(crate) enricher: Enricher,
    pub(crate) pipeline: Pipeline,
    pub(crate) rules: Rules,
    pub(crate) streams: Streams,
}

/// Runs from the first event to the last: ends when all senders are gone, with everything in the spool.
pub struct Batcher {
    config: Config,
    agent: [u8; 16],
    enricher: Enricher,
    pipeline: Pipeline,
    rules: Rules,
    streams: Streams,
    spool: Spool,
    metrics: Arc<Metrics>,
    shifter: Shifter,
    tables: HashMap<(&'static str, String), (Group, Instant)>,
    /// When those of groups that are gone were last dropped.
    swept: Instant,
    logs: HashMap<&'static str, LogBatch>,
    spans: HashMap<&'static str, SpanBatch>,
    /// Files that are gone, with lines that wait for their pod.
    forgotten: Vec<FileId>,
    /// Bytes of lines and samples since the heap's free memory was given back.
    passed: usize,
    /// When the oldest open frame must be closed.
    close_at: Option<Instant>,
    /// When spans that are waited for must be closed.
    close_spans_at: Option<Instant>,
}

impl Batcher {
    pub(crate) fn new(
        config: Config,
        agent: [u8; 16],
        steps: Steps,
        spool: Spool,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Steps { enricher, pipeline, rules, streams } = steps;
        Self {
            config,
            agent,
            enricher,
            pipeline,
            rules,
            streams,
            spool,
            shifter: Shifter::new(Arc::clone(&metrics)),
            metrics,
            tables: HashMap::new(),
            swept: Instant::now(),
            logs: HashMap::new(),
            spans: HashMap::new(),
            forgotten: Vec::new(),
            passed: 0,
            close_at: None,
            close_spans_at: None,
        }
    }

    /// Takes events until all senders are gone.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut directives: watch::Receiver<Arc<Directives>>,
    ) {
        let known = Arc::clone(&directives.borrow_and_update());
        self.enricher.directives(&known);
        let mut directives_end = false;
        loop {
            let held = [self.enricher.next_due(), self.pipeline.next_due()];
            let wake = [self.close_at, self.close_spans_at].into_iter().chain(held);
            let wake = wake.flatten().min();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event).await,
                    None => break,
                },
                changed = directives.changed(), if !directives_end => {
                    directives_end = changed.is_err();
                    let known = Arc::clone(&directives.borrow_and_update());
                    let ready = self.enricher.directives(&known);
                    self.add_logs(ready).await;
                }
                () = sleep_until(wake) => {
                    let ready = self.enricher.due(Instant::now());
                    self.add_logs(ready).await;
                    let ready = self.pipeline.due(Some(Instant::now()));
                    self.add_staged(ready).await;
                    if self.close_at.is_some_and(|at| at <= Instant::now()) {
                        self.close_all(false).await;
                    }
                    if self.close_spans_at.is_some_and(|at| at <= Instant::now()) {
                        self.close_spans().await;
                    }
                }
            }
        }
        let held = self.enricher.drain();
        self.add_logs(held).await;
        let held = self.pipeline.due(None);
        self.add_staged(held).await;
        self.close_all(true).await;
        self.spool.flush().await;
    }

    async fn take(&mut self, mut event: Event) {
        // The time of a line may be what the pipeline reads in it.
        if !matches!(event, Event::Logs(_)) {
            self.shifter.bring(&mut event);
        }
        match event {
            Event::Metrics(set) => self.add_set(&set).await,
            Event::Logs(chunk) => {
                if let Some(span) = &chunk.file {
                    // Emptied and begun anew.
                    self.forgotten.retain(|file| *file != span.file);
                }
                let ready = self.enricher.logs(chunk);
                self.add_logs(ready).await;
            }
            Event::Spans(chunk) => self.add_spans(chunk).await,
            Event::Forget(file) => {
                self.forgotten.push(file);
                self.forget();
            }
        }
    }

    /// A set is a frame of its own: its samples share one time.
    async fn add_set(&mut self, set: &MetricSet) {
        if set.samples.is_empty() && !self.tables.contains_key(&(set.source, set.group.clone())) {
            return;
        }
        let now = Instant::now();
        let (group, used) = self.tables.entry((set.source, set.group.clone())).or_insert_with(|| {
            let base = self.enricher.metric_base(set.job, set.instance.as_deref());
            (Group::new(self.agent, base), now)
        });
        *used = now;
        let encoded = group.encode(set);
        self.metrics.doubled_samples.inc_by(encoded.doubles);
        if encoded.refused > 0 {
            self.metrics.refused_samples.inc_by(encoded.refused);
            if REFUSED.is_first(set.source) {
                let (source, group) = (set.source, &set.group);
                tracing::error!(
                    source,
                    group,
                    samples = encoded.refused,
                    "samples are too large for any frame"
                );
            }
        }
        for draft in encoded.drafts {
            self.spool.append(draft).await;
        }
        if now.duration_since(self.swept) >= TABLE_IDLE / 60 {
            self.swept = now;
            self.tables.retain(|_, (_, used)| now.duration_since(*used) < TABLE_IDLE);
        }
        self.passed += set.arena.len() + set.samples.len() * size_of::<SampleText>();
        self.give_back();
    }

    /// Checkpoints go behind the last line: not while lines of theirs wait for their pod.
    fn forget(&mut self) {
        let (held, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.forgotten)
            .into_iter()
            .partition(|file| self.enricher.holds(*file) || self.pipeline.holds(*file));
        self.forgotten = held;
        for file in go {
            self.logs.entry("logs").or_default().forget(file);
            self.open();
        }
    }

    async fn add_logs(&mut self, chunks: Vec<LogChunk>) {
        for chunk in chunks {
            let staged = self.pipeline.take(chunk, Instant::now());
            self.add_staged(staged).await;
        }
    }

    async fn add_staged(&mut self, chunks: Vec<LogChunk>) {
        if !chunks.is_empty() {
            self.add_chunks(chunks).await;
            if !self.forgotten.is_empty() {
                self.forget();
            }
        }
    }

    async fn add_chunks(&mut self, chunks: Vec<LogChunk>) {
        for mut chunk in chunks {
            for parted in self.rules.take(&mut chunk) {
                self.add_chunk(parted).await;
            }
            self.add_chunk(chunk).await;
        }
    }

    async fn add_chunk(&mut self, mut chunk: LogChunk) {
        self.streams.admit(&mut chunk, Instant::now());
        self.shifter.bring_lines(&mut chunk);
        let source = chunk.source;
        self.passed += chunk.text.len();
        let batch = self.logs.entry(source).or_default();
        if !batch.has_room(&chunk) {
            let draft = batch.take(self.agent, source);
            self.spool.append(draft).await;
        }
        batch.add(chunk);
        let full = batch.text_bytes() as u64 >= self.config.bytes.0
            || batch.lines() >= self.config.lines
            || batch.is_crowded();
        if full && batch.is_whole() {
            let draft = batch.take(self.agent, source);
            self.spool.append(draft).await;
        } else {
            self.open();
        }
    }

    async fn add_spans(&mut self, chunk: SpanChunk) {
        let (source, waited_for) = (chunk.source, chunk.stored.is_some());
        let batch = self.spans.entry(source).or_default();
        if !batch.has_room(&chunk) {
            let draft = batch.take(self.agent, source);
            self.spool.append(draft).await;
        }
        batch.add(chunk);
        if batch.bytes() as u64 >= self.config.bytes.0 {
            let draft = batch.take(self.agent, source);
            self.spool.append(draft).await;
        } else if waited_for {
            self.close_spans_at.get_or_insert_with(|| Instant::now() + WAITED_FOR);
        } else {
            self.open();
        }
    }

    fn open(&mut self) {
        self.close_at.get_or_insert_with(|| Instant::now() + self.config.age.0);
    }

    /// `ending`: nothing more will come, not even what belongs to what has come.
    async fn close_all(&mut self, ending: bool) {
        self.close_at = None;
        self.rules.flush();
        let agent = self.agent;
        if self.logs.values().any(|batch| !batch.is_whole()) {
            self.open();
        }
        let logs =
            self.logs.iter_mut().filter(|(_, batch)| !batch.is_empty() && (batch.is_whole() || ending));
        let drafts: Vec<Draft> = logs.map(|(source, batch)| batch.take(agent, source)).collect();
        for draft in drafts {
            self.spool.append(draft).await;
        }
        self.close_spans().await;
        self.metrics.lines_without_pod.inc_by(std::mem::take(&mut self.enricher.without));
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.passed >= GIVE_BACK {
            self.passed = 0;
            heap::give_back();
        }
    }

    async fn close_spans(&mut self) {
        self.close_spans_at = None;
        let agent = self.agent;
        let open = self.spans.iter_mut().filter(|(_, batch)| !batch.is_empty());
        let drafts: Vec<Draft> = open.map(|(source, batch)| batch.take(agent, source)).collect();
        for draft in drafts {
            self.spool.append(draft).await;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
