//! What a source hands on: a set of samples, a chunk of log lines, or spans.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use ao_proto::model::{FileId, FileSpan, Labels, MetricType};
use bytes::Bytes;
use tokio::sync::oneshot;

/// One hand-over from a source.
#[derive(Debug)]
pub enum Event {
    /// Samples of one time.
    Metrics(MetricSet),
    /// Lines of one stream.
    Logs(LogChunk),
    /// OTLP spans.
    Spans(SpanChunk),
    /// A log file is gone and read to its end: its checkpoint need not be kept.
    Forget(FileId),
}

/// Samples of one time from one source. Texts lie in one arena, so that a collection allocates next to nothing.
///
/// A sample's own labels win over those that enrichment adds (`job`, `instance`, `node`, `cluster`).
/// Series that were in the source's last set with the same `group` and are not in this one get a staleness marker.
#[derive(Clone, Debug, Default)]
pub struct MetricSet {
    /// The ledger's source: "collector", "latency", ...
    pub source: &'static str,
    /// Sets with the same (source, group) are rounds of the same series, e.g. one latency target.
    pub group: String,
    /// The `job` label.
    pub job: &'static str,
    /// The `instance` label; `None` for the node's name.
    pub instance: Option<String>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Metadata by number.
    pub families: Vec<FamilyText>,
    /// The samples.
    pub samples: Vec<SampleText>,
    /// Labels by number, as ranges of the arena.
    pub labels: Vec<(Range<u32>, Range<u32>)>,
    /// All names, help texts and label values.
    pub arena: String,
    /// The family that was asked for last: those of a device are asked for in the same order as those of the one before.
    last: usize,
}

/// A family, its texts in the arena.
#[derive(Clone, Debug)]
pub struct FamilyText {
    /// Name.
    pub name: Range<u32>,
    /// Help.
    pub help: Range<u32>,
    /// Type.
    pub kind: MetricType,
}

/// A sample, its texts in the arena.
#[derive(Clone, Debug)]
pub struct SampleText {
    /// Index of its family.
    pub family: u32,
    /// What follows the family's name in the series' name: "", "_bucket", "_sum", "_count".
    pub suffix: &'static str,
    /// Range of [`MetricSet::labels`].
    pub labels: Range<u32>,
    /// The value.
    pub value: f64,
}

/// Number of a family within its set.
#[derive(Clone, Copy, Debug)]
pub struct FamilyRef(u32);

/// Labels that lie in a set once, for many of its samples.
#[derive(Clone, Debug)]
pub struct SharedLabels(Range<u32>);

impl MetricSet {
    /// An empty set.
    pub fn new(source: &'static str, job: &'static str, at_ms: i64) -> Self {
        Self { source, job, at_ms, ..Self::default() }
    }

    /// Declares a family; its samples follow. Declaring a name again gives the same family.
    pub fn family(&mut self, name: &str, kind: MetricType, help: &str) -> FamilyRef {
        let is = |f: &FamilyText| self.text(&f.name) == name;
        let next = self.last + 1;
        let known = match self.families.get(next) {
            Some(family) if is(family) => Some(next),
            _ => self.families.iter().rposition(is),
        };
        self.last = known.unwrap_or(self.families.len());
        if known.is_none() {
            let family = FamilyText { name: self.put(name), help: self.put(help), kind };
            self.families.push(family);
        }
        FamilyRef(self.last as u32)
    }

    /// Adds a sample.
    pub fn push(&mut self, family: FamilyRef, labels: &[(&str, &str)], value: f64) {
        self.push_suffixed(family, "", labels, value);
    }

    /// Adds a sample of a histogram or summary.
    pub fn push_suffixed(
        &mut self,
        family: FamilyRef,
        suffix: &'static str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let labels = self.share(labels).0;
        self.samples.push(SampleText { family: family.0, suffix, labels, value });
    }

    /// Puts labels into the set that several samples have in common.
    pub fn share(&mut self, labels: &[(&str, &str)]) -> SharedLabels {
        let first = self.labels.len() as u32;
        for (name, value) in labels {
            let pair = (self.put(name), self.put(value));
            self.labels.push(pair);
        }
        SharedLabels(first..self.labels.len() as u32)
    }

    /// Adds a sample with labels shared by others, and `more` of its own.
    pub fn push_shared(
        &mut self,
        family: FamilyRef,
        shared: &SharedLabels,
        more: &[(&str, &str)],
        value: f64,
    ) {
        self.push_shared_suffixed(family, "", shared, more, value);
    }

    /// The same for a sample of a histogram or summary.
    pub fn push_shared_suffixed(
        &mut self,
        family: FamilyRef,
        suffix: &'static str,
        shared: &SharedLabels,
        more: &[(&str, &str)],
        value: f64,
    ) {
        let labels = match more {
            [] => shared.0.clone(),
            more => {
                let first = self.labels.len() as u32;
                self.labels.extend_from_within(shared.0.start as usize..shared.0.end as usize);
                first..self.share(more).0.end
            }
        };
        self.samples.push(SampleText { family: family.0, suffix, labels, value });
    }

    /// A family with exactly one sample.
    pub fn one(&mut self, name: &str, kind: MetricType, help: &str, value: f64) {
        let family = self.family(name, kind, help);
        self.push(family, &[], value);
    }

    /// A text of the arena.
    pub fn text(&self, range: &Range<u32>) -> &str {
        &self.arena[range.start as usize..range.end as usize]
    }

    /// The labels of a sample.
    pub fn labels_of(&self, sample: &SampleText) -> impl Iterator<Item = (&str, &str)> {
        self.labels[sample.labels.start as usize..sample.labels.end as usize]
            .iter()
            .map(|(name, value)| (self.text(name), self.text(value)))
    }

