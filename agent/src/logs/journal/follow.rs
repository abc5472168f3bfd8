//! Which of the journal's files is read next. Files of one writer (`system`, `user-1000`) in one folder form a series:
//! each is read once the one before it was read to its end, so that lines keep their order over rotations, where the
//! file that is written to gets another name and keeps its identity.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ao_proto::model::{FileId, FileSpan};
use tokio_util::sync::CancellationToken;

use super::super::api::LogsStats;
use super::chunks::Chunks;
use super::format::{self, Bad, Cursor, Entry, Head, Next};
use super::said::Fields;
use crate::event::Event;

/// Entries read of a file before it is another one's turn.
const TURN: usize = 1_024;
/// Bytes that a turn may have read when it takes no further entry.
const TURN_BYTES: u64 = 4 << 20;
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
pub(super) struct Settings {
    pub folders: Vec<PathBuf>,
    /// Units whose entries are wanted; empty: all entries.
    pub units: Vec<String>,
    pub max_line: usize,
    /// How long what is not written to its end is waited for.
    pub linger: Duration,
    pub rescan: Duration,
    /// Leaves out what files without checkpoint hold when the source starts.
    pub skip_existing: bool,
    /// How far each file was stored at the start.
    pub checkpoints: HashMap<FileId, u64>,
}

/// One file.
struct Tracked {
    id: FileId,
    path: PathBuf,
    series: (PathBuf, String),
    begun_us: u64,
    /// Bytes of it that count, at least.
    size: u64,
    /// Nothing is added any more.
    last: bool,
    disk: Option<File>,
    cursor: Cursor,
    fields: Fields,
    /// Behind what was read.
    at: u64,
    /// It was read to its end, or as far as it can be.
    ended: bool,
    gone: Option<Instant>,
    /// Since when something cannot be read that may become readable.
    trouble: Option<Instant>,
    told: bool,
}

