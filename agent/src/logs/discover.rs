//! Which files there are to read. Folders are watched first and listed then, so that nothing falls between; a folder
//! that does not exist yet is waited for at the nearest one above it that does. Symbolic links to files (the kubelet's
//! pods folder holds some, to the runtime's own files) are followed: the folder that the file lies in is watched too.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_common::clock;

use super::api::LogsStats;
use super::inotify::Watch;
use super::names;
use super::watch::Inbox;
use crate::glob::Pattern;

/// Folders within folders that are entered at most.
const MAX_DEPTH: usize = 32;

/// How finely file systems tell time, nanoseconds: some in seconds, most in milliseconds.
const GRAIN_NS: i64 = 1_000_000_000;

/// Paths that are wanted, by the component that wants them.
pub(super) struct Want {
    pub patterns: Vec<Pattern>,
    pub exclude: Vec<Pattern>,
}

/// Finds files, and says again where it found something when the kernel reports a change there.
pub(super) struct Discover {
    watch: Watch,
    wants: Vec<Want>,
    watched: HashMap<PathBuf, Watched>,
    /// Folders that are watched only because something below them is missing.
    waiting: HashSet<PathBuf>,
    /// Where links lead, and from where.
    links: HashMap<PathBuf, PathBuf>,
    /// Folders that could not be watched when they were last tried.
    blind: HashSet<PathBuf>,
    /// Wanted names of which there are rotated files alone.
    missing: HashSet<PathBuf>,
    stats: Arc<LogsStats>,
}

/// A folder that is watched.
struct Watched {
    /// Device and inode, to see that it is another one by the same name.
    node: (u64, u64),
    /// For all that happens to the files in it, and not only for what appears.
    whole: bool,
    /// When it was changed before it was listed, where that was long enough before.
    listed: Option<i64>,
}

/// A folder's device and inode, and when it was changed.
type Seen = ((u64, u64), i64);

/// When anything in a folder was changed last, nanoseconds since 1970: nobody can set that.
fn changed(meta: &fs::Metadata) -> i64 {
    meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec())
}

impl Discover {
    /// # Errors
    /// The kernel gives no inotify instance.
    pub(super) fn new(wants: Vec<Want>, inbox: Arc<Inbox>, stats: Arc<LogsStats>) -> io::Result<Self> {
        let watch = Watch::new(inbox)?;
        let (watched, waiting, links, blind, missing) = Default::default();
        Ok(Self { watch, wants, watched, waiting, links, blind, missing, stats })
    }

    /// Whether some folders cannot be watched, so that changes in them have to be looked for.
    pub(super) fn is_blind(&self) -> bool {
        !self.blind.is_empty()
    }

    /// Wanted names of which only rotated files were seen since this was asked last.
    pub(super) fn missing(&mut self) -> HashSet<PathBuf> {
        std::mem::take(&mut self.missing)
    }

    /// Whether the folders are there in which this wanted file would be, so that its absence says that it is gone.
    pub(super) fn is_there(&self, path: &Path) -> bool {
        let bases =
            self.wants.iter().flat_map(|w| &w.patterns).filter(|p| p.matches(path)).map(Pattern::base);
        let is_filled = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        path.parent().is_some_and(Path::is_dir) || bases.into_iter().any(is_filled)
    }

    /// Which component wants this file, by its number.
    pub(super) fn wanted(&self, path: &Path) -> Option<usize> {
        self.wants.iter().position(|want| {
            want.patterns.iter().any(|p| p.matches(path)) && !want.exclude.iter().any(|p| p.matches(path))
        })
    }

    /// The link through which a changed file is read.
    pub(super) fn link_to(&self, path: &Path) -> Option<PathBuf> {
        self.links.get(path).cloned()
    }

