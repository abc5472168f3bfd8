//! What every line of a log file counts for, without a stage: how many lines of which level a workload writes, failed
//! log-ins, and templates of errors and warnings.
//!
//! | metric | labels beside the workload's (`namespace`, `app`, `container`, `job`) |
//! |---|---|
//! | `log_messages_total`, `log_bytes_total` | `level`: trace to critical, or unknown |
//! | `log_failed_logins_total` | `service`: sshd, pam, sudo, su, login, http |
//! | `log_template_total` | `template_id`, `level` |
//! | `log_template_info` | `template_id`, `text`; no workload |
//!
//! A line that a template was made of has its `template_id` as structured metadata, so that one gets from a spike of
//! the metric to its lines. A line of a failed log-in goes to a stream with the label `failed_login` (the service) and
//! has `login_user` and `login_address` as metadata: never as labels, since whoever tries chooses them.
//!
//! Lines are counted in arrays by number of their workload; only twice a second do the counts become series
//! ([`Rules::flush`]). What a line costs is `severity`'s look at its beginning and one search for log-ins.
//!
//! | room | what it holds |
//! |---|---|
//! | `logins` | what programs say of a failed log-in |
//! | `message` | a line's message, without what varies |
//! | `templates` | which messages are of one kind |

pub(crate) mod fuzzing;
mod logins;
mod message;
mod templates;

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ao_proto::model::{FileSpan, Labels, MetricType};
use serde::Deserialize;
use tokio::time::Instant;

use self::logins::{Login, Logins, SERVICES};
use self::templates::{OTHER, Templates};
use crate::event::{Line, LogChunk};
use crate::metrics::lines::{FamilyOptions, LineMetrics};
use crate::pipeline::api::Entry;
use crate::severity::{Level, NAMES};

/// Section `rules`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Count lines and bytes by workload and level.
    pub messages: bool,
    /// Count failed log-ins, and give their lines a stream of their own.
    pub failed_logins: bool,
    /// Make templates of errors and warnings.
    pub templates: bool,
    /// Templates at a time (1 to 5,000); what has none then counts as `template_id="other"`.
    pub most_templates: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { messages: true, failed_logins: true, templates: true, most_templates: 500 }
    }
}

impl Config {
    /// What the file's form alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if (1..=5_000).contains(&self.most_templates) {
            return Ok(());
        }
        Err(format!("rules.most_templates is {}, which is not between 1 and 5000", self.most_templates))
    }
}

/// Streams and workloads that are remembered; beyond it, all are found again.
const KNOWN: usize = 4_096;
/// A workload that has written nothing for so long has no series any more.
const IDLE: Duration = Duration::from_secs(3_600);
/// [`NAMES`], and lines that say nothing.
const LEVELS: usize = NAMES.len() + 1;
/// Labels of a stream that say which workload it is of.
const WORKLOAD: [&str; 4] = ["namespace", "app", "container", "job"];

/// See the file's head.
pub(crate) struct Rules {
    config: Config,
    metrics: Arc<LineMetrics>,
    families: Families,
    /// Made with the first line: a host whose logs nobody reads needs none.
    logins: LazyCell<Option<Logins>>,
    templates: Templates,
    /// By where their labels lie.
    streams: HashMap<usize, Stream>,
    by_labels: HashMap<Labels, usize>,
    workloads: Vec<Workload>,
    /// Lines by workload, template (none: [`OTHER`]) and level.
    of_templates: HashMap<(usize, Option<u32>, usize), u64>,
    masked: String,
}

/// Numbers of the metrics.
struct Families {
    messages: Option<usize>,
    bytes: Option<usize>,
    logins: Option<usize>,
    templates: Option<usize>,
    texts: Option<usize>,
}

struct Stream {
    /// Kept so that no others come to lie there.
    labels: Labels,
    workload: usize,
    /// Labels of its failed log-ins, by service.
    failed: BTreeMap<usize, Labels>,
}

struct Workload {
    labels: Labels,
    /// Since the last flush.
    lines: [u64; LEVELS],
    bytes: [u64; LEVELS],
    logins: [u64; SERVICES.len()],
    changed: bool,
}

