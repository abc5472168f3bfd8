//! Files that lost their names with bytes that the spool does not hold: each is kept until it does, found again by the
//! next process, and given up, counted to the byte, where all of them together are more than may be kept.
//!
//! The size of such a file is noted before anything else. So whatever happens afterwards, the bytes behind its
//! checkpoint are either read or counted as abandoned, once: the count goes with the frame that moves the checkpoint.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ao_proto::model::FileId;

use super::super::api::LogsStats;
use super::super::escrow::Kept;
use super::super::identity::{self, Head, Node};
use super::super::notes::Note;
use super::super::tail::{self, Place, Tail};
use super::Follow;
use crate::event::Event;

/// Time between two looks at whether the spool holds what was read.
pub(super) const SWEEP: Duration = Duration::from_millis(200);

impl Follow {
    /// Cares for the files that lost their names since this was done last. Not at once: a file that is renamed has none
    /// for a moment.
    pub(super) fn keep_unnamed(&mut self) {
        if self.unnamed.is_empty() {
            return;
        }
        for node in std::mem::take(&mut self.unnamed) {
            self.keep(node);
        }
        self.enforce();
        // Those that are still there are worth a copy: so far only this process can find them.
        let held = |node: &&Node| {
            self.tails.get(node).is_some_and(|t| t.place == Place::Gone && t.care.kept.is_none())
        };
        for node in self.kept.iter().filter(held).copied().collect::<Vec<_>>() {
            self.copy(node);
        }
    }

    /// Notes the size of a file that lost its name, and keeps what the spool does not hold of it.
    pub(super) fn keep(&mut self, node: Node) {
        let Some(tail) = self.tails.get(&node) else { return };
        if self.escrow.is_none() || tail.place == Place::Live {
            return;
        }
        if tail.packed {
            return self.note_packed(node);
        }
        if tail.file.is_none()
            && tail.place == Place::Aside
            && let Ok((file, meta)) = tail::open(&tail.path)
            && Node::of(&meta) == node
        {
            self.opened.push_back(node);
            if let Some(tail) = self.tails.get_mut(&node) {
                tail.file = Some(file);
            }
            self.gauges();
        }
        // It may have been empty when it was found, and waits for its turn since.
        if self.tails.get(&node).is_some_and(|t| t.id.is_none())
            && let Err(error) = self.locate(node, false)
        {
            LogsStats::add(&self.stats.read_errors, 1);
            tracing::warn!(%error, "cannot read a log file that lost its name");
        }
        let (Some(escrow), Some(tail)) = (&mut self.escrow, self.tails.get_mut(&node)) else { return };
        let Some(id) = tail.id else { return };
        if let Ok(size) = tail.size_now() {
            tail.seen = tail.seen.max(size);
        }
        let (size, stored) = (tail.seen.max(tail.size), stored(&self.settings.durable, tail));
        if stored >= size && tail.care.noted.is_none() {
            return;
        }
        if tail.care.noted != Some(size) {
            if tail.care.noted.is_none() {
                tail.care.from = stored;
            }
            escrow.sized(id, size, tail.care.from);
            tail.care.noted = Some(size);
        }
        if !std::mem::replace(&mut tail.care.listed, true) {
            self.kept.push_back(node);
        }
        if tail.care.kept.is_none() && tail.place == Place::Aside && escrow.link(id, &tail.path, node) {
            tail.care.kept = Some(Kept::Link);
            LogsStats::add(&self.stats.escrow_linked, 1);
        }
        match (tail.care.kept, tail.place) {
            (Some(Kept::Link), Place::Gone) => tail.path = escrow.data(id),
            (Some(Kept::Link), _) => {}
            (Some(Kept::Copy), _) => self.copy(node),
            // One that was rotated before the start is found again by its name; it is copied when it loses that.
            (None, _) if tail.place == Place::Gone || tail.care.was_aside => {}
            (None, _) => {
                if self.unread_kept().saturating_add(size - stored) <= self.budget() {
                    self.copy(node);
                }
            }
        }
    }

    /// Copies what the spool does not hold. What has no name any more is read from the copy, so that its place on the
    /// disk is free.
    fn copy(&mut self, node: Node) {
        let (Some(escrow), Some(tail)) = (&self.escrow, self.tails.get_mut(&node)) else { return };
        let (Some(id), Some(file), Some(size)) = (tail.id, &tail.file, tail.care.noted) else { return };
        let data = escrow.data(id);
        let is_copy = tail.care.kept == Some(Kept::Copy);
        let known = if is_copy { fs::metadata(&data).map_or(0, |meta| meta.len()) } else { 0 };
        // What is read by now, from the copy itself, cannot have grown.
        if tail.path != data && known < size {
            let from = known.max(tail.care.from);
            if !escrow.copy(id, file, from, size) {
                tail.care.kept = None;
                return;
            }
            tail.care.kept = Some(Kept::Copy);
            LogsStats::add(&self.stats.escrow_copied_bytes, size - from);
        }
        if tail.place == Place::Gone
            && tail.path != data
            && let Ok((copy, _)) = tail::open(&data)
        {
            tail.file = Some(copy);
            tail.path = data;
        }
    }

