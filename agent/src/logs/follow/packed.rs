//! Rotated files that were compressed before they were read to the end: these are read on from where reading had come,
//! as the file that they were, and those that came and went while nobody watched from their first line.
//!
//! What a compressed file was is told by its first line, whose hash was noted when it was begun. One of which nothing is
//! noted is new if it was made since the last process noted anything; else it was read, or is of the time before the
//! very first start, of which compressed files are left alone. What it says of its own size is noted at once: so that it is
//! known how much was lost where it is deleted before it was read, and this process has ended.
//!
//! While this process runs, a compressed file that appears beside a pod's log is that of a file which is being read. It may
//! be of another one where this process did not get to look for as long as two rotations take: that one is read, too.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ao_proto::model::FileId;

use super::super::api::{LogsStats, PODS};
use super::super::escrow::Escrow;
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
        opened(paths(stem)).into_iter().find(|packed| identity::print(&packed.first) == print)
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
        let dirs: HashSet<&Path> = self.chains.keys().filter_map(|stem| stem.parent()).collect();
        let mut found = HashMap::<Arc<Path>, Vec<PathBuf>>::new();
        for path in dirs.into_iter().flat_map(files) {
            let log = names::logs_of_packed(&path).find_map(|log| self.chains.get_key_value(&*log));
            if let Some((stem, _)) = log {
                self.packed.insert(path.clone());
                found.entry(stem.clone()).or_default().push(path);
            }
        }
        // Before the very first start, all of them were read by others.
        let Some(last_life) = escrow.last_life else { return };
        let known: HashSet<FileId> = escrow.left().into_iter().map(|(_, note)| note.print).collect();
        for (stem, paths) in found {
            // Behind those that were begun before.
            let mut place = self.chains.get(&stem).map_or(0, |chain| {
                let is_old =
                    |n: &&Node| self.tails.get(n).is_some_and(|t| t.packed || t.place == Place::Gone);
                chain.tails.iter().take_while(is_old).count()
            });
            for packed in opened(paths.into_iter()) {
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

    /// The compressed files of a pod's log that is new to us are left alone.
    pub(super) fn know_packed(&mut self, stem: &Path) {
        self.packed.extend(paths(stem).take(MAX_PACKED));
    }

    /// Something has changed at this path, which may be a compressed file that has just been made.
    pub(super) fn look_at_packed(&mut self, path: &Path) {
        let is_packed = path.extension().is_some_and(|e| e == "gz") && !self.packed.contains(path);
        if !is_packed || self.escrow.is_none() {
            return;
        }
        let stem = self.stem(&path.with_extension(""));
        let is_pods = self.discover.wanted(&stem) == Some(PODS);
        let Some(chain) = self.chains.get(&*stem).filter(|_| is_pods) else { return };
        let Some(packed) = open(path.to_path_buf()) else { return };
        let (print, tails) = (identity::print(&packed.first), chain.tails.clone());
        // Of one that was empty when it was found, its first line may not be known yet.
        for node in &tails {
            if self.tails.get(node).is_some_and(|tail| tail.id.is_none())
                && let Err(error) = self.locate(*node, false)
            {
                LogsStats::add(&self.stats.read_errors, 1);
                tracing::warn!(path = %stem.display(), %error, "cannot read a log file");
            }
        }
        self.packed.insert(path.to_path_buf());
        let notes = self.escrow.as_ref().map(Escrow::left).unwrap_or_default();
        let known = notes.into_iter().find(|(_, note)| note.stem == stem && note.print == print);
        let id = known.as_ref().map(|(id, _)| *id);
        let is_read = |id| tails.iter().any(|n| self.tails.get(n).is_some_and(|t| t.id == Some(id)));
        if id.is_some_and(|id| is_read(id) || self.leaving.iter().any(|(gone, _)| *gone == id)) {
            return;
        }
        // Before those that have had the name since.
        let is_later = |tail: &Tail| match tail.place {
            Place::Live => true,
            Place::Aside => !tail.packed && *tail.path > *path,
            Place::Gone => false,
        };
        let place = tails.iter().position(|n| self.tails.get(n).is_some_and(is_later)).unwrap_or(tails.len());
        let stored = id.and_then(|id| self.settings.checkpoints.get(&id)).copied().unwrap_or(0);
        let size = known.and_then(|(_, note)| note.size).unwrap_or(0);
        self.read_packed(&stem, place, packed, id, (stored, size));
    }

    /// Looks for compressed files of which the kernel could not tell, and forgets those that are gone.
    pub(super) fn rescan_packed(&mut self, overflow: bool) {
        self.packed.retain(|path| path.exists());
        if overflow {
            let pods = self.chains.keys().filter(|stem| self.discover.wanted(stem) == Some(PODS));
            for stem in pods.cloned().collect::<Vec<_>>() {
                self.look_at_all_packed(&stem);
            }
        }
    }

    /// Those beside a pod's log, the oldest first.
    pub(super) fn look_at_all_packed(&mut self, stem: &Path) {
        let mut found: Vec<_> = paths(stem).take(MAX_PACKED).collect();
        found.sort_unstable();
        found.iter().for_each(|path| self.look_at_packed(path));
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

/// The compressed files of a log.
fn paths(of: &Path) -> impl Iterator<Item = PathBuf> {
    let all = of.parent().into_iter().flat_map(files);
    all.filter(move |path| names::logs_of_packed(path).any(|log| log == of))
}

/// All files of a folder.
fn files(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Compressed files, the oldest first.
fn opened(paths: impl Iterator<Item = PathBuf>) -> Vec<Packed> {
    let mut found: Vec<_> = paths.filter_map(open).take(MAX_PACKED).collect();
    found.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
    found
}

/// One of them; none where it holds nothing.
fn open(path: PathBuf) -> Option<Packed> {
    let (file, meta) = tail::open(&path).ok()?;
    let mut first = vec![0; HEAD];
    let read = Unpack::new(&file).and_then(|mut unpack| unpack.read_at(&mut first, 0)).ok()?;
    first.truncate(memchr::memchr(b'\n', &first[..read]).map_or(read, |at| at + 1));
    let modified = meta.modified().ok();
    (!first.is_empty()).then(|| Packed { path, file, node: Node::of(&meta), modified, first })
}
