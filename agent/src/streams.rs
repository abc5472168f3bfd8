//! How many streams of log lines a node may have at a time: a store pays for each, and a label made of what varies (a
//! user, a request) makes one a line.
//!
//! A stream beyond [`Config::most`] is not refused: it goes on under the labels that tell where it comes from
//! ([`Config::keep`]) and `overflow="true"`. Where there are too many of these as well (half as many again), under `cluster`,
//! `node_name` and `overflow` alone. The labels that it lost are on its lines as structured metadata.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::limits::MAX_LABELS;
use ao_proto::model::Labels;
use serde::Deserialize;
use tokio::time::Instant;

use crate::event::LogChunk;
use crate::metrics::Metrics;

/// Section `streams`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Streams at a time.
    pub most: usize,
    /// A stream without a line for so long is none any more.
    pub idle: Span,
    /// Labels that one beyond `most` keeps.
    pub keep: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let keep = [
            "cluster",
            "node_name",
            "namespace",
            "pod",
            "container",
            "app",
            "job",
            "stream",
            "filename",
            "unit",
            "failed_login",
        ];
        Self { most: 2_000, idle: Span::secs(600), keep: keep.map(str::to_owned).to_vec() }
    }
}

impl Config {
    /// What the file's form alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100_000).contains(&self.most) {
            return Err(format!("streams.most is {}, which is not between 1 and 100000", self.most));
        }
        if self.idle < Span::secs(1) {
            return Err(format!("streams.idle is {}, which is less than 1s", self.idle));
        }
        Ok(())
    }
}

/// The label of streams beyond the budget.
const OVERFLOW: &str = "overflow";
/// What a stream keeps where too many have overflowed.
const LAST: [&str; 2] = ["cluster", "node_name"];
/// Between two looks for idle streams.
const SWEEP: Duration = Duration::from_secs(5);

/// All that are in use.
pub(crate) struct Streams {
    config: Config,
    metrics: Arc<Metrics>,
    active: Vec<Active>,
    by_labels: HashMap<Labels, usize>,
    /// Of those active, the ones beyond the budget.
    overflowed: usize,
    /// By where their labels lie.
    seen: HashMap<usize, Seen>,
    /// When idle ones are next looked for.
    sweep: Option<Instant>,
}

struct Active {
    labels: Labels,
    used: Instant,
    overflow: bool,
}

struct Seen {
    /// Kept so that no others come to lie there.
    labels: Labels,
    /// Of [`Streams::active`].
    number: usize,
}

impl Streams {
    pub(crate) fn new(config: Config, metrics: Arc<Metrics>) -> Self {
        Self {
            config,
            metrics,
            active: Vec::new(),
            by_labels: HashMap::new(),
            overflowed: 0,
            seen: HashMap::new(),
            sweep: None,
        }
    }

    /// Gives a chunk the labels under which it may go on.
    pub(crate) fn admit(&mut self, chunk: &mut LogChunk, now: Instant) {
        if chunk.source != "logs" || chunk.lines.is_empty() {
            return;
        }
        let place = chunk.labels.pairs().as_ptr().addr();
        let mut seen = self.number(place, &chunk.labels);
        if seen.is_some_and(|number| self.active[number].overflow) && self.sweep(now) {
            // There may be room now.
            seen = None;
        }
        let number = seen.unwrap_or_else(|| {
            let number = self.find(&chunk.labels, now);
            if self.seen.len() >= 2 * self.config.most {
                self.seen.clear();
            }
            self.seen.insert(place, Seen { labels: chunk.labels.clone(), number });
            self.metrics.streams.set(self.active.len() as i64);
            number
        });
        let stream = &mut self.active[number];
        stream.used = now;
        if stream.overflow {
            let own = std::mem::replace(&mut chunk.labels, stream.labels.clone());
            self.metrics.overflow_lines.inc_by(chunk.lines.len() as u64);
            describe(chunk, &own);
        }
    }

    fn number(&self, place: usize, labels: &Labels) -> Option<usize> {
        self.seen.get(&place).filter(|seen| seen.labels == *labels).map(|seen| seen.number)
    }

    /// The stream for lines with these labels, which may be a new one.
    fn find(&mut self, labels: &Labels, now: Instant) -> usize {
        if let Some(number) = self.by_labels.get(labels) {
            return *number;
        }
        let has_room = |streams: &Self| streams.active.len() - streams.overflowed < streams.config.most;
        if has_room(self) || self.sweep(now) && has_room(self) {
            return self.add(labels.clone(), false, now);
        }
        let kept = overflow(labels, |name| self.config.keep.iter().any(|kept| kept == name));
        if let Some(number) = self.by_labels.get(&kept) {
            return *number;
        }
        if self.overflowed < self.config.most / 2 {
            return self.add(kept, true, now);
        }
        let last = overflow(labels, |name| LAST.contains(&name));
        match self.by_labels.get(&last) {
            Some(number) => *number,
            None => self.add(last, true, now),
        }
    }

    fn add(&mut self, labels: Labels, overflow: bool, now: Instant) -> usize {
        let number = self.active.len();
        self.by_labels.insert(labels.clone(), number);
        self.active.push(Active { labels, used: now, overflow });
        self.overflowed += usize::from(overflow);
        number
    }

    /// Lets idle streams go; whether it was time for it.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.sweep.is_some_and(|at| now < at) {
            return false;
        }
        self.sweep = Some(now + SWEEP);
        self.active.retain(|stream| now.duration_since(stream.used) < self.config.idle.0);
        self.by_labels =
            self.active.iter().enumerate().map(|(number, stream)| (stream.labels.clone(), number)).collect();
        self.overflowed = self.active.iter().filter(|stream| stream.overflow).count();
        self.seen.clear();
        true
    }
}

