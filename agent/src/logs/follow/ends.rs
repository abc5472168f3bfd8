//! Ends: of what there is to read for now, of a content, of a file, of the room for open files.

use std::cmp::Reverse;
use std::time::Instant;

use super::super::api::LogsStats;
use super::super::identity::Node;
use super::super::tail::{Place, Turn};
use super::Follow;

impl Follow {
    /// Emptied in place: what it holds now is another file, as far as lines are concerned.
    pub(super) fn truncated(&mut self, node: Node) {
        LogsStats::add(&self.stats.truncated, 1);
        let Some(tail) = self.tails.get_mut(&node) else { return };
        let (pos, path, stem) = (tail.pos, tail.path.clone(), tail.stem.clone());
        let seen = tail.seen.max(tail.size);
        let Some(old) = tail.restart() else { return self.make_ready(node) };
        if !self.adopt_copy(node, old, pos, &path) {
            if let Some(chain) = self.chains.get_mut(&stem) {
                chain.joiner.give_up(&mut self.out);
            }
            self.unread(&stem, old, pos, seen);
            self.forget(old);
        }
        self.make_ready(node);
    }

    /// Everything there is was read.
    pub(super) fn at_end(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        let Some(chain) = self.chains.get(&tail.stem) else { return };
        if tail.place != Place::Live || chain.joiner.is_open() {
            let due = Instant::now() + self.settings.linger;
            tail.due = Some(due);
            if !tail.armed {
                tail.armed = true;
                self.due.push(Reverse((due, node)));
            }
        }
        let has_grown = tail.place != Place::Live && tail.size > tail.care.noted.unwrap_or(0);
        if !std::mem::replace(&mut tail.caught_up, true) {
            let stem = tail.stem.clone();
            self.call_next(&stem);
        }
        if has_grown {
            self.keep(node);
        }
    }

    /// Nothing has come for a while of a file that has no rest, or whose last line has none.
    pub(super) fn settle(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        tail.armed = false;
        let Some(due) = tail.due else { return };
        if due > Instant::now() {
            tail.armed = true;
            return self.due.push(Reverse((due, node)));
        }
        if tail.queued {
            return;
        }
        tail.due = None;
        if tail.file.is_some() && tail.size_now().is_ok_and(|size| size != tail.size) {
            return self.make_ready(node);
        }
        let place = tail.place;
        if place != Place::Live && tail.file.is_some() {
            // What stands behind the last line end is a line too, then.
            match self.read(node, true) {
                Ok(Turn::More) => return self.make_ready(node),
                Ok(Turn::Truncated) => return self.truncated(node),
                Ok(Turn::End) => {}
                Err(err) => {
                    LogsStats::add(&self.stats.read_errors, 1);
                    tracing::warn!(error = %err, "cannot read the end of a log file");
                }
            }
        }
        self.end_packed(node);
        let Some(tail) = self.tails.get_mut(&node) else { return };
        if let (Some(chain), Some(id)) = (self.chains.get_mut(&tail.stem), tail.id)
            && chain.joiner.waits_in(id)
        {
            chain.joiner.give_up(&mut self.out);
        }
        match place {
            Place::Live => {}
            Place::Aside => self.close(node),
            Place::Gone => self.finish(node),
        }
    }

    /// The file is gone, and was read to its end or given up.
    pub(super) fn finish(&mut self, node: Node) {
        let Some(tail) = self.tails.get(&node) else { return };
        let (was_open, is_noted, stem) = (tail.file.is_some(), tail.care.noted.is_some(), tail.stem.clone());
        let (pos, end) = (tail.pos, tail.seen.max(tail.size).max(tail.pos));
        // One that was never opened has no first line that is known.
        let id = tail.id.or_else(|| (pos < end).then(|| node.id(&[])));
        if let Some(id) = id {
            self.unread(&stem, id, pos, end);
        }
        self.drop_tail(node);
        match id {
            Some(id) if is_noted => self.leave(id, end),
            Some(id) => self.forget(id),
            None => {}
        }
        LogsStats::add(if was_open { &self.stats.finished } else { &self.stats.abandoned }, 1);
    }

    pub(super) fn close(&mut self, node: Node) {
        if let Some(tail) = self.tails.get_mut(&node)
            && tail.close()
        {
            self.opened.retain(|n| *n != node);
            self.gauges();
        }
    }

    /// Closes files that have nothing to read, until one more may be opened. Says whether it may; with `must`, files
    /// with unread bytes are closed too, which are opened again at their turn. One that has neither its name nor a link
    /// in escrow is never closed: it could not be found again.
    pub(super) fn make_room(&mut self, must: bool) -> bool {
        for _ in 0..self.opened.len() {
            if self.opened.len() < self.settings.open_files {
                return true;
            }
            let Some(node) = self.opened.pop_front() else { break };
            match self.tails.get_mut(&node) {
                Some(tail) if !tail.may_close() || !must && (tail.queued || !tail.caught_up) => {
                    self.opened.push_back(node);
                }
                Some(tail) => _ = tail.close(),
                None => {}
            }
        }
        self.opened.len() < self.settings.open_files
    }
}
