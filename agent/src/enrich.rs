//! Who the data is about: node and cluster on everything, and on a pod's lines what the directives know of the pod.
//!
//! Lines of a pod that the directives do not name yet wait at most [`Config::wait`], then go on without, counted.
//!
//! A known pod's streams have `app` and `job` as Promtail's chart sets them: `app` is the pod's label
//! `app.kubernetes.io/name`, else `app`, else the workload that owns the pod, else the pod's name; `job` is
//! `NAMESPACE/APP`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ao_common::units::Span;
use ao_proto::model::{FileId, Labels};
use ao_proto::v1::{Directives, Pod};
use serde::Deserialize;
use tokio::time::{Duration, Instant};

use crate::context::Node;
use crate::event::{LogChunk, PodRef};

/// Section `enrich`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long lines of an unknown pod wait for its labels.
    pub wait: Span,
    /// Labels of the pod that become labels of its streams: name on the pod -> name on the stream. Where several become
    /// the same one, the first in order of their names counts.
    pub pod_labels: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Span::secs(5), pod_labels: BTreeMap::new() }
    }
}

/// Text that may wait for pods; beyond it the oldest chunk goes on without labels.
const HELD_BYTES: usize = 8 << 20;

/// Streams whose labels are kept; beyond it, all are made again.
const STREAMS: usize = 4_096;

/// A stream whose labels were made.
struct Stream {
    /// The source's own, kept so that no others come to lie there.
    own: Labels,
    pod: Option<PodRef>,
    made: Labels,
    /// Its pod is not known.
    without: bool,
}

/// Adds labels; holds the lines of unknown pods back.
pub(crate) struct Enricher {
    config: Config,
    node: Arc<Node>,
    pods: HashMap<String, Pod>,
    /// Pods whose lines have waited once: they do not wait again until directives change.
    waited: HashSet<String>,
    held: VecDeque<(Instant, LogChunk)>,
    held_bytes: usize,
    /// The labels made of a source's own, by where these lie: a file's chunks share theirs, so that the ones made are
    /// shared, too.
    streams: HashMap<usize, Stream>,
    /// Lines that went on without their pod's labels.
    pub(crate) without: u64,
}

impl Enricher {
    pub(crate) fn new(config: Config, node: Arc<Node>) -> Self {
        Self {
            config,
            node,
            pods: HashMap::new(),
            waited: HashSet::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            streams: HashMap::new(),
            without: 0,
        }
    }

    /// Labels that all metrics of a job carry.
    pub(crate) fn metric_base(&self, job: &str, instance: Option<&str>) -> Vec<(Arc<str>, Arc<str>)> {
        let pair = |name: &str, value: &str| (Arc::from(name), Arc::from(value));
        vec![
            pair("job", job),
            pair("instance", instance.unwrap_or(&self.node.name)),
            pair("node", &self.node.name),
            pair("cluster", &self.node.cluster),
        ]
    }

