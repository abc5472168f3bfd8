//! Which of the journal's files is read next. Files of one writer (`system`, `user-1000`) in one folder form a series:
//! each is read once the one before it was read to its end, so that lines keep their order over rotations, where the
//! file that is written to gets another name and keeps its identity.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ao_proto::model::{FileId, FileSpan};
use tokio_util::sync::CancellationToken;

use super::super::api::LogsStats;
use super::chunks::Chunks;
use super::copies::Copies;
use super::format::{self, Bad, Head};
use super::said::Fields;
use super::tracked::{Means, More, Of, Tracked};
use crate::event::Event;

/// Files that wait for their turn open, so that they may be deleted meanwhile.
const OPEN: usize = 128;
/// A folder that was changed so lately may be changed once more without a change of its time.
const SETTLED: Duration = Duration::from_secs(2);
/// A file that is between two names while its folder is listed is found by the next one.
const RENAMED: Duration = Duration::from_secs(5);
/// A file that is gone is remembered for so long: its folder may come back.
const GONE: Duration = Duration::from_secs(600);
/// One that was not seen since the start.
const LOST: Duration = Duration::from_secs(24 * 3600);

/// What it is told once.
pub(crate) struct Settings {
    pub folders: Vec<PathBuf>,
    /// Units whose entries are wanted; empty: all entries.
    pub units: Vec<String>,
    /// Entries from before that are left out of files that are there when the source starts, microseconds since 1970.
    pub since_us: u64,
    /// Labels of all lines.
    pub labels: BTreeMap<String, String>,
    /// Labels, and the fields of entries that they are.
    pub fields: BTreeMap<String, String>,
    pub max_line: usize,
    /// How long what is not written to its end is waited for.
    pub linger: Duration,
    pub rescan: Duration,
    /// Leaves out what files without checkpoint hold when the source starts.
    pub skip_existing: bool,
    /// How far each file was stored at the start.
    pub checkpoints: HashMap<FileId, u64>,
}

/// All files.
pub(super) struct Follow {
    settings: Settings,
    stats: Arc<LogsStats>,
    chunks: Chunks,
    copies: Copies,
    /// Names of the fields that are labels.
    fields: Arc<[String]>,
    files: Vec<Tracked>,
    /// Folders, and when each was changed.
    seen: Vec<(PathBuf, Option<SystemTime>)>,
    changed_at: Instant,
    rescan_at: Instant,
    starting: bool,
    lost: HashSet<FileId>,
    lost_at: Instant,
    /// Files that are no journal's, and were named.
    refused: HashSet<PathBuf>,
}

impl Follow {
    pub(super) fn new(settings: Settings, stats: Arc<LogsStats>) -> Self {
        let now = Instant::now();
        let stored = settings.checkpoints.iter().map(|(file, at)| (*file, *at));
        let boots = stored.filter(|(file, _)| format::is_of_boot(*file));
        Self {
            chunks: Chunks::new(
                Arc::clone(&stats),
                settings.max_line,
                settings.labels.clone(),
                settings.fields.keys().cloned().collect(),
            ),
            fields: settings.fields.values().cloned().collect(),
            copies: Copies::new(boots),
            stats,
            files: Vec::new(),
            seen: Vec::new(),
            changed_at: now,
            rescan_at: now,
            starting: true,
            lost: settings.checkpoints.keys().copied().collect(),
            lost_at: now + LOST,
            refused: HashSet::new(),
            settings,
        }
    }

    /// One look at everything; whether there is more to read now. `send` says whether anybody wants it. After a stop no
    /// other file is begun.
    pub(super) fn round(&mut self, stop: &CancellationToken, send: &mut dyn FnMut(Event) -> bool) -> bool {
        let mut out = Vec::new();
        self.look(&mut out);
        let mut more = false;
        let mut busy = HashSet::new();
        let mut n = 0;
        while n < self.files.len() {
            if !self.files[n].ended && busy.insert(self.files[n].of.clone()) {
                let is_newest = !self.files[n + 1..].iter().any(|next| next.of == self.files[n].of);
                more |= self.turn(n, is_newest, &mut out);
            }
            for event in out.drain(..) {
                if !send(event) {
                    return false;
                }
            }
            if stop.is_cancelled() {
                return false;
            }
            n += 1;
        }
        more
    }