    /// Watches where `link` leads.
    pub(super) fn follow(&mut self, link: &Path) {
        let end = fs::canonicalize(link);
        // It may lead to a file that is not there yet, or just being rotated.
        let end = end.or_else(|_| Ok::<_, io::Error>(link.with_file_name("").join(fs::read_link(link)?)));
        let Ok(target) = end else { return };
        if target != link {
            if let Some(dir) = target.parent() {
                self.watch(dir, true);
            }
            self.links.insert(target, link.to_path_buf());
        }
    }

    /// All wanted files, in the order of their names.
    pub(super) fn all(&mut self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for base in self.bases() {
            self.base(&base, &mut found);
        }
        found.sort();
        found.dedup();
        found
    }

    /// The wanted files of folders that are not as they were when they were listed, in the order of their names: to list
    /// all of them again costs many times what it takes to see that nothing has changed.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        if self.is_blind() {
            return self.all();
        }
        let mut found = Vec::new();
        let listed = self.watched.iter().filter(|(_, watched)| watched.whole).map(|(dir, _)| dir.clone());
        for dir in listed.collect::<Vec<_>>() {
            if !self.is_as_listed(&dir) {
                self.list(&dir, false, &mut Vec::new(), &mut found);
            }
        }
        for base in self.bases() {
            if !base.is_dir() || !self.watched.get(&base).is_some_and(|watched| watched.whole) {
                self.base(&base, &mut found);
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// This file was found and cannot be read yet: [`Discover::changed`] is to find it again.
    pub(super) fn find_again(&mut self, path: &Path) {
        if let Some(watched) = path.parent().and_then(|dir| self.watched.get_mut(dir)) {
            watched.listed = None;
        }
    }

    fn bases(&self) -> HashSet<PathBuf> {
        self.wants.iter().flat_map(|w| &w.patterns).map(|p| p.base().to_path_buf()).collect()
    }

    /// Whether what is in a folder was found before. Of one that is gone there is nothing to find.
    fn is_as_listed(&self, dir: &Path) -> bool {
        let Some(watched) = self.watched.get(dir) else { return false };
        fs::metadata(dir).map_or(true, |meta| {
            watched.node == (meta.dev(), meta.ino()) && watched.listed == Some(changed(&meta))
        })
    }

    /// A folder has changed, appeared, or become another one: the wanted files in it.
    pub(super) fn entered(&mut self, dir: &Path, removed: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if removed {
            // The watch may have gone with the folder that had this name before.
            self.watch.remove(dir);
            self.watched.remove(dir);
        }
        if self.reached(dir) {
            self.list(dir, true, &mut Vec::new(), &mut found);
        }
        self.bases_through(dir, &mut found);
        found
    }

    /// Nothing is left under this name: files that may be found elsewhere now.
    pub(super) fn vanished(&mut self, path: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.blind.retain(|dir| !dir.starts_with(path));
        self.links.retain(|_, link| link != path || link.is_symlink());
        if self.watched.keys().any(|dir| dir.starts_with(path)) {
            let gone: Vec<_> = self.watched.keys().filter(|dir| dir.starts_with(path)).cloned().collect();
            for dir in gone {
                self.watch.remove(&dir);
                self.watched.remove(&dir);
            }
        }
        self.bases_through(path, &mut found);
        found
    }

    /// Looks again for the bases that `path` is on the way to.
    fn bases_through(&mut self, path: &Path, found: &mut Vec<PathBuf>) {
        let bases: HashSet<PathBuf> = self
            .wants
            .iter()
            .flat_map(|w| &w.patterns)
            .map(|p| p.base().to_path_buf())
            .filter(|base| base.starts_with(path) && base != path || base == path && !path.is_dir())
            .collect();
        for base in bases {
            self.base(&base, found);
        }
    }

    /// Lists the base of a pattern, or waits for it.
    fn base(&mut self, base: &Path, found: &mut Vec<PathBuf>) {
        let mut above = base.to_path_buf();
        loop {
            if base.is_dir() {
                self.list(base, true, &mut Vec::new(), found);
                let done: Vec<_> = self
                    .waiting
                    .iter()
                    .filter(|dir| base.starts_with(dir) && *dir != base)
                    .cloned()
                    .collect();
                for dir in done {
                    let others = self.wants.iter().flat_map(|w| &w.patterns).map(Pattern::base);
                    let needed = others.filter(|b| b.starts_with(&dir)).any(|b| !b.is_dir());
                    if !needed && !self.reached(&dir) {
                        self.waiting.remove(&dir);
                        self.watch.remove(&dir);
                        self.watched.remove(&dir);
                    }
                }
                return;
            }
            // The nearest folder above that exists; then once more from the start, for what came in between.
            let nearest = base.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_path_buf();
            if nearest == above {
                return;
            }
            above = nearest;
            self.watch(&above, false);
            self.waiting.insert(above.clone());
        }
    }

    fn reached(&self, dir: &Path) -> bool {
        let inside = |p: &Pattern| dir.starts_with(p.base()) && p.reaches_into(dir);
        self.wants.iter().flat_map(|w| &w.patterns).any(inside)
    }

    /// Watches and lists a folder and those in it: `all` of these, or those that are not as they were listed. `way`: the
    /// folders that led here, so that links cannot make a loop.
    fn list(&mut self, dir: &Path, all: bool, way: &mut Vec<(u64, u64)>, found: &mut Vec<PathBuf>) {
        let Some((node, changed)) = self.watch(dir, true) else { return };
        if way.len() >= MAX_DEPTH || way.contains(&node) {
            return;
        }
        let now = clock::system_ns();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(err) => {
                tracing::warn!(dir = %dir.display(), error = %err, "cannot list a log folder");
                LogsStats::add(&self.stats.read_errors, 1);
                return;
            }
        };
        way.push(node);
        let mut whole = true;
        for entry in entries {
            let Ok(entry) = entry else {
                whole = false;
                continue;
            };
            let path = entry.path();
            let is_dir = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => path.is_dir(),
                Ok(kind) => kind.is_dir(),
                Err(_) => continue,
            };
            if is_dir {
                if self.reached(&path) && (all || !self.is_as_listed(&path)) {
                    self.list(&path, all, way, found);
                }
            } else if self.wanted(&path).is_some() {
                found.push(path);
            } else {
                let logs = names::logs_of(&path).filter(|log| self.wanted(log).is_some());
                let missing: Vec<_> = logs.filter(|log| !log.exists()).collect();
                self.missing.extend(missing);
            }
        }
        way.pop();
        if let Some(watched) = self.watched.get_mut(dir) {
            // After it was listed it may have been changed once more without a change of its time.
            watched.listed = Some(changed).filter(|changed| whole && now.saturating_sub(*changed) > GRAIN_NS);
        }
    }

    /// Device and inode of the folder, which is watched from now on, and when it was changed; `None` if there is none.
    /// `whole`: see [`Watched`].
    fn watch(&mut self, dir: &Path, whole: bool) -> Option<Seen> {
        let meta = fs::metadata(dir).ok().filter(fs::Metadata::is_dir)?;
        let node = (meta.dev(), meta.ino());
        let seen = Some((node, changed(&meta)));
        let known = self.watched.get(dir);
        let same = known.filter(|known| known.node == node);
        if same.is_some_and(|known| known.whole || !whole) {
            return seen;
        }
        if known.is_some() && same.is_none() {
            self.watch.remove(dir);
        }
        let added = if whole { self.watch.add(dir) } else { self.watch.wait_in(dir) };
        match added {
            Ok(()) => {
                self.watched.insert(dir.to_path_buf(), Watched { node, whole, listed: None });
                self.blind.remove(dir);
            }
            Err(err) => {
                // Not remembered as watched, so that the next rescan tries again.
                self.watched.remove(dir);
                LogsStats::add(&self.stats.watch_errors, 1);
                if self.blind.is_empty() {
                    tracing::warn!(dir = %dir.display(), error = %err, "cannot watch a log folder, looking often");
                }
                self.blind.insert(dir.to_path_buf());
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests;
