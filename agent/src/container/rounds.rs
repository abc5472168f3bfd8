//! A round: a survey of which cgroups there are, then all groups of them, each a job of its own with a deadline in
//! common. What is late is left out of the round, and harms no other.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_common::admin::SharedRegistry;
use ao_proto::v1::Directives;

use super::config::{Config, Job};
use super::group::Group;
use super::hierarchy::Hierarchies;
use super::processes::Processes;
use super::reader::Reader;
use super::stats::Stats;
use super::survey::{Change, Found, Survey};
use crate::context::Roots;
use crate::event::MetricSet;
use crate::rounds::Crew;

/// The ledger's source.
const SOURCE: &str = "container";
/// A group that takes longer does not hold up the others.
const PATIENCE: Duration = Duration::from_millis(500);
/// Groups of pods; what is of no pod is a group of its own.
const GROUPS: usize = 8;

/// The labels that the kubelet's own series have.
const KUBELET: &[(&str, &str)] = &[("metrics_path", "/metrics/cadvisor")];

/// All that is remembered from round to round.
pub struct Containers {
    config: Config,
    roots: Arc<Roots>,
    groups: usize,
    crew: Crew<Task>,
    host: Option<Host>,
    stats: Stats,
}

/// Once there is a cgroup tree.
struct Host {
    /// Away while a survey is late.
    survey: Option<Box<Survey>>,
    slots: Vec<Slot>,
    /// A process of each container, as of the last scan.
    scanned: Arc<HashMap<String, u32>>,
}

/// A group's place.
struct Slot {
    name: String,
    /// Away while it is late.
    group: Option<Box<Group>>,
    /// What the surveys have found since.
    changes: Vec<Change>,
    /// Its last set was empty: another one would say nothing.
    ended: bool,
    /// Sizes of the last set, so that the next one grows only once.
    sizes: (usize, usize, usize),
}

/// Crosses threads.
enum Task {
    Survey { survey: Box<Survey>, directives: Arc<Directives>, scan: bool, found: Option<Found> },
    Group { slot: usize, group: Box<Group>, done: bool },
}

fn work(task: &mut Task) {
    match task {
        Task::Survey { survey, directives, scan, found } => *found = Some(survey.look(directives, *scan)),
        Task::Group { group, done, .. } => {
            group.read();
            *done = true;
        }
    }
}

impl Containers {
    /// Of the host with these roots.
    pub fn new(config: Config, roots: Roots) -> Self {
        Self {
            config,
            roots: Arc::new(roots),
            groups: GROUPS,
            crew: Crew::new("container", work),
            host: None,
            stats: Stats::new(),
        }
    }

    /// Everything in one set, for people.
    #[must_use]
    pub fn in_one_group(mut self) -> Self {
        self.groups = 0;
        self
    }

    /// Counts among the agent's own figures.
    pub(super) fn register(&self, registry: &SharedRegistry) {
        self.stats.register(registry);
    }

    /// One round, with the names in the directives: a set for each group that has anything. Blocks, for the deadline at
    /// the longest.
    pub fn round(&mut self, directives: &Arc<Directives>, at_ms: i64) -> Vec<MetricSet> {
        let begin = Instant::now();
        let more = match self.config.job {
            Job::Cadvisor => &[],
            Job::Kubelet => KUBELET,
        };
        if self.host.is_none() {
            let Some(hierarchies) = Hierarchies::find(&self.roots.sys) else {
                self.stats.no_cgroups(&self.roots.sys.join("fs/cgroup").display().to_string());
                return Vec::new();
            };
            self.host = Some(Host::new(&self.roots, Arc::new(hierarchies), &self.config, self.groups, more));
        }
        let good = self.survey(directives) && self.read(begin, at_ms);
        if !good {
            // What they remember may be broken.
            self.host = None;
            return Vec::new();
        }
        self.gather(at_ms)
    }

    /// Has the host surveyed; whether nothing panicked.
    fn survey(&mut self, directives: &Arc<Directives>) -> bool {
        let Some(host) = &mut self.host else { return false };
        let task = host.survey.take().map(|survey| Task::Survey {
            survey,
            directives: Arc::clone(directives),
            scan: host.slots.iter().any(|slot| slot.group.as_ref().is_some_and(|group| group.wants_scan)),
            found: None,
        });
        let finished = self.crew.run(task.into_iter().collect(), PATIENCE, self.config.deadline.0);
        for task in finished.done.into_iter().chain(finished.unbegun) {
            match task {
                Task::Survey { found: None, .. } => {
                    self.stats.panicked("survey");
                    return false;
                }
                Task::Survey { survey, found: Some(found), .. } => {
                    self.stats.found(found.reported, found.left_out);
                    host.survey = Some(survey);
                    host.hand_out(found);
                }
                // Late in an earlier round.
                Task::Group { slot, group, .. } => host.slots[slot].group = Some(group),
            }
        }
        if host.survey.is_none() {
            self.stats.late("survey");
        }
        true
    }