impl Rules {
    pub(crate) fn new(config: Config, metrics: &Arc<LineMetrics>) -> Self {
        let counter = |wanted: bool, name: &str, help: &str, kind| {
            let options = FamilyOptions {
                name: name.to_owned(),
                help: help.to_owned(),
                kind,
                buckets: Vec::new(),
                idle: IDLE,
                from_zero: kind == MetricType::Counter,
            };
            if wanted { metrics.family(options) } else { None }
        };
        let Config { messages, failed_logins, templates, most_templates } = config;
        let count = MetricType::Counter;
        let families = Families {
            messages: counter(messages, "log_messages_total", "Log lines by level", count),
            bytes: counter(messages, "log_bytes_total", "Bytes of log lines by level", count),
            logins: counter(
                failed_logins,
                "log_failed_logins_total",
                "Log-ins that failed, by the program that says so",
                count,
            ),
            templates: counter(
                templates,
                "log_template_total",
                "Errors and warnings by the template of their text",
                count,
            ),
            texts: counter(templates, "log_template_info", "The text of a template", MetricType::Gauge),
        };
        // The phrases are ours: they make an expression, which a test holds.
        let logins: fn() -> _ = if failed_logins { || Logins::new().ok() } else { || None };
        Self {
            config,
            metrics: Arc::clone(metrics),
            families,
            logins: LazyCell::new(logins),
            templates: Templates::new(most_templates),
            streams: HashMap::new(),
            by_labels: HashMap::new(),
            workloads: Vec::new(),
            of_templates: HashMap::new(),
            masked: String::new(),
        }
    }

    /// Looks at every line of a chunk. What it returns goes before the rest of it, into the same frame: the lines of
    /// failed log-ins, by stream.
    pub(crate) fn take(&mut self, chunk: &mut LogChunk) -> Vec<LogChunk> {
        let Config { messages, failed_logins, templates, .. } = self.config;
        if chunk.source != "logs" || chunk.lines.is_empty() || !(messages || failed_logins || templates) {
            return Vec::new();
        }
        let place = self.stream(&chunk.labels);
        let Some(workload) = self.streams.get(&place).map(|stream| stream.workload) else {
            return Vec::new();
        };
        let counts = &mut self.workloads[workload];
        counts.changed = true;
        let (mut from, mut now, mut failed) = (0, None, Vec::new());
        for (number, line) in chunk.lines.iter_mut().enumerate() {
            let text = &chunk.text[from..from + line.len as usize];
            from += line.len as usize;
            let level =
                if messages || templates { said(line).or_else(|| Level::of_line(text)) } else { None };
            let index = level.map_or(NAMES.len(), |level| level as usize);
            counts.lines[index] += 1;
            counts.bytes[index] += text.len() as u64;
            if let Some(login) = self.logins.as_ref().and_then(|logins| logins.find(text)) {
                counts.logins[login.service] += login.attempts;
                login.describe(line);
                failed.push((number, login.service));
            }
            if templates && level >= Some(Level::Warn) {
                message::mask(text, &mut self.masked);
                if self.masked.is_empty() {
                    continue;
                }
                let now = *now.get_or_insert_with(Instant::now);
                let template = self.templates.find(&self.masked, now);
                *self.of_templates.entry((workload, template, index)).or_default() += 1;
                let id = template.and_then(|number| self.templates.get(number)).map(|template| &*template.id);
                describe(line, "template_id", id.unwrap_or(OTHER));
            }
        }
        if failed.is_empty() { Vec::new() } else { self.part(chunk, place, &failed) }
    }

    /// What becomes of one line, for people to look at.
    pub(crate) fn see(&mut self, entry: &mut Entry) {
        let line = Line { len: u32::try_from(entry.line.len()).unwrap_or_default(), ..Line::default() };
        let mut chunk = LogChunk {
            source: "logs",
            labels: entry.labels.clone(),
            shared: entry.shared.clone(),
            pod: None,
            file: None,
            bytes: 0,
            lines: vec![line],
            text: entry.line.clone(),
            dropped: Vec::new(),
        };
        for chunk in self.take(&mut chunk).into_iter().chain([chunk]).filter(|chunk| !chunk.lines.is_empty())
        {
            entry.labels = chunk.labels;
            entry.metadata.extend(chunk.lines.into_iter().flat_map(|line| line.metadata.into_vec()));
        }
    }

    /// The key of a stream.
    fn stream(&mut self, labels: &Labels) -> usize {
        let place = labels.pairs().as_ptr().addr();
        if self.streams.get(&place).is_some_and(|known| known.labels == *labels) {
            return place;
        }
        if self.streams.len() >= KNOWN || self.workloads.len() >= KNOWN {
            self.flush();
            self.streams.clear();
            self.by_labels.clear();
            self.workloads.clear();
        }
        let of = labels.pairs().iter().filter(|(name, _)| WORKLOAD.contains(&&**name));
        let of = Labels::new(of.cloned().collect());
        let next = self.workloads.len();
        let workload = *self.by_labels.entry(of.clone()).or_insert(next);
        if workload == next {
            self.workloads.push(Workload {
                labels: of,
                lines: [0; LEVELS],
                bytes: [0; LEVELS],
                logins: [0; SERVICES.len()],
                changed: false,
            });
        }
        self.streams.insert(place, Stream { labels: labels.clone(), workload, failed: BTreeMap::new() });
        place
    }

