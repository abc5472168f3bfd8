//! What the process need not keep in memory: the pages of its files that only its start has used.
//!
//! The kernel maps 64 KiB of a program around each page that is used for the first time (`do_fault_around`, mm/memory.c), and
//! what relocates the program, reads command line and configuration and opens the spool uses about half of all that a quiet
//! agent ever does. Given back, what is used again comes from the page cache without a read.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;

/// Where the program and its libraries lie in memory as they do in their files: code, constants, symbols.
pub(crate) struct AsInFiles(Vec<Range<usize>>);

impl AsInFiles {
    /// What there is now (`/proc/self/smaps`); nothing where the kernel does not tell. Libraries that are loaded later are
    /// not among it, so none of it is about to be written to.
    pub(crate) fn find() -> Self {
        let smaps = File::open("/proc/self/smaps").map(BufReader::new);
        Self(smaps.map(|smaps| as_in_files(smaps.lines().map_while(Result::ok))).unwrap_or_default())
    }

    /// Gives it all back to the kernel, but for what is used from now on. To be called where a part of the work is done for
    /// good; a system that does not allow it keeps what it has.
    pub(crate) fn forget(&self) {
        self.0.iter().for_each(forget);
    }
}

/// The mappings that cannot be written to and hold no page of the process's own: not what was relocated and then protected
/// (RELRO), not code with a debugger's breakpoints in it (proc_pid_smaps(5), "Anonymous" and "Swap").
fn as_in_files(smaps: impl Iterator<Item = String>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // Of the mapping at hand, while nothing speaks against it.
    let mut candidate = None;
    for line in smaps {
        if let Some((key, size)) = line.split_once(':').filter(|(key, _)| !key.contains(' ')) {
            match key {
                "Anonymous" | "Swap" if size.trim() != "0 kB" => candidate = None,
                // The last line of each mapping, since Linux 2.6.38.
                "VmFlags" => found.extend(candidate.take()),
                _ => {}
            }
        } else {
            candidate = unwritten(&line);
        }
    }
    found
}

/// Beginning and end of a private mapping of a file that cannot be written to, from the line that begins it.
fn unwritten(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    if !matches!(rights, "r-xp" | "r--p") || !words.nth(3)?.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[allow(unsafe_code)]
fn forget(range: &Range<usize>) {
    use rustix::mm::{Advice, madvise};
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a private mapping of a file that nobody can write to through it, and all of its pages are the
    // file's, as the kernel has said: they come back as they were (madvise(2), MADV_DONTNEED).
    let _kept = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: mappings of all kinds, and damaged lines.
    /// Guarantees: only what cannot be written to and is its file's alone is chosen.
    #[test]
    fn unwritten_files_alone() {
        let mapping = |head: &str, anonymous: u32, swap: u32| {
            format!("{head}\nRss: 4 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\nVmFlags: rd mr mw me \n")
        };
        let code = "55d0-55d8 r-xp 002b8000 fe:00 10174478     /usr/bin/ao-agent";
        let constants = "66d0-66d8 r--p 00000000 fe:00 10174478     /usr/lib/a b: c";
        let found = |smaps: String| as_in_files(smaps.lines().map(str::to_owned));
        let both = format!("{}{}", mapping(code, 0, 0), mapping(constants, 0, 0));
        assert_eq!(found(both), [0x55d0..0x55d8, 0x66d0..0x66d8]);
        for other in [
            mapping(constants, 4, 0),
            mapping(constants, 0, 4),
            mapping("55d0-55d8 rwxp 002b8000 fe:00 10174478     /usr/bin/ao-agent", 0, 0),
            mapping("55d0-55d8 rw-p 002b8000 fe:00 10174478     /usr/bin/ao-agent", 0, 0),
            mapping("55d0-55d8 r--s 002b8000 fe:00 10174478     /usr/bin/ao-agent", 0, 0),
            mapping("7ffc-7ffd r-xp 00000000 00:00 0            [vdso]", 0, 0),
            mapping("7ffc-7ffd r-xp 00000000 00:00 0", 0, 0),
            mapping("55d0 r-xp 0 fe:00 1 /x", 0, 0),
            mapping("-z r-xp 0 fe:00 1 /x", 0, 0),
            mapping("", 0, 0),
            // Cut off before all was said.
            format!("{code}\nAnonymous: 0 kB\n"),
        ] {
            assert!(found(other.clone()).is_empty(), "{other}");
        }
    }

    /// Scenario: done here, again and again, while another thread works.
    /// Guarantees: the program is among what is found; all goes on as before.
    #[test]
    fn goes_on() {
        let files = AsInFiles::find();
        let here = goes_on as fn() as usize;
        assert!(files.0.iter().any(|range| range.contains(&here)));
        let working =
            std::thread::spawn(|| (0..100_000_u64).map(|n| n.to_string().len() as u64).sum::<u64>());
        for _ in 0..20 {
            files.forget();
        }
        assert_eq!(working.join().unwrap(), 488_890);
    }
}
