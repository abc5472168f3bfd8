//! Rotated files that were compressed before they were read to the end: these are read on from where reading had come,
//! as the file that they were, and those that came and went while nobody watched from their first line.
//!
//! What a compressed file was is told by its first line, whose hash was noted when it was begun. One of which nothing is
//! noted is new if it was made since the last process noted anything; else it was read, or is of the time before the
//! very first start, of which compressed files are left alone. What it says of its own size is noted at once: so that it is
//! known how much was lost where it is deleted before it was read, and this process has ended.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ao_proto::model::FileId;

use super::super::api::LogsStats;
use super::super::identity::{self, HEAD, Node};
use super::super::names;
use super::super::tail::{self, Place, Tail};
use super::super::unpack::{self, Unpack};
use super::Follow;

/// Compressed files beside one log that are looked at.
const MAX_PACKED: usize = 64;

/// A compressed rotated file.
pub(super) struct Packed {
    path: PathBuf,
    file: fs::File,
    node: Node,
    modified: Option<SystemTime>,
    first: Vec<u8>,
}

impl Follow {
    /// The compressed file that begins as one whose lines were those of `stem`.
    pub(super) fn find_packed(&self, stem: &Path, print: FileId) -> Option<Packed> {
        list(stem).into_iter().find(|packed| identity::print(&packed.first) == print)
    }

    /// A file that may not be kept any longer is read on from its compressed copy, if there is one.
    pub(super) fn go_on_packed(&mut self, node: Node) -> bool {
        let Some(tail) = self.tails.get(&node).filter(|tail| !tail.packed) else { return false };
        let (Some(id), Some(escrow)) = (tail.id, &self.escrow) else { return false };
        let (stem, pos, size) = (tail.stem.clone(), tail.pos, tail.care.noted.unwrap_or(0));
        let Some(packed) = escrow.print(id).and_then(|print| self.find_packed(&stem, print)) else {
            return false;
        };
        escrow.drop_data(id);
        let place = self.chains.get(&stem).and_then(|c| c.tails.iter().position(|n| *n == node)).unwrap_or(0);
        self.read_packed(&stem, place, packed, Some(id), (pos, size));
        self.drop_tail(node);
        true
    }

    /// Reads a compressed file from `pos` on, as `id`, or as a file of its own. `size`: how much it held when last seen.
    pub(super) fn read_packed(
        &mut self,
        stem: &Path,
        place: usize,
        packed: Packed,
        id: Option<FileId>,
        (pos, size): (u64, u64),
    ) {
        let Packed { path, file, node, first, .. } = packed;
        if self.tails.contains_key(&node) {
            return;
        }
        let id = id.unwrap_or_else(|| node.id(&first));
        // It may have grown after it was seen, before it was compressed.
        let noted = unpack::told(&file).max(Some(size)).filter(|size| *size > 0);
        let Some((stem, chain)) = self.chain(stem) else { return };
        chain.tails.insert(place.min(chain.tails.len()), node);
        let mut tail = Tail::new(node, path.clone(), stem.clone(), file, chain.format);
        tail.place = Place::Aside;
        tail.packed = true;
        tail.seen = size;
        tail.care.noted = noted;
        tail.is(id, &first, pos);
        self.lost.remove(&id);
        if let Some(escrow) = &mut self.escrow {
            escrow.begun(id, &stem, identity::print(&first));
            if let Some(size) = noted {
                escrow.sized(id, size, 0);
            }
        }
        self.at.insert(path, node);
        self.tails.insert(node, tail);
        self.opened.push_back(node);
        LogsStats::add(&self.stats.adopted, 1);
        self.gauges();
        self.make_ready(node);
    }

    /// Compressed files that were made while nobody watched, of which nothing else is known.
    pub(super) fn unseen_packed(&mut self) {
        let Some(escrow) = &self.escrow else { return };
        let Some(last_life) = escrow.last_life else { return };
        let known: HashSet<FileId> = escrow.left().into_iter().map(|(_, note)| note.print).collect();
        let stems: Vec<_> = self.chains.keys().cloned().collect();
        for stem in stems {
            // Behind those that were begun before.
            let mut place = self.chains.get(&stem).map_or(0, |chain| {
                let is_old =
                    |n: &&Node| self.tails.get(n).is_some_and(|t| t.packed || t.place == Place::Gone);
                chain.tails.iter().take_while(is_old).count()
            });
            for packed in list(&stem) {
                if packed.modified.is_some_and(|at| at > last_life)
                    && !known.contains(&identity::print(&packed.first))
                {
                    let stored = self.settings.checkpoints.get(&packed.node.id(&packed.first)).copied();
                    self.read_packed(&stem, place, packed, None, (stored.unwrap_or(0), 0));
                    place += 1;
                }
            }
        }
    }

    /// It was read to its end: so that the next process need not unpack it to know.
    pub(super) fn note_packed(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        if let (Some(escrow), Some(id)) = (&mut self.escrow, tail.id)
            && tail.size > 0
        {
            let size = tail.size.max(tail.seen);
            escrow.sized(id, size, 0);
            tail.care.noted = Some(size);
        }
    }

    /// What a damaged one does not hold is never read.
    pub(super) fn end_packed(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        let (pos, seen) = (tail.pos, tail.seen.max(tail.size));
        if let Some(id) = tail.id
            && tail.packed
            && tail.caught_up
            && pos < seen
        {
            tail.pos = seen;
            let stem = tail.stem.clone();
            self.unread(&stem, id, pos, seen);
        }
    }
}

/// The compressed files of a log, the oldest first.
fn list(of: &Path) -> Vec<Packed> {
    let Some(Ok(entries)) = of.parent().map(fs::read_dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if found.len() >= MAX_PACKED || !names::logs_of_packed(&path).any(|log| log == of) {
            continue;
        }
        let Ok((file, meta)) = tail::open(&path) else { continue };
        let mut head = vec![0; HEAD];
        let Ok(read) = Unpack::new(&file).and_then(|mut unpack| unpack.read_at(&mut head, 0)) else {
            continue;
        };
        head.truncate(memchr::memchr(b'\n', &head[..read]).map_or(read, |at| at + 1));
        if !head.is_empty() {
            let modified = meta.modified().ok();
            found.push(Packed { path, file, node: Node::of(&meta), modified, first: head });
        }
    }
    found.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
    found
}
