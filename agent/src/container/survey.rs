//! Which cgroups are to be reported, and what they are called: compared with the round before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ao_proto::v1::Directives;

use super::cgroup::{Cgroup, Limits};
use super::hierarchy::Hierarchies;
use super::names::Names;
use super::path::{self, Kind};
use super::processes::Processes;
use super::tree::Tree;
use crate::context::Roots;

/// A cgroup whose names nobody knows yet waits for so many rounds; then it goes on without them.
const PATIENCE: u8 = 1;
/// For so many rounds its names are looked for again.
const RETRIES: u8 = 20;

/// See the file's text. Lives from round to round.
pub(super) struct Survey {
    roots: Arc<Roots>,
    hierarchies: Arc<Hierarchies>,
    processes: Arc<Processes>,
    scans: Scans,
    tree: Tree,
    names: Names,
    directives: Option<Arc<Directives>>,
    /// What is reported or waits for its names.
    cgroups: BTreeMap<String, Known>,
    most: usize,
    turn: usize,
}

/// One cgroup.
struct Known {
    /// Rounds in which its names were looked for in vain; `None` once they are known.
    asked: Option<u8>,
    /// Those under whose labels it is reported.
    labels: Option<Vec<(&'static str, String)>>,
}

/// What is different from the round before, in the order in which it must be done.
#[derive(Debug)]
pub(super) enum Change {
    /// It is gone, or another by the same name comes next.
    Vanished(String, Option<String>),
    /// It is new.
    Appeared(Box<Cgroup>),
    /// It has other labels.
    Renamed(Box<Cgroup>),
}

/// What a survey gives.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) changes: Vec<Change>,
    /// Cgroups that are reported.
    pub(super) reported: usize,
    /// Those that are not, being too many.
    pub(super) left_out: u64,
    /// A process of each container, where they were looked for.
    pub(super) scanned: Option<HashMap<String, u32>>,
}

/// When to look for processes, which costs a file for each of the host's: in the round after one was missed, and while
/// that does not help ever more seldom.
struct Scans {
    /// Rounds.
    due_in: u32,
    pause: u32,
    /// In any case, once.
    needed: bool,
}

/// Rounds between two scans that do not help, at the longest.
const LONGEST_PAUSE: u32 = 20;

impl Scans {
    fn is_due(&mut self, wanted: bool) -> bool {
        let wanted = wanted || std::mem::take(&mut self.needed);
        self.due_in = self.due_in.saturating_sub(1);
        if !wanted {
            self.pause = 1;
            return false;
        }
        if self.due_in > 0 {
            return false;
        }
        self.due_in = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

impl Survey {
    /// Of at most so many cgroups.
    pub(super) fn new(
        roots: Arc<Roots>,
        hierarchies: Arc<Hierarchies>,
        processes: Arc<Processes>,
        most: usize,
    ) -> Self {
        let scans = Scans { due_in: 0, pause: 1, needed: !processes.same_namespace() };
        let (tree, names, cgroups) = (Tree::default(), Names::default(), BTreeMap::new());
        Self { roots, hierarchies, processes, scans, tree, names, directives: None, cgroups, most, turn: 0 }
    }

    /// Looks at the host once more; where `scan`, also for processes.
    pub(super) fn look(&mut self, directives: &Arc<Directives>, scan: bool) -> Found {
        let news = !self.directives.as_ref().is_some_and(|known| Arc::ptr_eq(known, directives));
        if news {
            self.names.take(directives);
            self.directives = Some(Arc::clone(directives));
        }
        self.names.begin();
        let walked = self.tree.walk(&self.hierarchies);
        let scanned = self.scans.is_due(scan).then(|| self.processes.scan());
        let mut found = Found { left_out: walked.left_out, scanned, ..Found::default() };
        for id in walked.vanished {
            let pod = path::read(&id).pod;
            if path::read(&id).kind == Kind::Pod
                && let Some(pod) = &pod
            {
                self.names.forget(pod);
            }
            if self.cgroups.remove(&id).is_some_and(|known| known.labels.is_some()) {
                found.changes.push(Change::Vanished(id, pod));
            }
        }
        for id in walked.appeared {
            if self.cgroups.len() < self.most {
                self.cgroups.insert(id, Known { asked: Some(0), labels: None });
            } else {
                found.left_out += 1;
            }
        }
        for (id, known) in &mut self.cgroups {
            let retry = known.asked.is_some_and(|asked| asked < RETRIES);
            if !news && !retry {
                continue;
            }
            let said = path::read(id);
            let named = self.names.name(id, &said, &self.roots.root);
            known.asked = match (named.complete, known.asked) {
                (true, _) => None,
                (false, asked) => Some(asked.unwrap_or(0).saturating_add(1)),
            };
            let waits = known.labels.is_none() && known.asked.is_some_and(|asked| asked <= PATIENCE);
            if waits || known.labels.as_ref() == Some(&named.labels) {
                continue;
            }
            self.turn += 1;
            let cgroup = Box::new(Cgroup {
                id: id.clone(),
                kind: said.kind,
                container: said.container.map(str::to_owned),
                pod: said.pod,
                labels: named.labels.clone(),
                sandbox: named.sandbox,
                began: 0,
                limits: Limits::new(self.turn),
                pid: None,
            });
            let was_there = known.labels.replace(named.labels).is_some();
            found.changes.push(if was_there { Change::Renamed(cgroup) } else { Change::Appeared(cgroup) });
        }
        found.reported = self.cgroups.values().filter(|known| known.labels.is_some()).count();
        found
    }
}
