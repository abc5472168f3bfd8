//! Which file is read next. One thread goes round the files that have something to read, a part of each at a time, so
//! that a busy one holds up no other; it sleeps while there is nothing. While the batcher is behind it reads nothing,
//! and goes on looking at what appears and vanishes, so that no file comes and goes without being opened.
//!
//! Files that a name has stood for, one after the other, form a **chain**: a file is read only once the one before it
//! was read to its end, so that lines keep their order and a partial line finds its rest across a rotation. A file
//! that lost its name (renamed, deleted) stays open until it was read to its end and nothing came for `linger`.

mod ends;
mod keep;
mod look;
mod packed;
mod rescue;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ao_proto::model::FileId;

use super::api::{Format, LogsStats, Origin};
use super::discover::Discover;
use super::escrow::Escrow;
use super::identity::Node;
use super::join::Joiner;
use super::tail::{self, Place, Reading, Tail, Turn};
use super::watch::Inbox;
use crate::context::Durable;
use crate::event::Event;

/// Time between two rounds while files are written to: a line is read this much later at most, less than its frame waits
/// for others. A round costs the same for one line of a file as for ten.
const PACE: Duration = Duration::from_millis(200);

/// What is read in a round is handed over at its end, or beyond so many chunks or bytes of text. Not file by file: to wake
/// the batcher costs more than a file's lines.
const CHUNKS: usize = 128;
const TEXT: usize = 256 << 10;

/// Time between two looks at everything while some folders cannot be watched.
const BLIND: Duration = Duration::from_secs(2);

/// A file that was not seen for this long since the start is gone; not at once, as its folder may not be mounted yet.
const LOST: Duration = Duration::from_secs(24 * 3600);

/// Hands an event over at once. When there is no room it gives it back, and wakes the inbox as soon as there is.
pub(super) type HandOver<'a> = dyn FnMut(Event) -> Handed + 'a;

/// What became of an event.
pub(super) enum Handed {
    Over,
    /// Not now.
    Back(Box<Event>),
    /// Nobody wants any: the source is to end.
    Never,
}

/// Where the lines of a name come from, and how they are written; told the number of what wants it. `None`: they come
/// by another name.
pub(super) type Origins = Box<dyn Fn(usize, &Path) -> Option<Origin> + Send>;

/// What the loop is told once.
pub(super) struct Settings {
    /// Files held open at most, as long as none of them has unread bytes.
    pub open_files: usize,
    pub linger: Duration,
    pub rescan: Duration,
    /// Leaves out what files without checkpoint hold when the source starts.
    pub skip_existing: bool,
    /// How far each file was stored at the start.
    pub checkpoints: Arc<HashMap<FileId, u64>>,
    /// How far each is now.
    pub durable: Durable,
    pub origin: Origins,
}

/// Files of one name, the oldest first, and what joins their lines.
struct Chain {
    joiner: Joiner,
    format: Format,
    tails: VecDeque<Node>,
}

/// All files.
pub(super) struct Follow {
    settings: Settings,
    discover: Discover,
    escrow: Option<Escrow>,
    reading: Reading,
    stats: Arc<LogsStats>,
    chains: HashMap<Arc<Path>, Chain>,
    tails: HashMap<Node, Tail>,
    /// What stands under each name.
    at: HashMap<PathBuf, Node>,
    /// Names of what is no file.
    left_out: HashSet<PathBuf>,
    /// Compressed files beside pods' logs that were looked at.
    packed: HashSet<PathBuf>,
    /// Files that have something to read, perhaps.
    ready: VecDeque<Node>,
    /// Files held open, roughly those first that have been so for longest.
    opened: VecDeque<Node>,
    /// When to look at a file again of which nothing more may be heard.
    due: BinaryHeap<Reverse<(Instant, Node)>>,
    /// Files that just lost their names.
    unnamed: Vec<Node>,
    /// Files without their name whose unread bytes are cared for, the oldest first.
    kept: VecDeque<Node>,
    /// Files that are gone, and how far they have to be stored to be forgotten.
    leaving: Vec<(FileId, u64)>,
    sweep_at: Instant,
    starting: bool,
    /// Files with a checkpoint that were not seen yet, and when to give them up.
    lost: HashSet<FileId>,
    forget_at: Instant,
    /// What was read and not handed over yet.
    out: Vec<Event>,
    /// There was no room for it; nothing more is read meanwhile.
    held_up: bool,
}

