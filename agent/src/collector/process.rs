//! Processes in /proc: their numbers, some at a time, and the line of each that says how it stands.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom, openat, seek};

use super::api::CollectError;

/// Some 500 entries of a folder: one call of the kernel.
const BATCH_BYTES: usize = 16 << 10;

/// Lists /proc, a batch at a time; the next one goes on where the last one ended, also in a later round.
#[derive(Debug, Default)]
pub(super) struct Pids {
    folder: Option<(PathBuf, OwnedFd)>,
    buffer: Vec<u8>,
}

impl Pids {
    /// Appends the next batch to `out`; `true` where it was the last one, and the next begins anew.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the folder.
    pub(super) fn next(&mut self, proc: &Path, out: &mut Vec<u32>) -> Result<bool, CollectError> {
        let ended = self.fill(proc, out);
        if !matches!(ended, Ok(false)) {
            self.folder = None;
        }
        ended.map_err(|source| CollectError::Io { path: proc.to_owned(), source })
    }

    fn fill(&mut self, proc: &Path, out: &mut Vec<u32>) -> io::Result<bool> {
        let folder = match self.folder.take() {
            Some((path, folder)) if path == proc => folder,
            _ => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let folder = openat(CWD, proc, flags, Mode::empty())?;
                seek(&folder, SeekFrom::Start(0))?;
                folder
            }
        };
        self.buffer.clear();
        self.buffer.reserve(BATCH_BYTES);
        let mut ended = true;
        let mut entries = RawDir::new(&folder, self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            // The other entries of /proc are no numbers.
            out.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
            if entries.is_buffer_empty() {
                ended = false;
                break;
            }
        }
        self.folder = Some((proc.to_owned(), folder));
        Ok(ended)
    }
}

/// What is read of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
pub(super) struct Stat<'a> {
    /// Name, without what a worker of the kernel is doing at the moment.
    pub(super) comm: &'a str,
    /// `R`, `S`, `D`, `Z`, ...
    pub(super) state: &'a str,
    /// Processor time of all its threads, in ticks.
    pub(super) ticks: u64,
    /// Threads.
    pub(super) threads: u64,
    /// When it began, in ticks since the host was started: with the number it tells processes apart.
    pub(super) start: u64,
    /// Memory, in pages.
    pub(super) resident: u64,
}

/// `1 (name) S ...`: the name may hold brackets and blanks.
pub(super) fn parse_stat(text: &str) -> Option<Stat<'_>> {
    let (before, rest) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let mut number = |skip| fields.nth(skip)?.parse::<i64>().ok().map(|n| n.max(0).unsigned_abs());
    // Fields 14, 15, 20, 22 and 24 of the manual.
    let (user, system, threads, start, resident) =
        (number(10)?, number(0)?, number(4)?, number(1)?, number(1)?);
    let doing = if comm.starts_with("kworker/") { comm.find(['-', '+']) } else { None };
    let comm = doing.and_then(|end| comm.get(..end)).unwrap_or(comm);
    Some(Stat { comm, state, ticks: user.saturating_add(system), threads, start, resident })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "S 1 1 1 0 -1 4194560 1 2 3 4 50 7 8 9 20 0 3 0 900 1000 250 18446744073709551615";

    /// Scenario: names with brackets, a worker of the kernel, lines cut short.
    /// Guarantees: the right fields, or nothing.
    #[test]
    fn stats() {
        let text = format!("42 (a) (b) {TAIL}");
        let stat = parse_stat(&text).unwrap();
        assert_eq!((stat.comm, stat.state, stat.ticks), ("a) (b", "S", 57));
        assert_eq!((stat.threads, stat.start, stat.resident), (3, 900, 250));
        for (comm, name) in
            [("kworker/0:1-events", "kworker/0:1"), ("kworker/u8:2", "kworker/u8:2"), ("my-app", "my-app")]
        {
            assert_eq!(parse_stat(&format!("2 ({comm}) {TAIL}")).unwrap().comm, name);
        }
        for bad in ["", "1 (a", "1 a) S 1", "1 (a) S 1 2 3"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    /// Scenario: a folder with 2,000 numbers among other names; then it is gone.
    /// Guarantees: batches are bounded, together they are all, and the next round begins anew.
    #[test]
    fn batches() {
        let dir = tempfile::tempdir().unwrap();
        (1..=2_000).for_each(|pid| fs::create_dir(dir.path().join(pid.to_string())).unwrap());
        fs::create_dir(dir.path().join("self")).unwrap();
        let mut pids = Pids::default();
        for _round in 0..2 {
            let mut all = Vec::new();
            while !{
                let before = all.len();
                let ended = pids.next(dir.path(), &mut all).unwrap();
                assert!(all.len() - before <= BATCH_BYTES / 24);
                ended
            } {}
            all.sort_unstable();
            assert_eq!(all, (1..=2_000).collect::<Vec<_>>());
        }
        assert!(pids.next(&dir.path().join("none"), &mut Vec::new()).is_err());
    }

    proptest! {
        /// Scenario: any line.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "[0-9]{0,3} ?\\(?\\PC{0,9}\\)? ?[A-Z]?( -?[0-9]{1,21}){0,24}") {
            let _any = parse_stat(&text);
        }
    }
}