    /// No file was found.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Files that came and went.
    fn look(&mut self, out: &mut Vec<Event>) {
        let now = Instant::now();
        let changed = self.seen.iter().any(|(folder, before)| changed_at(folder) != *before);
        if changed {
            self.changed_at = now;
        }
        if now >= self.rescan_at || now < self.changed_at + SETTLED {
            self.rescan_at = now + self.settings.rescan;
            self.scan(out);
            self.starting = false;
        }
        if now >= self.lost_at {
            out.extend(self.lost.drain().map(Event::Forget));
        }
        let is_left = |file: &&mut Tracked| {
            !file.ended && file.disk.is_none() && file.gone.is_some_and(|at| now >= at + RENAMED)
        };
        for file in self.files.iter_mut().filter(is_left) {
            give_up(file, &self.stats, &mut self.chunks, out);
        }
        let is_over = |file: &Tracked| file.ended && file.gone.is_some_and(|at| now >= at + GONE);
        for file in self.files.iter().filter(|file| is_over(file)) {
            LogsStats::add(&self.stats.finished, 1);
            out.push(Event::Forget(file.id));
        }
        self.files.retain(|file| !is_over(file));
    }

    fn scan(&mut self, out: &mut Vec<Event>) {
        let mut found = HashSet::new();
        let mut blind = false;
        self.seen.clear();
        for folder in self.settings.folders.clone() {
            blind |= self.list(&folder, true, &mut found, out);
        }
        for file in self.files.iter_mut().filter(|file| !found.contains(&file.id)) {
            if !blind && file.gone.is_none() {
                file.gone = Some(Instant::now());
                file.last = true;
            }
        }
        // The one that is written to comes last, whatever the clock was when it was begun.
        self.files.sort_by_key(|file| (!file.last, file.begun_us));
    }