    fn budget(&self) -> u64 {
        self.escrow.as_ref().map_or(u64::MAX, |escrow| escrow.budget)
    }

    /// Unread bytes that take up room on account of us: of files without a name, and of copies.
    fn unread_kept(&self) -> u64 {
        self.kept.iter().map(|node| self.unread_of(*node)).sum()
    }

    fn unread_of(&self, node: Node) -> u64 {
        let Some(tail) = self.tails.get(&node) else { return 0 };
        if tail.place != Place::Gone && tail.care.kept != Some(Kept::Copy) {
            return 0;
        }
        tail.care.noted.unwrap_or(0).saturating_sub(stored(&self.settings.durable, tail))
    }

    /// Gives up the oldest files without a name until the rest may be kept.
    fn enforce(&mut self) {
        let budget = self.budget();
        let mut unread = self.unread_kept();
        for node in self.kept.clone() {
            if unread <= budget {
                return;
            }
            let size = self.unread_of(node);
            if size > 0 && self.tails.get(&node).is_some_and(|t| t.place == Place::Gone) {
                self.abandon(node);
                unread -= size;
            }
        }
    }

    /// Nobody will read the rest of this file.
    fn abandon(&mut self, node: Node) {
        if self.go_on_packed(node) {
            return;
        }
        let Some(tail) = self.tails.get(&node) else { return };
        let (stem, place) = (tail.stem.clone(), tail.pos);
        tracing::warn!(path = %stem.display(), from = place, "unread log files are more than may be kept: one is given up");
        if let (Some(escrow), Some(id)) = (&self.escrow, tail.id) {
            escrow.drop_data(id);
        }
        self.close(node);
        self.finish(node);
    }

    /// It is known which file this is. One that is read from its copy already goes on with this one.
    pub(super) fn note(&mut self, node: Node, id: FileId, first: &[u8]) {
        let Some(tail) = self.tails.get(&node) else { return };
        if let Some(escrow) = &mut self.escrow {
            escrow.begun(id, &tail.stem, identity::print(first));
        }
    }

    /// Says that the bytes of a file from `from` to `to` are not read.
    pub(super) fn unread(&mut self, stem: &Path, id: FileId, from: u64, to: u64) {
        if from < to
            && let Some((_, chain)) = self.chain(stem)
        {
            let mut out = Vec::new();
            chain.joiner.abandon(id, from, to, &mut out);
            if chain.tails.is_empty() {
                self.chains.remove(stem);
            }
            self.out.append(&mut out);
            tracing::info!(path = %stem.display(), from, to, "a part of a log file goes unread");
            LogsStats::add(&self.stats.unread_bytes, to - from);
        }
    }

    /// The file is gone, and all there is to say of it was said up to `end`: once the spool holds that, it is forgotten.
    pub(super) fn leave(&mut self, id: FileId, end: u64) {
        self.leaving.push((id, end));
    }

