//! What an emptied or rotated file held and was not read, found again in the file beside it where it was put.
//!
//! `copytruncate` copies a log to `NAME.1` and empties it: what was written after our last look and before the copy is
//! in the copy alone. The copy has another inode, yet its first line, hashed with the inode and birth time of the
//! original, gives the identity that was known: so the copy is read on, as that file, from where reading had come.
//! The same hash keeps a copy that a pattern matches from being read a second time, and finds, at a start, what was
//! rotated (copied or renamed, even several times) while nobody watched.

use std::fs;
use std::path::{Path, PathBuf};

use ao_proto::model::FileId;

use super::super::api::LogsStats;
use super::super::identity::{self, Head, Node};
use super::super::names;
use super::super::tail::{self, Place, Tail};
use super::Follow;

/// Files beside one log that are looked at.
const MAX_BESIDE: usize = 64;

/// A file by a name like that of a log, with a number or a date behind.
struct Beside {
    path: PathBuf,
    file: fs::File,
    node: Node,
    size: u64,
    born: Option<std::time::SystemTime>,
    head: Head,
}

impl Follow {
    /// The file `node` was emptied; until then it was `id`, read up to `pos`. Reads its copy on, if there is one.
    pub(super) fn adopt_copy(&mut self, node: Node, id: FileId, pos: u64, path: &Path) -> bool {
        let Some(stem) = self.tails.get(&node).map(|t| t.stem.clone()) else { return false };
        for beside in list(path) {
            let same = beside.head.first_line(true).is_some_and(|first| node.id(first) == id);
            let known = self.tails.get(&beside.node);
            if same && beside.size >= pos && known.is_none_or(|tail| tail.pos == 0) {
                self.adopt(&stem, Some(node), beside, Some((id, pos)));
                return true;
            }
        }
        false
    }

    /// The first time that `path` is seen, or seen to be missing: the files that it stood for before, if the spool
    /// knows them, and those that came after them. `node`: what it stands for now.
    pub(super) fn adopt_rotated(&mut self, node: Option<Node>, path: &Path) {
        if self.settings.checkpoints.is_empty() {
            return;
        }
        // A copy of what it holds now is being made, and will be of use when it is emptied.
        let current = node.and_then(|node| self.tails.get(&node)).and_then(|t| t.id);
        let mut newest_known = None;
        let found = list(path);
        // A copy's original may have been renamed in the meantime.
        let nodes: Vec<Node> = found.iter().map(|b| b.node).chain(node).collect();
        for beside in found {
            if self.tails.contains_key(&beside.node) {
                continue;
            }
            let Some(first) = beside.head.first_line(true) else { continue };
            let ids = [beside.node].into_iter().chain(nodes.iter().copied()).map(|n| n.id(first));
            let mut ids = ids.filter(|id| Some(*id) != current);
            let stored = ids.find_map(|id| Some((id, *self.settings.checkpoints.get(&id)?)));
            match stored {
                Some((id, pos)) if pos <= beside.size => {
                    newest_known = newest_known.max(beside.born);
                    self.adopt(path, node, beside, Some((id, pos)));
                }
                // Made after one that we have read: it came and went while nobody watched.
                None if newest_known.is_some() && beside.born > newest_known => {
                    self.adopt(path, node, beside, None);
                }
                _ => {}
            }
        }
    }

    /// Whether this file, just found, is a copy in the making of the one that has the name without its number.
    pub(super) fn is_copy(&self, node: Node, first: &[u8]) -> bool {
        let Some(path) = self.tails.get(&node).map(|t| &t.path) else { return false };
        names::logs_of(path)
            .filter_map(|log| self.at.get(&log))
            .filter(|original| **original != node)
            .any(|original| self.tails.get(original).and_then(|t| t.id) == Some(original.id(first)))
    }

    /// Reads this file as one that had the name `stem` before `heir`, which has it now.
    fn adopt(&mut self, stem: &Path, heir: Option<Node>, beside: Beside, known: Option<(FileId, u64)>) {
        let node = beside.node;
        self.drop_tail(node);
        let Some((stem, chain)) = self.chain(stem) else { return };
        let at = chain.tails.iter().position(|n| Some(*n) == heir).unwrap_or(chain.tails.len());
        chain.tails.insert(at, node);
        let mut tail = Tail::new(node, beside.path.clone(), stem, beside.file, chain.format);
        tail.place = Place::Aside;
        if let (Some((id, pos)), Some(first)) = (known, beside.head.first_line(true)) {
            tail.is(id, first, pos);
            if let Some(escrow) = &mut self.escrow {
                escrow.begun(id, &tail.stem, identity::print(first));
            }
            self.lost.remove(&id);
        }
        self.at.insert(beside.path, node);
        self.tails.insert(node, tail);
        self.opened.push_back(node);
        self.unnamed.push(node);
        LogsStats::add(&self.stats.adopted, 1);
        self.gauges();
        self.make_ready(node);
    }
}

/// The rotated files of a log, the oldest first.
fn list(of: &Path) -> Vec<Beside> {
    let Some(Ok(entries)) = of.parent().map(fs::read_dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if found.len() >= MAX_BESIDE || !names::logs_of(&path).any(|log| log == of) {
            continue;
        }
        let Ok((file, meta)) = tail::open(&path) else { continue };
        let Ok(head) = Head::read(&file) else { continue };
        found.push((
            meta.modified().ok(),
            Beside { path, file, node: Node::of(&meta), size: meta.len(), born: meta.created().ok(), head },
        ));
    }
    found.sort_by_key(|(modified, _)| *modified);
    found.into_iter().map(|(_, beside)| beside).collect()
}
