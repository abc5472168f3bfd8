//! Which file is read next. One thread goes round the files that have something to read, a part of each at a time, so
//! that a busy one holds up no other; it sleeps while there is nothing, and waits while the batcher is behind.
//!
//! Files that a name has stood for, one after the other, form a **chain**: a file is read only once the one before it
//! was read to its end, so that lines keep their order and a partial line finds its rest across a rotation. A file
//! that lost its name (renamed, deleted) stays open until it was read to its end and nothing came for `linger`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ao_proto::model::FileId;

use super::api::{LogsStats, Origin};
use super::discover::Discover;
use super::identity::Node;
use super::join::Joiner;
use super::tail::{self, Place, Reading, Tail, Turn};
use super::watch::Inbox;
use crate::event::Event;

/// Hands events over; `false` when the source is to end.
pub(super) type HandOver<'a> = dyn FnMut(Event) -> bool + 'a;

/// Where the lines of a name come from, and how they are written; told the number of what wants it.
pub(super) type Origins = Box<dyn Fn(usize, &Path) -> Origin + Send>;

/// What the loop is told once.
pub(super) struct Settings {
    /// Files held open at most, as long as none of them has unread bytes.
    pub open_files: usize,
    pub linger: Duration,
    pub rescan: Duration,
    /// Leaves out what files without checkpoint hold when the source starts.
    pub skip_existing: bool,
    /// How far each file is stored.
    pub checkpoints: Arc<HashMap<FileId, u64>>,
    pub origin: Origins,
}

/// Files of one name, the oldest first, and what joins their lines.
struct Chain {
    joiner: Joiner,
    tails: VecDeque<Node>,
}

/// All files.
pub(super) struct Follow {
    settings: Settings,
    discover: Discover,
    reading: Reading,
    stats: Arc<LogsStats>,
    chains: HashMap<Arc<Path>, Chain>,
    tails: HashMap<Node, Tail>,
    /// What stands under each name.
    at: HashMap<PathBuf, Node>,
    /// Files that have something to read, perhaps.
    ready: VecDeque<Node>,
    /// Files held open, roughly those first that have been so for longest.
    opened: VecDeque<Node>,
    /// When to look at a file again of which nothing more may be heard.
    due: BinaryHeap<Reverse<(Instant, Node)>>,
    starting: bool,
    out: Vec<Event>,
}

impl Follow {
    pub(super) fn new(settings: Settings, discover: Discover, reading: Reading) -> Self {
        let stats = reading.stats.clone();
        let (chains, tails, at, ready, opened, due, out) = Default::default();
        Self {
            settings,
            discover,
            reading,
            stats,
            chains,
            tails,
            at,
            ready,
            opened,
            due,
            starting: true,
            out,
        }
    }

    /// Runs until the inbox says stop or `send` does.
    pub(super) fn run(&mut self, inbox: &Inbox, send: &mut HandOver<'_>) {
        self.rescan();
        self.starting = false;
        let mut next_rescan = Instant::now() + self.settings.rescan;
        loop {
            let changes = if self.ready.is_empty() {
                let due = self.due.peek().map_or(next_rescan, |Reverse((at, _))| *at);
                inbox.wait(due.min(next_rescan))
            } else {
                inbox.poll()
            };
            if changes.stop {
                return;
            }
            for change in changes.paths {
                self.look(&change.path, change.removed);
            }
            let now = Instant::now();
            if changes.overflow {
                LogsStats::add(&self.stats.overflows, 1);
            }
            if changes.overflow || now >= next_rescan {
                self.rescan();
                next_rescan = now + self.settings.rescan;
            }
            while let Some(Reverse((at, node))) = self.due.peek().copied() {
                if at > now {
                    break;
                }
                self.due.pop();
                self.settle(node);
            }
            if let Some(node) = self.ready.pop_front() {
                self.turn(node);
            }
            for event in std::mem::take(&mut self.out) {
                if !send(event) {
                    return;
                }
            }
        }
    }

    /// Looks at everything: what is wanted, and what is known.
    fn rescan(&mut self) {
        let mut found = self.discover.all();
        // Rotated files come before the one that has their name now.
        found.sort_by_cached_key(|path| {
            let stem = self.stem(path);
            (stem == *path, path.clone())
        });
        let known: Vec<PathBuf> = self.at.keys().cloned().collect();
        for path in found {
            self.look_at_file(&path, false);
        }
        for path in known {
            self.look_at_file(&path, false);
        }
    }