    /// Has all groups read that are at home; whether nothing panicked.
    fn read(&mut self, begin: Instant, at_ms: i64) -> bool {
        let Some(host) = &mut self.host else { return false };
        let job = match self.config.job {
            Job::Cadvisor => "cadvisor",
            Job::Kubelet => "kubelet",
        };
        let mut tasks = Vec::new();
        for (number, slot) in host.slots.iter_mut().enumerate() {
            let Some(mut group) = slot.group.take() else { continue };
            for change in slot.changes.drain(..) {
                group.apply(change);
            }
            group.scanned = Arc::clone(&host.scanned);
            group.set = MetricSet::new(SOURCE, job, at_ms);
            group.set.group.clone_from(&slot.name);
            group.set.samples.reserve(slot.sizes.0);
            group.set.labels.reserve(slot.sizes.1);
            group.set.arena.reserve(slot.sizes.2);
            tasks.push(Task::Group { slot: number, group, done: false });
        }
        let left = self.config.deadline.0.saturating_sub(begin.elapsed());
        let finished = self.crew.run(tasks, PATIENCE, left);
        for task in finished.done {
            match task {
                Task::Group { done: false, .. } => {
                    self.stats.panicked("group");
                    return false;
                }
                Task::Group { slot, group, .. } => host.slots[slot].group = Some(group),
                // It was late; what it found is handed out in the next round.
                Task::Survey { survey, found, .. } => {
                    host.survey = Some(survey);
                    host.hand_out(found.unwrap_or_default());
                }
            }
        }
        for task in finished.unbegun {
            if let Task::Group { slot, mut group, .. } = task {
                // It has nothing to say, and must not say that all is gone.
                group.set = MetricSet::default();
                host.slots[slot].group = Some(group);
                self.stats.late("group");
            }
        }
        true
    }

    /// The sets of those that were read in this round.
    fn gather(&mut self, at_ms: i64) -> Vec<MetricSet> {
        let Some(host) = &mut self.host else { return Vec::new() };
        let at_home = || host.slots.iter().filter_map(|slot| slot.group.as_ref());
        self.stats.unread(at_home().flat_map(|group| &group.failures));
        let late = host.slots.iter().filter(|slot| slot.group.is_none()).count();
        for _ in 0..late {
            self.stats.late("group");
        }
        if late == 0 && host.survey.is_some() {
            self.stats.in_time();
        }
        let mut sets = Vec::new();
        for slot in &mut host.slots {
            let Some(group) = &mut slot.group else { continue };
            let set = std::mem::take(&mut group.set);
            // Not begun, or of an earlier round.
            if set.source.is_empty() || set.at_ms != at_ms {
                continue;
            }
            slot.sizes = (set.samples.len(), set.labels.len(), set.arena.len());
            let ended = set.samples.is_empty();
            if !(ended && std::mem::replace(&mut slot.ended, ended)) {
                slot.ended = ended;
                sets.push(set);
            }
        }
        sets
    }
}

impl Host {
    fn new(
        roots: &Arc<Roots>,
        hierarchies: Arc<Hierarchies>,
        config: &Config,
        groups: usize,
        more: &'static [(&'static str, &'static str)],
    ) -> Self {
        let processes = Arc::new(Processes::new(roots));
        let reader = || Reader::new(Arc::clone(&hierarchies), Arc::clone(roots), Arc::clone(&processes));
        let survey =
            Survey::new(Arc::clone(roots), Arc::clone(&hierarchies), Arc::clone(&processes), config.most);
        let names = std::iter::once("node".to_owned()).chain((0..groups).map(|n| format!("pods-{n}")));
        let slots = names.map(|name| Slot {
            name,
            group: Some(Box::new(Group::new(reader(), more))),
            changes: Vec::new(),
            ended: true,
            sizes: (0, 0, 0),
        });
        let slots = slots.collect();
        Self { survey: Some(Box::new(survey)), slots, scanned: Arc::default() }
    }

    /// To the groups that they concern.
    fn hand_out(&mut self, found: Found) {
        if let Some(scanned) = found.scanned {
            self.scanned = Arc::new(scanned);
        }
        let groups = self.slots.len() - 1;
        for change in found.changes {
            let pod = match &change {
                Change::Vanished(_, pod) => pod.as_deref(),
                Change::Appeared(cgroup) | Change::Renamed(cgroup) => cgroup.pod.as_deref(),
            };
            let slot = pod.filter(|_| groups > 0).map_or(0, |pod| 1 + share(pod, groups));
            self.slots[slot].changes.push(change);
        }
    }
}

/// The same after a restart.
fn share(pod: &str, groups: usize) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(pod);
    usize::try_from(hash % groups as u64).unwrap_or(0)
}
