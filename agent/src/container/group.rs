//! Cgroups that are read and handed on together. A pod is in one group with all its containers. A set of samples is a
//! group's: a container that comes or goes makes a new keyframe of its own group alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::api::{Out, ReadError};
use super::carriers::{Carriers, Network};
use super::cgroup::Cgroup;
use super::network;
use super::reader::Reader;
use super::survey::Change;
use super::table::PARTS;
use crate::event::{FamilyRef, MetricSet};

/// See the file's text. Lives from round to round, and crosses threads.
pub(super) struct Group {
    cgroups: BTreeMap<String, Cgroup>,
    reader: Reader,
    /// Labels of every sample.
    more: &'static [(&'static str, &'static str)],
    /// What was read in this round.
    pub(super) set: MetricSet,
    /// A process of each container, found by a scan where the cgroups do not tell.
    pub(super) scanned: Arc<HashMap<String, u32>>,
    /// A scan may help.
    pub(super) wants_scan: bool,
    /// By part: how many cgroups it could not read, and why the first.
    pub(super) failures: Vec<(usize, u64, ReadError)>,
}

impl Group {
    pub(super) fn new(reader: Reader, more: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            cgroups: BTreeMap::new(),
            reader,
            more,
            set: MetricSet::default(),
            scanned: Arc::default(),
            wants_scan: false,
            failures: Vec::new(),
        }
    }

    /// What the survey found to be different.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Vanished(id, _) => drop(self.cgroups.remove(&id)),
            Change::Appeared(cgroup) => drop(self.cgroups.insert(cgroup.id.clone(), *cgroup)),
            Change::Renamed(mut cgroup) => {
                if let Some(old) = self.cgroups.remove(&cgroup.id) {
                    (cgroup.began, cgroup.limits) = (old.began, old.limits);
                }
                self.cgroups.insert(cgroup.id.clone(), *cgroup);
            }
        }
    }

    /// Reads all of them into the set, which is empty.
    pub(super) fn read(&mut self) {
        self.read_all();
        drop_unused(&mut self.set);
    }

    fn read_all(&mut self) {
        self.failures.clear();
        let families: Vec<Vec<FamilyRef>> = PARTS
            .iter()
            .map(|part| part.families.iter().map(|f| self.set.family(f.name, f.kind, f.help)).collect())
            .collect();
        let mut carriers = Carriers::default();
        for cgroup in self.cgroups.values_mut() {
            // Gone since it was listed: what is missing in the set ends.
            if !self.reader.enter(&cgroup.id) {
                continue;
            }
            let labels = cgroup.labels.iter().map(|(name, value)| (*name, value.as_str()));
            let labels: Vec<(&str, &str)> = labels.chain(self.more.iter().copied()).collect();
            let labels = self.set.share(&labels);
            cgroup.pid = None;
            for (number, (part, families)) in PARTS.iter().zip(&families).enumerate() {
                let mut out = Out::new(&mut self.set, families, &labels, self.more);
                let read = (part.read)(&mut self.reader, cgroup, &mut out);
                note(&mut self.failures, number, read);
            }
            carriers.note(cgroup, &labels);
        }
        let Some(number) = PARTS.iter().position(|part| part.name == network::NAME) else { return };
        let networks;
        (networks, self.wants_scan) = carriers.networks(&mut self.reader, &self.scanned);
        for Network { pid, labels } in networks {
            // Gone since.
            let Some(text) = self.reader.interfaces(pid) else { continue };
            let mut out = Out::new(&mut self.set, &families[number], &labels, self.more);
            note(&mut self.failures, number, network::read(text, pid, &mut out));
        }
    }
}

fn note(failures: &mut Vec<(usize, u64, ReadError)>, part: usize, read: Result<(), ReadError>) {
    let Err(why) = read else { return };
    match failures.iter_mut().find(|(of, ..)| *of == part) {
        Some((_, count, _)) => *count += 1,
        None => failures.push((part, 1, why)),
    }
}

/// Leaves out the families of which nothing was there to be read.
fn drop_unused(set: &mut MetricSet) {
    let mut numbers: Vec<Option<u32>> = vec![None; set.families.len()];
    for sample in &set.samples {
        numbers[sample.family as usize] = Some(0);
    }
    for (new, number) in (0..).zip(numbers.iter_mut().flatten()) {
        *number = new;
    }
    let mut old = numbers.iter();
    set.families.retain(|_| old.next().is_some_and(Option::is_some));
    for sample in &mut set.samples {
        sample.family = numbers[sample.family as usize].unwrap_or_default();
    }
}
