//! What a look at a path brings: a new file, one that is known by another name, or nothing any more.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::api::{LogsStats, PODS};
use super::super::identity::Node;
use super::super::join::Joiner;
use super::super::tail::{self, Place, Tail};
use super::super::watch::What;
use super::{Chain, Follow};

/// Names that are remembered so that they are counted and said once.
const MOST_LEFT_OUT: usize = 1024;

impl Follow {
    /// The kernel says that something changed here.
    pub(super) fn look(&mut self, path: &Path, what: What) {
        if what == What::Written
            && let Some(node) = self.at.get(path).copied()
        {
            // By far the most frequent: nothing to look up.
            return self.make_ready(node);
        }
        if let Some(link) = self.discover.link_to(path) {
            self.look_at_file(&link, true);
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                let mut found = self.discover.entered(path, what == What::Removed);
                self.sort(&mut found);
                for path in found {
                    self.look_at_file(&path, true);
                }
            }
            Ok(_) => {
                self.look_at_packed(path);
                self.look_at_file(path, true);
            }
            Err(_) => {
                self.packed.remove(path);
                self.vanished(path);
                for path in self.discover.vanished(path) {
                    self.look_at_file(&path, true);
                }
            }
        }
    }

    /// `changed`: its bytes may have changed even where its size has not.
    pub(super) fn look_at_file(&mut self, path: &Path, changed: bool) {
        let meta = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => meta,
            Ok(meta) if meta.is_dir() => return,
            Ok(_) => return self.leave_out(path),
            Err(_) => {
                if path.is_symlink() && self.discover.wanted(path).is_some() {
                    self.discover.follow(path);
                    self.discover.find_again(path);
                }
                return self.vanished(path);
            }
        };
        let node = Node::of(&meta);
        if self.at.get(path).is_some_and(|known| *known != node) {
            LogsStats::add(&self.stats.rotated, 1);
            self.vanished(path);
            self.look_beside(path);
        }
        if let Some(tail) = self.tails.get_mut(&node) {
            tail.seen = tail.seen.max(meta.len());
            if tail.place == Place::Gone || !self.at.contains_key(&tail.path) {
                tail.path = path.to_path_buf();
            }
            let before = tail.place;
            tail.place = if *tail.path == *tail.stem { Place::Live } else { Place::Aside };
            if before == Place::Live && tail.place == Place::Aside {
                self.unnamed.push(node);
            }
            self.at.insert(path.to_path_buf(), node);
            if changed || meta.len() != tail.size {
                self.make_ready(node);
            }
        } else if self.discover.wanted(path).is_some() && !self.begin(path) {
            self.discover.find_again(path);
        }
    }

    /// A pipe, a socket or a device with a log's name: it may block, or have no end, so that it is not opened.
    fn leave_out(&mut self, path: &Path) {
        let wanted = self.discover.wanted(path).is_some() && self.left_out.len() < MOST_LEFT_OUT;
        if wanted && self.left_out.insert(path.to_path_buf()) {
            LogsStats::add(&self.stats.left_out, 1);
            tracing::warn!(path = %path.display(), "this is no plain file: left out");
        }
    }

    /// Another file has the name of this pod's log. Before that one is read: there may have been more between the two,
    /// of which the kernel is yet to tell.
    fn look_beside(&mut self, path: &Path) {
        let Some(dir) = path.parent().filter(|_| self.discover.wanted(path) == Some(PODS)) else { return };
        let mut found = self.discover.entered(dir, false);
        self.sort(&mut found);
        found.retain(|beside| beside != path && self.stem(beside) == path);
        for beside in found {
            self.look_at_file(&beside, true);
        }
        self.look_at_all_packed(path);
    }

    /// A file that is not known yet. False where it cannot be read for now.
    fn begin(&mut self, path: &Path) -> bool {
        let room = self.make_room(false);
        let (file, meta) = match tail::open(path) {
            Ok(opened) => opened,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return false,
            Err(err) => {
                LogsStats::add(&self.stats.read_errors, 1);
                tracing::warn!(path = %path.display(), error = %err, "cannot open a log file");
                return false;
            }
        };
        let node = Node::of(&meta);
        self.at.insert(path.to_path_buf(), node);
        if self.tails.contains_key(&node) {
            self.make_ready(node);
            return true;
        }
        if path.is_symlink() {
            self.discover.follow(path);
        }
        let stem = self.stem(path);
        let new_name = !self.chains.contains_key(&*stem);
        let starting = self.starting;
        let Some((stem, chain)) = self.chain(&stem) else { return true };
        let mut tail = Tail::new(node, path.to_path_buf(), stem.clone(), file, chain.format);
        let live = tail.place == Place::Live;
        tail.seen = meta.len();
        tail.existed = starting;
        tail.care.was_aside = starting && !live;
        if !live {
            self.unnamed.push(node);
        }
        // One that was rotated away before it was ever seen stands before the one that has its name now.
        let Some(chain) = self.chains.get_mut(&stem) else { return true };
        let place = match chain.tails.back() {
            Some(last) if !live && self.tails.get(last).is_some_and(|t| t.place == Place::Live) => {
                chain.tails.len() - 1
            }
            _ => chain.tails.len(),
        };
        let before: Vec<Node> = chain.tails.iter().take(place).copied().collect();
        chain.tails.insert(place, node);
        self.tails.insert(node, tail);
        self.opened.push_back(node);
        // Now, and not at its turn, which may be a while: what it is now says where to find it after a rotation.
        if let Err(err) = self.locate(node, false) {
            LogsStats::add(&self.stats.read_errors, 1);
            tracing::warn!(path = %path.display(), error = %err, "cannot read a log file");
        }
        if !room && live {
            self.close(node);
        }
        LogsStats::add(&self.stats.files_found, 1);
        self.gauges();
        for earlier in before {
            if let Some(tail) = self.tails.get_mut(&earlier) {
                tail.caught_up = false;
            }
            self.make_ready(earlier);
        }
        self.make_ready(node);
        let of_pod = self.discover.wanted(path) == Some(PODS);
        if new_name && !of_pod {
            self.adopt_rotated(Some(node), path);
        } else if new_name && !starting {
            self.know_packed(&stem);
        }
        true
    }

    /// The chain of a wanted name.
    pub(super) fn chain(&mut self, stem: &Path) -> Option<(Arc<Path>, &mut Chain)> {
        let stem: Arc<Path> = match self.chains.get_key_value(stem) {
            Some((stem, _)) => stem.clone(),
            None => stem.into(),
        };
        let want = self.discover.wanted(&stem)?;
        let chain = match self.chains.entry(stem.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let origin = (self.settings.origin)(want, &stem)?;
                let format = origin.format;
                let joiner = Joiner::new(Arc::new(origin), self.reading.max_line, self.stats.clone());
                new.insert(Chain { joiner, format, tails: VecDeque::new() })
            }
        };
        Some((stem, chain))
    }

    /// Nothing is left under this name; its file may still be there under another one, or open.
    fn vanished(&mut self, path: &Path) {
        let Some(node) = self.at.remove(path) else { return };
        let other = self.at.iter().find(|(_, n)| **n == node).map(|(other, _)| other.clone());
        if let Some(tail) = self.tails.get_mut(&node)
            && tail.path == path
        {
            tail.place = if other.is_some() { Place::Aside } else { Place::Gone };
            tail.path = other.unwrap_or_else(|| path.to_path_buf());
            self.unnamed.push(node);
            self.make_ready(node);
        }
    }

    /// Kubelet names a rotated file like the one before it, with a time behind: `0.log.20260102-030405`.
    pub(super) fn stem(&self, path: &Path) -> PathBuf {
        let is_rotated = |name: &str| name.find(".log.").map(|at| at + 4);
        match path.file_name().and_then(|n| n.to_str()).and_then(|n| is_rotated(n).map(|end| &n[..end])) {
            Some(stem) if self.discover.wanted(path) == Some(PODS) => path.with_file_name(stem),
            _ => path.to_path_buf(),
        }
    }

    /// Rotated files come before the one that has their name now.
    pub(super) fn sort(&self, paths: &mut [PathBuf]) {
        paths.sort_by_cached_key(|path| (self.stem(path) == *path, path.clone()));
    }
}