    /// The kernel says that something changed here.
    fn look(&mut self, path: &Path, removed: bool) {
        if let Some(link) = self.discover.link_to(path) {
            self.look_at_file(&link, true);
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                let mut found = self.discover.entered(path, removed);
                found.sort_by_cached_key(|path| (self.stem(path) == *path, path.clone()));
                for path in found {
                    self.look_at_file(&path, true);
                }
            }
            Ok(_) => self.look_at_file(path, true),
            Err(_) => {
                self.vanished(path);
                for path in self.discover.vanished(path) {
                    self.look_at_file(&path, true);
                }
            }
        }
    }

    /// `changed`: its bytes may have changed even where its size has not.
    fn look_at_file(&mut self, path: &Path, changed: bool) {
        let meta = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return,
            Err(_) => {
                if path.is_symlink() && self.discover.wanted(path).is_some() {
                    self.discover.follow(path);
                }
                return self.vanished(path);
            }
        };
        let node = Node::of(&meta);
        if self.at.get(path).is_some_and(|known| *known != node) {
            LogsStats::add(&self.stats.rotated, 1);
            self.vanished(path);
        }
        if let Some(tail) = self.tails.get_mut(&node) {
            if tail.place == Place::Gone || !self.at.contains_key(&tail.path) {
                tail.path = path.to_path_buf();
            }
            tail.place = if *tail.path == *tail.stem { Place::Live } else { Place::Aside };
            self.at.insert(path.to_path_buf(), node);
            if changed || meta.len() != tail.size {
                self.make_ready(node);
            }
        } else if let Some(want) = self.discover.wanted(path) {
            self.begin(path, want);
        }
    }

    /// A file that is not known yet.
    fn begin(&mut self, path: &Path, want: usize) {
        let room = self.make_room(false);
        let (file, meta) = match tail::open(path) {
            Ok(opened) => opened,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return,
            Err(err) => {
                LogsStats::add(&self.stats.read_errors, 1);
                tracing::warn!(path = %path.display(), error = %err, "cannot open a log file");
                return;
            }
        };
        let node = Node::of(&meta);
        self.at.insert(path.to_path_buf(), node);
        if self.tails.contains_key(&node) {
            return self.make_ready(node);
        }
        if path.is_symlink() {
            self.discover.follow(path);
        }
        let stem: Arc<Path> = self.stem(path).into();
        let origin = (self.settings.origin)(want, &stem);
        let mut tail = Tail::new(node, path.to_path_buf(), stem.clone(), file, origin.format);
        let live = tail.place == Place::Live;
        tail.existed = self.starting;
        if room || !live {
            self.opened.push_back(node);
        } else {
            tail.file = None;
        }
        let (max_line, stats) = (self.reading.max_line, &self.stats);
        let chain = self.chains.entry(stem).or_insert_with(|| Chain {
            joiner: Joiner::new(Arc::new(origin), max_line, stats.clone()),
            tails: VecDeque::new(),
        });
        // One that was rotated away before it was ever seen stands before the one that has its name now.
        let place = match chain.tails.back() {
            Some(last) if !live && self.tails.get(last).is_some_and(|t| t.place == Place::Live) => {
                chain.tails.len() - 1
            }
            _ => chain.tails.len(),
        };
        let before: Vec<Node> = chain.tails.iter().take(place).copied().collect();
        chain.tails.insert(place, node);
        self.tails.insert(node, tail);
        LogsStats::add(&self.stats.files_found, 1);
        self.gauges();
        for earlier in before {
            if let Some(tail) = self.tails.get_mut(&earlier) {
                tail.caught_up = false;
            }
            self.make_ready(earlier);
        }
        self.make_ready(node);
    }

    /// Nothing is left under this name; its file may still be there under another one, or open.
    fn vanished(&mut self, path: &Path) {
        let Some(node) = self.at.remove(path) else { return };
        if let Some(tail) = self.tails.get_mut(&node)
            && tail.path == path
        {
            tail.place = Place::Gone;
            self.make_ready(node);
        }
    }

    /// Kubelet names a rotated file like the one before it, with a time behind: `0.log.20260102-030405`.
    fn stem(&self, path: &Path) -> PathBuf {
        let is_rotated = |name: &str| name.find(".log.").map(|at| at + 4);
        match path.file_name().and_then(|n| n.to_str()).and_then(|n| is_rotated(n).map(|end| &n[..end])) {
            Some(stem) if self.discover.wanted(path) == Some(super::PODS) => path.with_file_name(stem),
            _ => path.to_path_buf(),
        }
    }

    fn make_ready(&mut self, node: Node) {
        if let Some(tail) = self.tails.get_mut(&node)
            && !tail.queued
        {
            tail.queued = true;
            self.ready.push_back(node);
        }
    }

    /// Reads a part of one file.
    fn turn(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        tail.queued = false;
        let stem = tail.stem.clone();
        let Some(chain) = self.chains.get(&stem) else { return };
        let mut earlier = chain.tails.iter().take_while(|n| **n != node);
        if earlier.any(|n| self.tails.get(n).is_some_and(|t| !t.caught_up)) {
            // The one before it calls it when it is at its end.
            return;
        }
        let end = match self.read(node, false) {
            Ok(end) => end,
            Err(err) => {
                LogsStats::add(&self.stats.read_errors, 1);
                tracing::warn!(path = %stem.display(), error = %err, "cannot read a log file");
                Turn::End
            }
        };
        match end {
            Turn::More => self.make_ready(node),
            Turn::Truncated => self.truncated(node),
            Turn::End => self.at_end(node),
        }
    }

    /// Opens it if need be, finds where to begin if that is not known, and reads.
    fn read(&mut self, node: Node, ended: bool) -> io::Result<Turn> {
        if self.tails.get(&node).is_some_and(|t| t.file.is_none() && t.place != Place::Gone) {
            self.make_room(true);
        }
        let Some(tail) = self.tails.get_mut(&node) else { return Ok(Turn::End) };
        if tail.file.is_none() {
            match tail::open(&tail.path) {
                Ok((file, meta)) if Node::of(&meta) == node => {
                    tail.file = Some(file);
                    self.opened.push_back(node);
                    self.stats.files_open.store(self.opened.len() as u64, Relaxed);
                }
                // Another file by now; the change is on its way to us.
                Ok(_) => return Ok(Turn::End),
                Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Turn::End),
                Err(err) => return Err(err),
            }
        }
        let Some(chain) = self.chains.get_mut(&tail.stem) else { return Ok(Turn::End) };
        if tail.identify(ended)? {
            let size = tail.size_now()?;
            let known = tail.id.and_then(|id| self.settings.checkpoints.get(&id)).copied();
            match known {
                _ if tail.rewritten => {}
                Some(stored) if stored <= size => tail.pos = stored,
                Some(_) => {
                    LogsStats::add(&self.stats.truncated, 1);
                    self.out.extend(tail.id.map(Event::Forget));
                }
                None if self.settings.skip_existing && tail.existed => {
                    tail.skip_to_end()?;
                    if let Some(id) = tail.id {
                        chain.joiner.mark(id, tail.pos, &mut self.out);
                    }
                }
                None => {}
            }
        }
        tail.turn(&mut chain.joiner, &mut self.reading, ended, &mut self.out)
    }

    /// Emptied in place: what it holds now is another file, as far as lines are concerned.
    fn truncated(&mut self, node: Node) {
        LogsStats::add(&self.stats.truncated, 1);
        let Some(tail) = self.tails.get_mut(&node) else { return };
        if let Some(chain) = self.chains.get_mut(&tail.stem) {
            chain.joiner.give_up(&mut self.out);
        }
        self.out.extend(tail.restart().map(Event::Forget));
        self.make_ready(node);
    }

    /// Everything there is was read.
    fn at_end(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        let Some(chain) = self.chains.get(&tail.stem) else { return };
        if tail.place != Place::Live || chain.joiner.is_open() {
            tail.due = Some(Instant::now() + self.settings.linger);
            self.due.extend(tail.due.map(|at| Reverse((at, node))));
        }
        if !tail.caught_up {
            tail.caught_up = true;
            let next = chain.tails.iter().skip_while(|n| **n != node).nth(1).copied();
            if let Some(next) = next {
                self.make_ready(next);
            }
        }
    }

    /// Nothing has come for a while of a file that has no rest, or whose last line has none.
    fn settle(&mut self, node: Node) {
        let Some(tail) = self.tails.get_mut(&node) else { return };
        if tail.queued || tail.due.is_none_or(|due| due > Instant::now()) {
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

    /// The file is gone and was read to its end.
    fn finish(&mut self, node: Node) {
        self.close(node);
        let Some(tail) = self.tails.remove(&node) else { return };
        if let Some(chain) = self.chains.get_mut(&tail.stem) {
            chain.tails.retain(|n| *n != node);
            if chain.tails.is_empty() {
                chain.joiner.give_up(&mut self.out);
                self.chains.remove(&tail.stem);
            } else if let Some(next) = chain.tails.front().copied() {
                self.make_ready(next);
            }
        }
        self.out.extend(tail.id.map(Event::Forget));
        LogsStats::add(if tail.caught_up { &self.stats.finished } else { &self.stats.abandoned }, 1);
        self.gauges();
    }

    fn close(&mut self, node: Node) {
        if let Some(tail) = self.tails.get_mut(&node)
            && tail.file.take().is_some()
        {
            self.opened.retain(|n| *n != node);
            self.gauges();
        }
    }

    /// Closes files that have nothing to read, until one more may be opened. Says whether it may; with `must`, files
    /// with unread bytes are closed too, which are opened again at their turn. One without its name is never closed:
    /// it could not be found again.
    fn make_room(&mut self, must: bool) -> bool {
        for _ in 0..self.opened.len() {
            if self.opened.len() < self.settings.open_files {
                return true;
            }
            let Some(node) = self.opened.pop_front() else { break };
            match self.tails.get_mut(&node) {
                Some(tail) if tail.place != Place::Live || !must && (tail.queued || !tail.caught_up) => {
                    self.opened.push_back(node);
                }
                Some(tail) => tail.file = None,
                None => {}
            }
        }
        self.opened.len() < self.settings.open_files
    }

    fn gauges(&self) {
        self.stats.files_open.store(self.opened.len() as u64, Relaxed);
        self.stats.files_followed.store(self.tails.len() as u64, Relaxed);
    }
}