/// All files.
pub(super) struct Follow {
    settings: Settings,
    stats: Arc<LogsStats>,
    chunks: Chunks,
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
        Self {
            chunks: Chunks::new(Arc::clone(&stats), settings.max_line),
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
            if !self.files[n].ended && busy.insert(self.files[n].series.clone()) {
                let is_newest = !self.files[n + 1..].iter().any(|next| next.series == self.files[n].series);
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
            let unread = file.size.saturating_sub(file.at);
            LogsStats::add(&self.stats.abandoned, 1);
            LogsStats::add(&self.stats.unread_bytes, unread);
            if unread > 0 {
                let span = FileSpan { file: file.id, start: file.at, end: file.size };
                self.chunks.abandon(span, out);
            }
            file.end();
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
        self.files.sort_by_key(|file| file.begun_us);
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
        let mut blind = false;
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
                match self.find(&path, stem, is_last(&name), out) {
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
    fn find(
        &mut self,
        path: &Path,
        stem: &str,
        last: bool,
        out: &mut Vec<Event>,
    ) -> Result<Option<FileId>, Bad> {
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
            known.begun(&head);
            return Ok(Some(head.id));
        }
        self.lost.remove(&head.id);
        LogsStats::add(&self.stats.files_found, 1);
        let stored = self.settings.checkpoints.get(&head.id).copied();
        let mut at = stored.unwrap_or(0);
        if stored.is_none() && self.starting && self.settings.skip_existing {
            at = head.tail.saturating_add(1);
            self.chunks.mark(head.id, at, out);
        }
        let waiting = self.files.iter().filter(|file| file.disk.is_some()).count();
        let mut file = Tracked {
            id: head.id,
            series: (path.parent().unwrap_or(path).to_owned(), stem.to_owned()),
            path: path.to_owned(),
            begun_us: u64::MAX,
            size: head.tail,
            last,
            disk: (waiting < OPEN).then_some(disk),
            cursor: Cursor::default(),
            fields: Fields::default(),
            at,
            ended: false,
            gone: None,
            trouble: None,
            told: false,
        };
        file.begun(&head);
        self.files.push(file);
        Ok(Some(head.id))
    }

    /// Reads a part of a file; whether there is more.
    fn turn(&mut self, n: usize, is_newest: bool, out: &mut Vec<Event>) -> bool {
        let file = &mut self.files[n];
        let read = file.read(&self.settings, &self.stats, &mut self.chunks, out);
        self.chunks.flush(out);
        match read {
            Ok(More::Yes) => true,
            Ok(More::No) => {
                if file.last || !is_newest {
                    file.end();
                }
                // The next one of the series.
                file.ended && !is_newest
            }
            Ok(More::Wait) => false,
            // Between two names, or deleted before its turn came.
            Err(Bad::Io(error)) if error.kind() == io::ErrorKind::NotFound => false,
            Err(bad) => {
                file.tell(&bad);
                LogsStats::add(&self.stats.read_errors, 1);
                if !matches!(bad, Bad::Io(_)) || file.gone.is_some() {
                    file.end();
                }
                file.ended && !is_newest
            }
        }
    }
}

/// What a turn leaves behind.
enum More {
    Yes,
    No,
    /// Something that is being written, perhaps.
    Wait,
}

impl Tracked {
    fn read(
        &mut self,
        settings: &Settings,
        stats: &LogsStats,
        chunks: &mut Chunks,
        out: &mut Vec<Event>,
    ) -> Result<More, Bad> {
        let disk = match self.disk.take() {
            Some(disk) => disk,
            None => File::open(&self.path)?,
        };
        let disk = &*self.disk.insert(disk);
        let Some(head) = Head::read(disk)? else { return Ok(More::No) };
        if head.id != self.id {
            // Under this name lies another file by now: the next look finds this one by its new name.
            self.disk = None;
            return Ok(More::Wait);
        }
        self.last |= head.archived;
        self.size = head.tail;
        let begun = self.at;
        for _ in 0..TURN {
            let entry = match self.cursor.next(disk, &head, self.at) {
                Ok(Next::End) => return Ok(More::No),
                Ok(Next::Entry(at)) => Entry::read(disk, &head, at),
                Err(bad) => Err(bad),
            };
            let said = entry.and_then(|entry| Ok((self.fields.said(disk, &head, &entry)?, entry.end)));
            match said {
                Ok((said, end)) => {
                    let span = FileSpan { file: self.id, start: self.at, end };
                    if let Some(why) = &said.unread {
                        LogsStats::add(&stats.journal_unreadable, 1);
                        if !std::mem::replace(&mut self.told, true) {
                            let path = self.path.display();
                            tracing::warn!(%path, why, "fields of a journal's file are left out, and counted");
                        }
                    }
                    let is_wanted = |unit: &Arc<str>| settings.units.iter().any(|wanted| **wanted == **unit);
                    if settings.units.is_empty() || said.unit.as_ref().is_some_and(is_wanted) {
                        chunks.take(span, said, out);
                    } else {
                        chunks.cover(span, out);
                    }
                    self.at = end;
                }
                Err(bad @ (Bad::Damaged(_) | Bad::Broken(_))) => {
                    let since = *self.trouble.get_or_insert_with(Instant::now);
                    if !self.last && since.elapsed() < settings.linger {
                        return Ok(More::Wait);
                    }
                    LogsStats::add(&stats.journal_damaged, 1);
                    if matches!(bad, Bad::Broken(_)) {
                        return Err(bad);
                    }
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(path = %self.path.display(), error = %bad, "a journal's file is damaged: what can be read of it is");
                    }
                }
                Err(bad) => return Err(bad),
            }
            self.trouble = None;
            self.cursor.pass();
            if self.at.saturating_sub(begun) >= TURN_BYTES {
                break;
            }
        }
        Ok(More::Yes)
    }

    /// When its first entry was written, once there is one; one without is the newest.
    fn begun(&mut self, head: &Head) {
        if head.begun_us != 0 {
            self.begun_us = head.begun_us;
        }
    }

    /// Nothing more is read of it.
    fn end(&mut self) {
        self.ended = true;
        self.disk = None;
        self.cursor = Cursor::default();
        self.fields = Fields::default();
    }

    fn tell(&mut self, bad: &Bad) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(path = %self.path.display(), error = %bad, "a journal's file is read no further");
        }
    }
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
pub(in crate::logs) fn part(
    checkpoints: &HashMap<FileId, u64>,
) -> (HashMap<FileId, u64>, HashMap<FileId, u64>) {
    checkpoints.iter().partition(|(file, _)| format::is_of_journal(**file))
}