    /// Files of a folder, and of the machines' folders in it. Whether it could not be listed though it is there.
    fn list(
        &mut self,
        folder: &Path,
        outer: bool,
        found: &mut HashSet<FileId>,
        out: &mut Vec<Event>,
    ) -> bool {
        // Its time first: what comes while it is listed changes that.
        self.seen.push((folder.to_owned(), changed_at(folder)));
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                LogsStats::add(&self.stats.read_errors, 1);
                tracing::warn!(folder = %folder.display(), %error, "cannot list a folder of the journal");
                return true;
            }
        };
        let (mut blind, in_memory) = (false, is_in_memory(folder));
        for entry in entries {
            let Ok(entry) = entry else {
                blind = true;
                continue;
            };
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if outer && is_machine(&name) {
                blind |= self.list(&path, false, found, out);
            } else if let Some(stem) = stem(&name) {
                let of = Of { folder: folder.to_owned(), writer: stem.to_owned(), in_memory };
                match self.find(&path, of, is_last(&name), out) {
                    Ok(id) => found.extend(id),
                    Err(bad) => {
                        if self.refused.len() < 1_024 && self.refused.insert(path.clone()) {
                            LogsStats::add(&self.stats.read_errors, 1);
                            tracing::warn!(path = %path.display(), error = %bad, "a journal's file is not read");
                        }
                    }
                }
            }
        }
        blind
    }

    /// The file under a name.
    fn find(&mut self, path: &Path, of: Of, last: bool, out: &mut Vec<Event>) -> Result<Option<FileId>, Bad> {
        let disk = match File::open(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(head) = Head::read(&disk)? else { return Ok(None) };
        let last = last || head.archived;
        if let Some(known) = self.files.iter_mut().find(|known| known.id == head.id) {
            if known.path != path {
                known.path = path.to_owned();
                LogsStats::add(&self.stats.rotated, 1);
            }
            known.last |= last;
            known.gone = None;
            known.size = head.tail;
            known.begun(&head);
            return Ok(Some(head.id));
        }
        self.lost.remove(&head.id);
        LogsStats::add(&self.stats.files_found, 1);
        let stored = self.settings.checkpoints.get(&head.id).copied();
        let mut at = stored.unwrap_or(0);
        let is_new = stored.is_none() && self.starting;
        let is_old = head.entries > 0 && head.newest_us < self.settings.since_us;
        if is_new && (self.settings.skip_existing || is_old) {
            at = head.tail.saturating_add(1);
            self.chunks.mark(head.id, at, out);
        }
        let waiting = self.files.iter().filter(|file| file.disk.is_some()).count();
        let mut file = Tracked::new(path.to_owned(), of, &head, at, Fields::new(Arc::clone(&self.fields)));
        file.since_us = if is_new { self.settings.since_us } else { 0 };
        (file.last, file.disk) = (last, (waiting < OPEN).then_some(disk));
        self.files.push(file);
        Ok(Some(head.id))
    }

    /// Reads a part of a file; whether there is more.
    fn turn(&mut self, n: usize, is_newest: bool, out: &mut Vec<Event>) -> bool {
        let file = &mut self.files[n];
        let Settings { units, linger, .. } = &self.settings;
        let (chunks, copies) = (&mut self.chunks, &mut self.copies);
        let mut means = Means { stats: &self.stats, units, linger: *linger, chunks, copies };
        let read = file.read(&mut means, out);
        self.chunks.flush(out);
        match read {
            Ok(More::Yes) => true,
            Ok(More::No) => {
                if file.last {
                    file.end();
                }
                // The next one of the series.
                file.ended && !is_newest
            }
            Ok(More::Wait) => false,
            Ok(More::Emptied) => {
                give_up(file, &self.stats, &mut self.chunks, out);
                !is_newest
            }
            // Between two names, or deleted before its turn came.
            Err(Bad::Io(error)) if error.kind() == io::ErrorKind::NotFound => false,
            Err(bad) => {
                file.tell(&bad);
                LogsStats::add(&self.stats.read_errors, 1);
                if !matches!(bad, Bad::Io(_)) || file.gone.is_some() {
                    give_up(file, &self.stats, &mut self.chunks, out);
                }
                file.ended && !is_newest
            }
        }
    }
}

/// What is left of a file cannot be read any more.
fn give_up(file: &mut Tracked, stats: &LogsStats, chunks: &mut Chunks, out: &mut Vec<Event>) {
    let unread = file.size.saturating_sub(file.at);
    LogsStats::add(&stats.abandoned, 1);
    if unread > 0 {
        LogsStats::add(&stats.unread_bytes, unread);
        chunks.abandon(FileSpan { file: file.id, start: file.at, end: file.size }, out);
        file.at = file.size;
    }
    file.end();
}

/// Whether journald has this folder in memory: /run/log/journal, wherever /run is mounted.
fn is_in_memory(folder: &Path) -> bool {
    folder.iter().any(|name| name == "run")
}

/// When a folder was last changed.
fn changed_at(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder).and_then(|meta| meta.modified()).ok()
}

/// A machine's folder: its id, and the namespace of the journal where it has one. `remote` holds other machines'.
fn is_machine(name: &str) -> bool {
    let id = name.split_once('.').map_or(name, |(id, _)| id);
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Who writes the file of this name; `None` where it is no journal's.
fn stem(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".journal").or_else(|| name.strip_suffix(".journal~"))?;
    Some(stem.split_once('@').map_or(stem, |(stem, _)| stem))
}

/// Rotated, or put aside as it was not closed.
fn is_last(name: &str) -> bool {
    name.contains('@') || name.ends_with('~')
}

/// What files of lines are not concerned with, and the other way round.
pub(crate) fn part(checkpoints: &HashMap<FileId, u64>) -> (HashMap<FileId, u64>, HashMap<FileId, u64>) {
    checkpoints.iter().partition(|(file, _)| format::is_of_journal(**file))
}