impl Follow {
    pub(super) fn new(
        settings: Settings,
        discover: Discover,
        escrow: Option<Escrow>,
        reading: Reading,
    ) -> Self {
        let stats = reading.stats.clone();
        let lost = settings.checkpoints.keys().copied().collect();
        let forget_at = Instant::now() + LOST;
        let (chains, tails, at, left_out, ready, opened, due, out) = Default::default();
        let (packed, unnamed, kept, leaving) = Default::default();
        Self {
            settings,
            discover,
            escrow,
            reading,
            stats,
            chains,
            tails,
            at,
            left_out,
            packed,
            ready,
            opened,
            due,
            unnamed,
            kept,
            leaving,
            sweep_at: Instant::now(),
            starting: true,
            lost,
            forget_at,
            out,
            held_up: false,
        }
    }

    /// Runs until the inbox says stop or `send` does. Returns what could not be handed over before.
    pub(super) fn run(mut self, inbox: &Inbox, send: &mut HandOver<'_>) -> Vec<Event> {
        self.rescan();
        self.restore();
        self.unseen_packed();
        self.keep_unnamed();
        self.starting = false;
        if !self.hand_over(send) {
            return Vec::new();
        }
        let mut next_rescan = Instant::now() + self.rescan_after();
        let mut pace = Instant::now();
        loop {
            let is_calm = self.leaving.is_empty() && self.kept.is_empty();
            let until = if is_calm { next_rescan } else { next_rescan.min(self.sweep_at) };
            let changes = match self.due.peek() {
                _ if self.held_up => inbox.wait(Instant::now(), next_rescan),
                _ if !self.ready.is_empty() => inbox.poll(),
                Some(Reverse((due, _))) => inbox.wait(pace, until.min(*due)),
                None => inbox.wait(pace, until),
            };
            if self.ready.is_empty() {
                pace = Instant::now() + PACE;
            }
            if changes.stop {
                return self.out;
            }
            for change in changes.paths {
                self.look(&change.path, change.what);
            }
            let now = Instant::now();
            if changes.overflow {
                LogsStats::add(&self.stats.overflows, 1);
            }
            if now >= self.forget_at {
                self.forget_lost();
            }
            if changes.overflow || now >= next_rescan {
                self.rescan();
                self.rescan_packed(changes.overflow);
                next_rescan = now + self.rescan_after();
            }
            if !self.held_up {
                self.next(now);
            }
            self.keep_unnamed();
            self.sweep();
            if (self.ready.is_empty() || self.held_up || self.is_much()) && !self.hand_over(send) {
                return Vec::new();
            }
        }
    }

    /// Enough was read to be handed over.
    fn is_much(&self) -> bool {
        let text = |event: &Event| if let Event::Logs(chunk) = event { chunk.text.len() } else { 0 };
        self.out.len() >= CHUNKS || self.out.iter().map(text).sum::<usize>() >= TEXT
    }

    /// Hands over what there is, until there is no room. Says whether anybody wants it.
    fn hand_over(&mut self, send: &mut HandOver<'_>) -> bool {
        let mut waiting = std::mem::take(&mut self.out).into_iter();
        self.held_up = false;
        while let Some(event) = waiting.next() {
            match send(event) {
                Handed::Over => {}
                Handed::Back(event) => {
                    self.out.push(*event);
                    self.out.extend(waiting);
                    self.held_up = true;
                    break;
                }
                Handed::Never => return false,
            }
        }
        true
    }

    /// Does what is to be done next.
    fn next(&mut self, now: Instant) {
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
    }

    /// Files that the spool knows and that were not seen for a day: they went while nobody watched.
    fn forget_lost(&mut self) {
        self.forget_at += LOST;
        for id in std::mem::take(&mut self.lost) {
            self.forget(id);
        }
    }

    fn rescan_after(&self) -> Duration {
        if self.discover.is_blind() { BLIND.min(self.settings.rescan) } else { self.settings.rescan }
    }