    /// The Prometheus text format, for people and tests: families in order of their names.
    pub fn exposition(&self) -> String {
        let mut order: Vec<usize> = (0..self.families.len()).collect();
        order.sort_by_key(|&i| self.text(&self.families[i].name));
        let mut samples: Vec<&SampleText> = self.samples.iter().collect();
        // Stable: within a family they stay as they came.
        samples.sort_by_key(|sample| sample.family);
        let mut out = String::with_capacity(self.samples.len() * 80 + self.families.len() * 120);
        let mut before = "";
        for i in order {
            let family = &self.families[i];
            let name = self.text(&family.name);
            let kind = match family.kind {
                MetricType::Counter => "counter",
                MetricType::Gauge | MetricType::Info => "gauge",
                MetricType::Histogram => "histogram",
                MetricType::Summary => "summary",
                MetricType::Unknown => "untyped",
            };
            let help = self.text(&family.help).replace('\\', "\\\\").replace('\n', "\\n");
            // Two collectors may have the same metric, such as one that a file gives: its head is printed once.
            if name != before {
                // Writing to a String cannot fail.
                let _ok = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            before = name;
            let first = samples.partition_point(|sample| (sample.family as usize) < i);
            for sample in samples[first..].iter().take_while(|sample| sample.family as usize == i) {
                out.push_str(name);
                out.push_str(sample.suffix);
                for (n, (label, value)) in self.labels_of(sample).enumerate() {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    let _ok = write!(out, "{}{label}=\"{value}\"", if n == 0 { '{' } else { ',' });
                }
                if !sample.labels.is_empty() {
                    out.push('}');
                }
                let _ok = writeln!(out, " {}", number(sample.value));
            }
        }
        out
    }

    fn put(&mut self, text: &str) -> Range<u32> {
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        start..self.arena.len() as u32
    }
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v == f64::INFINITY => "+Inf".to_owned(),
        v if v == f64::NEG_INFINITY => "-Inf".to_owned(),
        v => v.to_string(),
    }
}

/// The most bytes (texts and [`Line`]s) of chunks that must be in one frame, see [`LogChunk::file`]. They fit into one
/// whatever their bytes are.
pub const MOST_TOGETHER: usize = 3 << 20;

/// Consecutive lines of one stream.
#[derive(Clone, Debug)]
pub struct LogChunk {
    /// The ledger's source: "logs", "path", ...
    pub source: &'static str,
    /// The stream's labels as far as the source knows them; enrichment adds the pod's and the node's.
    pub labels: Labels,
    /// Structured metadata that all of the stream's lines have: it is sent once for many of them.
    pub shared: Labels,
    /// The pod that wrote them, for enrichment.
    pub pod: Option<PodRef>,
    /// What part of which file these lines are. Lines with an empty span are covered by the next span of that file
    /// that is not empty, and go into the same frame as that one.
    pub file: Option<FileSpan>,
    /// Bytes read for them, for the ledger (line ends and format heads included; not those of lines that were dropped).
    pub bytes: u64,
    /// The lines.
    pub lines: Vec<Line>,
    /// Their texts, one behind the other.
    pub text: String,
    /// Lines of this part of the file that the pipeline's stages left out, and bytes of it that are never read.
    pub dropped: Vec<Dropped>,
}

impl LogChunk {
    /// What was read in this part of a file, yet without lines.
    pub fn of_file(span: FileSpan, labels: Labels) -> Self {
        Self {
            source: "logs",
            labels,
            shared: Labels::default(),
            pod: None,
            file: Some(span),
            bytes: 0,
            lines: Vec::new(),
            text: String::new(),
            dropped: Vec::new(),
        }
    }

    /// A line of our own, of no file.
    pub fn one(source: &'static str, labels: Labels, text: String, at_ns: i64) -> Self {
        let line = Line { at_ns, len: u32::try_from(text.len()).unwrap_or(u32::MAX), ..Line::default() };
        Self {
            source,
            labels,
            shared: Labels::default(),
            pod: None,
            file: None,
            bytes: text.len() as u64,
            lines: vec![line],
            text,
            dropped: Vec::new(),
        }
    }
}

/// Why bytes of log files are dropped that nobody has read; their number of lines is not known.
pub const ABANDONED: &str = "abandoned";

/// Lines that go no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why, for the ledger.
    pub reason: Arc<str>,
    /// How many.
    pub records: u64,
    /// Bytes that were read for them.
    pub bytes: u64,
}

/// One line of a chunk.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Nanoseconds since 1970.
    pub at_ns: i64,
    /// Bytes of the chunk's text; it begins where the line before it ends.
    pub len: u32,
    /// Where it ends in its file, bytes behind the start of the chunk's span.
    pub end: u32,
    /// Bytes of the file that it was read from, its head and end included.
    pub raw: u32,
    /// Structured metadata; most lines have none, and an empty box costs nothing.
    pub metadata: Box<[(Box<str>, Box<str>)]>,
}

/// A pod as the path of its log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Container.
    pub container: String,
}

/// An OTLP `ExportTraceServiceRequest`, encoded.
#[derive(Debug)]
pub struct SpanChunk {
    /// The ledger's source: "otlp", "path", ...
    pub source: &'static str,
    /// Spans in it.
    pub spans: u64,
    /// Oldest start and newest end, nanoseconds.
    pub times_ns: (i64, i64),
    /// The encoded request.
    pub request: Bytes,
    /// Resolved when the spans are in the spool, fsynced: only then does the receiver answer its client.
    pub stored: Option<oneshot::Sender<()>>,
}