/// Labels that are kept, and that the others are gone.
fn overflow(labels: &Labels, is_kept: impl Fn(&str) -> bool) -> Labels {
    let kept = labels.pairs().iter().filter(|(name, _)| is_kept(name)).cloned();
    Labels::new(kept.chain([(OVERFLOW.into(), "true".into())]).collect())
}

/// The labels that a chunk has lost become metadata of its lines.
fn describe(chunk: &mut LogChunk, own: &Labels) {
    let is_lost = |(name, _): &(&str, &str)| chunk.labels.get(name).is_none();
    let lost: Vec<_> = own.iter().filter(is_lost).collect();
    for line in &mut chunk.lines {
        let mut pairs = std::mem::take(&mut line.metadata).into_vec();
        let room = MAX_LABELS.saturating_sub(pairs.len());
        pairs.extend(lost.iter().take(room).map(|(name, value)| (Box::from(*name), Box::from(*value))));
        line.metadata = pairs.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Line;

    fn chunk(pairs: &[(&str, &str)]) -> LogChunk {
        LogChunk {
            source: "logs",
            labels: Labels::from_pairs(pairs.iter().copied().chain([("cluster", "c"), ("node_name", "n")])),
            shared: Labels::default(),
            pod: None,
            file: None,
            bytes: 1,
            lines: vec![Line { len: 1, ..Line::default() }],
            text: "x".to_owned(),
            dropped: Vec::new(),
        }
    }

    fn streams(most: usize) -> Streams {
        Streams::new(Config { most, ..Config::default() }, Arc::default())
    }

    fn admitted(streams: &mut Streams, pairs: &[(&str, &str)]) -> (String, String) {
        let mut chunk = chunk(pairs);
        streams.admit(&mut chunk, Instant::now());
        let metadata: Vec<_> = chunk.lines[0].metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
        (chunk.labels.to_string(), metadata.join(" "))
    }

    /// Scenario: a stage makes a label of every user; later those of the beginning are idle.
    /// Guarantees: streams within the budget stay as they are; lines beyond it are in one stream without the label, which
    /// is their metadata, and are counted; what was idle makes room.
    #[tokio::test(start_paused = true)]
    async fn labels_of_stages() {
        let mut streams = streams(3);
        let pod = ("pod", "web");
        for user in ["a", "b", "c", "a", "b"] {
            let (labels, metadata) = admitted(&mut streams, &[pod, ("user", user)]);
            assert!(labels.contains(&format!("user={user:?}")) && metadata.is_empty(), "{labels}");
        }
        let over = r#"{cluster="c", node_name="n", overflow="true", pod="web"}"#.to_owned();
        for user in ["d", "e", "d"] {
            let expect = (over.clone(), format!("user={user}"));
            assert_eq!(admitted(&mut streams, &[pod, ("user", user)]), expect);
        }
        assert_eq!((streams.metrics.overflow_lines.get(), streams.metrics.streams.get()), (3, 4));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert!(admitted(&mut streams, &[pod, ("user", "a")]).1.is_empty());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(admitted(&mut streams, &[pod, ("user", "d")]).1.is_empty());
        assert!(admitted(&mut streams, &[pod, ("user", "a")]).1.is_empty());
        assert_eq!(streams.metrics.streams.get(), 2);
    }

    /// Scenario: chunks of one file, whose labels lie in one place, beyond the budget until others are idle.
    /// Guarantees: they get their own labels back.
    #[tokio::test(start_paused = true)]
    async fn there_is_room_again() {
        let mut streams = streams(1);
        admitted(&mut streams, &[("user", "a")]);
        let one = chunk(&[("user", "b")]);
        for expect in [false, false, true] {
            let mut again = one.clone();
            streams.admit(&mut again, Instant::now());
            assert_eq!(again.labels == one.labels, expect);
            tokio::time::advance(Duration::from_secs(301)).await;
        }
    }

    /// Scenario: more pods than the budget has streams; a source that is no log file.
    /// Guarantees: what says where lines come from goes last, and is their metadata; memory is bounded.
    #[test]
    fn labels_of_sources() {
        let mut streams = streams(4);
        let mut last = String::new();
        for n in 0..1_000 {
            let (labels, metadata) = admitted(&mut streams, &[("pod", &n.to_string()), ("user", "u")]);
            if n >= 6 {
                assert_eq!(metadata, format!("pod={n} user=u"));
                last = labels;
            }
        }
        assert_eq!(last, r#"{cluster="c", node_name="n", overflow="true"}"#);
        assert_eq!(streams.active.len(), 4 + 2 + 1);
        assert!(streams.seen.len() <= 8);
        let mut other = LogChunk { source: "path", ..chunk(&[("path", "p")]) };
        streams.admit(&mut other, Instant::now());
        assert_eq!(other.labels.get(OVERFLOW), None);
    }

    /// Scenario: budgets that make no sense.
    /// Guarantees: each is refused with its key.
    #[test]
    fn refused() {
        for (yaml, key) in [("most: 0", "streams.most"), ("idle: 10ms", "streams.idle")] {
            let config: Config = serde_yaml_ng::from_str(yaml).unwrap();
            assert!(config.check().is_err_and(|why| why.contains(key)));
        }
        Config::default().check().unwrap();
    }
}