    /// Newer directives: what waited for them is returned, enriched, in order.
    pub(crate) fn directives(&mut self, directives: &Directives) -> Vec<LogChunk> {
        self.pods = directives.pods.iter().map(|pod| (pod.uid.clone(), pod.clone())).collect();
        self.waited.clear();
        self.streams.clear();
        let (ready, held) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, c)| self.is_known(c.pod.as_ref()));
        self.held = held;
        self.release(ready)
    }

    /// Takes a chunk; returns what can go on, in order: nothing where it must wait for its pod.
    pub(crate) fn logs(&mut self, chunk: LogChunk) -> Vec<LogChunk> {
        // Also before the first directives: they may be on their way.
        let must_wait = chunk.pod.as_ref().is_some_and(|pod| {
            let behind_others = || self.held.iter().any(|(_, held)| held.pod.as_ref() == Some(pod));
            !self.pods.contains_key(&pod.uid) && (!self.waited.contains(&pod.uid) || behind_others())
        });
        if !must_wait {
            return vec![self.finish(chunk)];
        }
        self.held_bytes += chunk.text.len();
        self.held.push_back((Instant::now() + self.config.wait.0, chunk));
        let mut out = Vec::new();
        while self.held_bytes > HELD_BYTES {
            let Some((_, oldest)) = self.held.front() else { break };
            out.extend(self.give_up(oldest.pod.clone()));
        }
        out
    }

    /// Lines of this file wait.
    pub(crate) fn holds(&self, file: FileId) -> bool {
        self.held.iter().any(|(_, chunk)| chunk.file.as_ref().is_some_and(|span| span.file == file))
    }

    /// When [`Enricher::due`] has something.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.held.front().map(|(at, _)| *at)
    }

    /// What has waited long enough.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<LogChunk> {
        let mut out = Vec::new();
        while let Some((_, chunk)) = self.held.front().filter(|(at, _)| *at <= now) {
            out.extend(self.give_up(chunk.pod.clone()));
        }
        out
    }

    /// Everything, at the end of the run.
    pub(crate) fn drain(&mut self) -> Vec<LogChunk> {
        self.due(Instant::now() + self.config.wait.0 + Duration::from_secs(1))
    }

    /// All of a pod's lines go on together, so that they stay in order.
    fn give_up(&mut self, pod: Option<PodRef>) -> Vec<LogChunk> {
        if let Some(pod) = &pod {
            self.waited.insert(pod.uid.clone());
        }
        let (ready, held) = std::mem::take(&mut self.held).into_iter().partition(|(_, c)| c.pod == pod);
        self.held = held;
        self.release(ready)
    }

    fn release(&mut self, ready: VecDeque<(Instant, LogChunk)>) -> Vec<LogChunk> {
        let chunks = ready.into_iter().map(|(_, chunk)| {
            self.held_bytes -= chunk.text.len();
            chunk
        });
        chunks.collect::<Vec<_>>().into_iter().map(|chunk| self.finish(chunk)).collect()
    }

    fn is_known(&self, pod: Option<&PodRef>) -> bool {
        pod.is_none_or(|pod| self.pods.contains_key(&pod.uid))
    }

    fn finish(&mut self, mut chunk: LogChunk) -> LogChunk {
        let place = chunk.labels.pairs().as_ptr().addr();
        let known =
            self.streams.get(&place).filter(|known| known.own == chunk.labels && known.pod == chunk.pod);
        let (labels, without) = match known {
            Some(known) => (known.made.clone(), known.without),
            None => {
                if self.streams.len() >= STREAMS {
                    self.streams.clear();
                }
                let (made, without) = self.labels(&chunk);
                if chunk.file.is_some() {
                    let own = std::mem::take(&mut chunk.labels);
                    let stream = Stream { own, pod: chunk.pod.clone(), made: made.clone(), without };
                    self.streams.insert(place, stream);
                }
                (made, without)
            }
        };
        if without {
            self.without += chunk.lines.len() as u64;
        }
        chunk.labels = labels;
        chunk
    }

    /// All labels of a chunk's stream, and whether its pod's are missing.
    fn labels(&self, chunk: &LogChunk) -> (Labels, bool) {
        let pod = chunk.pod.as_ref().map(|wanted| self.pods.get(&wanted.uid));
        let mut pairs = vec![
            ("cluster".into(), self.node.cluster.as_str().into()),
            ("node_name".into(), self.node.name.as_str().into()),
        ];
        pairs.extend(pod.flatten().map(|pod| self.configured(pod)).unwrap_or_default());
        // The source's own labels win, but for what only the pod itself can say.
        pairs.extend_from_slice(chunk.labels.pairs());
        if let (Some(Some(pod)), Some(path)) = (pod, &chunk.pod) {
            let app = app(pod, path);
            pairs.push(("job".into(), format!("{}/{app}", path.namespace).into()));
            pairs.push(("app".into(), app.into()));
        }
        (Labels::new(pairs), pod == Some(None))
    }

    /// Labels of the pod that the configuration names.
    fn configured(&self, pod: &Pod) -> Vec<(Arc<str>, Arc<str>)> {
        // Of a name that comes twice, the last stays.
        let chosen = self.config.pod_labels.iter().rev();
        let pair = |(from, to): (&String, &String)| {
            Some((Arc::from(to.as_str()), Arc::from(pod.labels.get(from)?.as_str())))
        };
        chosen.filter_map(pair).collect()
    }
}

/// The application that a pod belongs to.
fn app<'a>(pod: &'a Pod, path: &'a PodRef) -> &'a str {
    let label = |name: &str| pod.labels.get(name).map(String::as_str);
    let all =
        [label("app.kubernetes.io/name"), label("app"), Some(workload(&pod.owner_name)), Some(&path.name)];
    all.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_default()
}

/// The name of a workload without the hash that a Deployment or a CronJob gives its ReplicaSets and Jobs: 8 to 10
/// hexadecimal digits (Promtail's chart, `kubernetes-pods-app`).
fn workload(owner: &str) -> &str {
    let is_hash = |hash: &str| {
        (8..=10).contains(&hash.len())
            && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match owner.rsplit_once('-') {
        Some((name, hash)) if !name.is_empty() && is_hash(hash) => name,
        _ => owner,
    }
}

#[cfg(test)]
mod tests;
