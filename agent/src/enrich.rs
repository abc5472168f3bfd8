//! Who the data is about: node and cluster on everything, and on a pod's lines what the directives know of the pod.
//!
//! Lines of a pod that the directives do not name yet wait at most [`Config::wait`], then go on without, counted.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// Labels of the pod that become labels of its streams: name on the pod -> name on the stream.
    pub pod_labels: HashMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Span::secs(5), pod_labels: HashMap::new() }
    }
}

/// Text that may wait for pods; beyond it the oldest chunk goes on without labels.
const HELD_BYTES: usize = 8 << 20;

/// Adds labels; holds the lines of unknown pods back.
pub(crate) struct Enricher {
    config: Config,
    node: Arc<Node>,
    pods: HashMap<String, Pod>,
    /// Pods whose lines have waited once: they do not wait again until directives change.
    waited: HashSet<String>,
    held: VecDeque<(Instant, LogChunk)>,
    held_bytes: usize,
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
        let mut pairs = vec![
            ("cluster".into(), self.node.cluster.as_str().into()),
            ("node_name".into(), self.node.name.as_str().into()),
        ];
        if let Some(wanted) = &chunk.pod {
            match self.pods.get(&wanted.uid) {
                Some(pod) => pairs.extend(self.pod_pairs(pod)),
                None => self.without += chunk.lines.len() as u64,
            }
        }
        // The source's own labels win.
        pairs.extend_from_slice(chunk.labels.pairs());
        chunk.labels = Labels::new(pairs);
        chunk
    }

    fn pod_pairs(&self, pod: &Pod) -> Vec<(Arc<str>, Arc<str>)> {
        let app = ["app.kubernetes.io/name", "app", "k8s-app"].iter().find_map(|l| pod.labels.get(*l));
        let app = app.unwrap_or(&pod.owner_name);
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = vec![("app".into(), app.as_str().into())];
        for (from, to) in &self.config.pod_labels {
            if let Some(value) = pod.labels.get(from) {
                pairs.push((to.as_str().into(), value.as_str().into()));
            }
        }
        pairs
    }
}

#[cfg(test)]
mod tests;