    /// Lets go what the spool holds by now.
    pub(super) fn sweep(&mut self) {
        if self.leaving.is_empty() && self.kept.is_empty() || Instant::now() < self.sweep_at {
            return;
        }
        self.sweep_at = Instant::now() + SWEEP;
        let durable = &self.settings.durable;
        let (done, rest) =
            self.leaving.drain(..).partition(|(id, end)| durable(*id).is_some_and(|stored| stored >= *end));
        self.leaving = rest;
        let done: Vec<(FileId, u64)> = done;
        for (id, _) in done {
            self.forget(id);
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.retain(|node| {
            let Some(tail) = self.tails.get_mut(node) else { return false };
            let size = tail.seen.max(tail.size);
            let is_read =
                tail.place != Place::Gone && tail.pos >= size && stored(&self.settings.durable, tail) >= size;
            if tail.place == Place::Live || is_read {
                if let (Some(escrow), Some(id)) = (&self.escrow, tail.id) {
                    escrow.drop_data(id);
                }
                tail.care.kept = None;
                tail.care.listed = false;
                return false;
            }
            true
        });
        self.kept = kept;
    }

    /// The spool holds all of it that there will be.
    pub(super) fn forget(&mut self, id: FileId) {
        // Noted first: what is forgotten by the spool, and not here, would be taken for unread.
        self.forget_note(id);
        self.out.push(Event::Forget(id));
    }

    fn forget_note(&mut self, id: FileId) {
        if let Some(escrow) = &mut self.escrow {
            escrow.gone(id);
        }
    }

    /// What was kept by the process before this one, once all names were looked at.
    pub(super) fn restore(&mut self) {
        let Some(escrow) = &self.escrow else { return };
        let left = escrow.left();
        let named: HashMap<FileId, Node> =
            self.tails.iter().filter_map(|(node, t)| Some((t.id?, *node))).collect();
        let mut places = HashMap::<_, usize>::new();
        for (id, note) in left {
            let data = self.escrow.as_ref().map(|escrow| escrow.data(id));
            let opened = data.as_deref().and_then(|data| tail::open(data).ok());
            if let Some(node) = named.get(&id) {
                // Found by its name; cared for anew as soon as it is seen to have lost its own.
                let Some(tail) = self.tails.get_mut(node) else { continue };
                tail.care.noted = note.size.filter(|_| tail.place != Place::Live);
                tail.care.from = note.from;
                if let Some((_, meta)) = &opened {
                    tail.care.kept = Some(if Node::of(meta) == *node { Kept::Link } else { Kept::Copy });
                    tail.care.listed = true;
                    self.kept.push_back(*node);
                }
                continue;
            }
            let stored = self.settings.checkpoints.get(&id).copied().unwrap_or(0);
            let size = opened.as_ref().map(|(_, meta)| meta.len()).max(note.size);
            if opened.is_none()
                && size.is_none_or(|size| stored < size)
                && let Some(packed) = self.find_packed(&note.stem, note.print)
            {
                let place = places.entry(note.stem.clone()).or_default();
                self.read_packed(&note.stem, *place, packed, Some(id), (stored, size.unwrap_or(0)));
                *place += 1;
                continue;
            }
            let Some(size) = size else {
                // It had its name when the last process ended. Once the spool holds some of it, it is one of the lost.
                if !self.settings.checkpoints.contains_key(&id) && self.discover.is_there(&note.stem) {
                    self.forget_note(id);
                }
                continue;
            };
            if stored >= size {
                self.lost.remove(&id);
                self.leave(id, size);
            } else if self.discover.wanted(&note.stem).is_none() {
                // Not configured any more.
                self.forget(id);
            } else if let Some((file, meta)) = opened {
                let place = places.entry(note.stem.clone()).or_default();
                self.read_on(id, &note, (file, Node::of(&meta)), (stored, size), *place);
                *place += 1;
            } else if self.discover.is_there(&note.stem) {
                self.lost.remove(&id);
                LogsStats::add(&self.stats.abandoned, 1);
                self.unread(&note.stem, id, stored, size);
                self.leave(id, size);
            }
        }
        self.enforce();
    }

    /// Reads a file without a name from where it is kept, before those that had its name later.
    fn read_on(
        &mut self,
        id: FileId,
        note: &Note,
        (file, node): (fs::File, Node),
        (stored, size): (u64, u64),
        place: usize,
    ) {
        let Ok(head) = Head::read(&file) else { return };
        let first = head.first_line(true).unwrap_or_default();
        if self.tails.contains_key(&node) {
            return;
        }
        let kept = if node.id(first) == id { Kept::Link } else { Kept::Copy };
        let Some(path) = self.escrow.as_ref().map(|escrow| escrow.data(id)) else { return };
        let from = if kept == Kept::Copy { stored.max(note.from.min(size)) } else { stored };
        self.lost.remove(&id);
        // It may have grown while nobody watched, and be given up before this process has read any of it.
        if let Some(escrow) = &mut self.escrow {
            escrow.sized(id, size, note.from);
        }
        // The spool has lost what it held.
        self.unread(&note.stem, id, stored, from);
        let Some((stem, chain)) = self.chain(&note.stem) else { return };
        chain.tails.insert(place.min(chain.tails.len()), node);
        let mut tail = Tail::new(node, path, stem, file, chain.format);
        tail.place = Place::Gone;
        tail.seen = size;
        tail.is(id, first, from);
        tail.care.kept = Some(kept);
        tail.care.noted = Some(size);
        tail.care.from = note.from;
        tail.care.listed = true;
        self.tails.insert(node, tail);
        self.opened.push_back(node);
        self.kept.push_back(node);
        LogsStats::add(&self.stats.adopted, 1);
        self.gauges();
        self.make_ready(node);
    }
}

/// How much of a file the spool holds.
fn stored(durable: &super::Durable, tail: &Tail) -> u64 {
    match tail.id {
        Some(id) if !tail.rewritten => durable(id).unwrap_or(0).min(tail.pos),
        _ => 0,
    }
}