    /// Looks at everything: what is wanted, and what is known.
    fn rescan(&mut self) {
        let mut found = if self.starting { self.discover.all() } else { self.discover.changed() };
        self.sort(&mut found);
        let known: Vec<PathBuf> = self.at.keys().cloned().collect();
        for path in found {
            self.look_at_file(&path, false);
        }
        for path in known {
            self.look_at_file(&path, false);
        }
        for log in self.discover.missing() {
            if self.starting && !self.chains.contains_key(&*log) {
                self.adopt_rotated(None, &log);
            }
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
            // It is called when those before it are at their ends, or given up.
            if let Some(tail) = self.tails.get_mut(&node) {
                tail.caught_up = false;
            }
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
        let may_open = |t: &Tail| t.file.is_none() && (t.place != Place::Gone || t.care.kept.is_some());
        if self.tails.get(&node).is_some_and(may_open) {
            self.make_room(true);
        }
        let Some(tail) = self.tails.get_mut(&node) else { return Ok(Turn::End) };
        if tail.file.is_none() {
            match tail::open(&tail.path) {
                Ok((file, meta)) if Node::of(&meta) == node || tail.is_copied() || tail.packed => {
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
        if tail.id.is_none() {
            self.locate(node, ended)?;
        }
        let Some(tail) = self.tails.get_mut(&node) else { return Ok(Turn::End) };
        let Some(chain) = self.chains.get_mut(&tail.stem) else { return Ok(Turn::End) };
        tail.turn(&mut chain.joiner, &mut self.reading, ended, &mut self.out)
    }

    /// Finds out which file it is and where to begin, as soon as that can be said.
    fn locate(&mut self, node: Node, ended: bool) -> io::Result<()> {
        let Some(tail) = self.tails.get_mut(&node) else { return Ok(()) };
        let size = tail.size_now()?;
        let Some((id, head)) = tail.identify(ended)? else {
            tail.size = size;
            return Ok(());
        };
        self.lost.remove(&id);
        let rewritten = tail.rewritten;
        let stored = self.settings.checkpoints.get(&id).copied().filter(|_| !rewritten);
        if stored.is_none() && !rewritten && self.is_copy(node, head.first_line(ended).unwrap_or_default()) {
            self.drop_tail(node);
            return Ok(());
        }
        self.note(node, id, head.first_line(ended).unwrap_or_default());
        let Some(tail) = self.tails.get_mut(&node) else { return Ok(()) };
        match stored {
            Some(stored) if stored <= size => tail.pos = stored,
            // Emptied while nobody watched, and begun with the same line again.
            Some(_) => {
                LogsStats::add(&self.stats.truncated, 1);
                self.out.push(Event::Forget(id));
            }
            None => {
                if self.settings.skip_existing && tail.existed && !rewritten {
                    tail.skip_to_end()?;
                } else {
                    tail.skip_hole()?;
                    if tail.pos > 0 {
                        LogsStats::add(&self.stats.zero_bytes, tail.pos);
                        let (path, bytes) = (tail.path.display(), tail.pos);
                        tracing::warn!(%path, bytes, "a log file begins with zeros: these are left out");
                    }
                }
                tail.skipped = tail.pos > 0;
            }
        }
        Ok(())
    }

    /// Knows nothing of this file any more.
    fn drop_tail(&mut self, node: Node) {
        let Some(tail) = self.tails.remove(&node) else { return };
        self.at.retain(|_, n| *n != node);
        self.opened.retain(|n| *n != node);
        if let Some(chain) = self.chains.get_mut(&tail.stem) {
            chain.tails.retain(|n| *n != node);
            if chain.tails.is_empty() {
                chain.joiner.give_up(&mut self.out);
                self.chains.remove(&tail.stem);
            }
        }
        self.call_next(&tail.stem);
        self.gauges();
    }

    /// One of a chain was read to its end, or is gone: the first of the others that is not at its end has its turn. That
    /// need not be the next one, which may have been read before something was put in front of it.
    fn call_next(&mut self, stem: &Path) {
        let Some(chain) = self.chains.get(stem) else { return };
        let waits = |node: &&Node| self.tails.get(node).is_some_and(|tail| !tail.caught_up);
        if let Some(next) = chain.tails.iter().find(waits).copied() {
            self.make_ready(next);
        }
    }

    fn gauges(&self) {
        self.stats.files_open.store(self.opened.len() as u64, Relaxed);
        self.stats.files_followed.store(self.tails.len() as u64, Relaxed);
    }
}