    /// Takes these lines out of a chunk: they go into streams of their own, without a part of the file.
    fn part(&mut self, chunk: &mut LogChunk, place: usize, failed: &[(usize, usize)]) -> Vec<LogChunk> {
        let Some(stream) = self.streams.get_mut(&place) else { return Vec::new() };
        let mut parted: Vec<(usize, LogChunk)> = Vec::new();
        let (lines, text) = (std::mem::take(&mut chunk.lines), std::mem::take(&mut chunk.text));
        let (mut from, mut failed) = (0, failed.iter().copied().peekable());
        for (number, line) in lines.into_iter().enumerate() {
            let piece = &text[from..from + line.len as usize];
            from += line.len as usize;
            let target = match failed.next_if(|(at, _)| *at == number) {
                None => &mut *chunk,
                Some((_, service)) => {
                    let at = parted.iter().position(|(of, _)| *of == service).unwrap_or_else(|| {
                        let labels = stream.failed.entry(service).or_insert_with(|| {
                            let mut pairs = stream.labels.pairs().to_vec();
                            pairs.push(("failed_login".into(), SERVICES[service].into()));
                            Labels::new(pairs)
                        });
                        parted.push((service, empty(chunk, labels.clone())));
                        parted.len() - 1
                    });
                    &mut parted[at].1
                }
            };
            target.text.push_str(piece);
            target.lines.push(line);
        }
        parted.into_iter().map(|(_, chunk)| chunk).collect()
    }

    /// Brings what was counted into the series.
    pub(crate) fn flush(&mut self) {
        let with = |labels: &Labels, more: &[(&str, &str)]| {
            let pairs = more.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value)));
            Labels::new(labels.pairs().iter().cloned().chain(pairs).collect())
        };
        let add = |family: Option<usize>, labels: &Labels, count: u64| {
            if let Some(family) = family {
                self.metrics.record(family, labels, |series| series.add(count as f64));
            }
        };
        for ((workload, template, level), count) in std::mem::take(&mut self.of_templates) {
            let Some(workload) = self.workloads.get(workload) else { continue };
            let template = template.and_then(|number| self.templates.get(number));
            let id = template.map_or(OTHER, |template| &*template.id);
            let text = template.map_or("of no template: there are too many", |template| &*template.text);
            let labels = with(&workload.labels, &[("template_id", id), ("level", NAMES[level])]);
            add(self.families.templates, &labels, count);
            if let Some(family) = self.families.texts {
                let labels = Labels::from_pairs([("template_id", id), ("text", text)]);
                self.metrics.record(family, &labels, |series| series.set(1.0));
            }
        }
        for workload in self.workloads.iter_mut().filter(|workload| workload.changed) {
            workload.changed = false;
            let (lines, bytes) = (std::mem::take(&mut workload.lines), std::mem::take(&mut workload.bytes));
            for (level, (lines, bytes)) in lines.into_iter().zip(bytes).enumerate() {
                if lines > 0 && self.config.messages {
                    let level = NAMES.get(level).copied().unwrap_or("unknown");
                    let labels = with(&workload.labels, &[("level", level)]);
                    add(self.families.messages, &labels, lines);
                    add(self.families.bytes, &labels, bytes);
                }
            }
            for (service, count) in std::mem::take(&mut workload.logins).into_iter().enumerate() {
                if count > 0 {
                    let labels = with(&workload.labels, &[("service", SERVICES[service])]);
                    add(self.families.logins, &labels, count);
                }
            }
        }
    }
}

/// A chunk of no lines that goes before `chunk`.
fn empty(chunk: &LogChunk, labels: Labels) -> LogChunk {
    LogChunk {
        source: chunk.source,
        labels,
        shared: chunk.shared.clone(),
        pod: chunk.pod.clone(),
        file: chunk.file.map(|span| FileSpan { end: span.start, ..span }),
        bytes: 0,
        lines: Vec::new(),
        text: String::new(),
        dropped: Vec::new(),
    }
}

/// The level that a line's source knows of it.
fn said(line: &Line) -> Option<Level> {
    let level = line.metadata.iter().find(|(name, _)| &**name == "level")?;
    Level::of_word(level.1.as_bytes())
}

impl Login<'_> {
    fn describe(&self, line: &mut Line) {
        for (name, value) in [("login_user", self.user), ("login_address", self.address)] {
            if let Some(value) = value {
                describe(line, name, value);
            }
        }
    }
}

/// Adds a pair of structured metadata.
fn describe(line: &mut Line, name: &str, value: &str) {
    let pair = (name.into(), value.into());
    if line.metadata.is_empty() {
        line.metadata = Box::new([pair]);
    } else {
        let mut pairs = std::mem::take(&mut line.metadata).into_vec();
        pairs.push(pair);
        line.metadata = pairs.into();
    }
}

#[cfg(test)]
mod tests;
