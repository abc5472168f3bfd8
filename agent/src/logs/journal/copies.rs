//! Entries that lie in two folders. journald begins in memory (/run/log/journal), and writes all of it anew to disk
//! (/var/log/journal) once it is told to: other files, other positions and other numbers, and the same order, boot and
//! times (systemd, src/journal/journald-server.c, `server_flush_to_var`). An entry is a copy where the other folder had
//! those of its boot from before it to behind it.
//!
//! What was read of memory is noted as the position in a file that there is not, in the frame that has its lines: so that
//! an agent that was killed knows them though their own file is gone by then.

use std::collections::HashMap;

use ao_proto::model::{FileId, FileSpan};

use super::format::{BOOT_MARK, Entry};

/// Boots that are remembered, of each kind of folder.
const BOOTS: usize = 64;
/// Entries of one time that are told from each other.
const TOGETHER: u64 = 0xff;

/// What has been read, by boot.
#[derive(Debug, Default)]
pub(super) struct Copies {
    memory: HashMap<FileId, Seen>,
    disk: HashMap<FileId, Seen>,
}

/// Entries of a boot, which follow each other.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Times of the first and of the last one, microseconds since the boot.
    from_us: u64,
    to_us: u64,
    /// How many were of the last one's time.
    at_end: u64,
    /// Of these, copies that were met.
    met: u64,
}

impl Copies {
    /// `noted`: how far each boot was stored at the start, of [`Copies::take`].
    pub(super) fn new(noted: impl Iterator<Item = (FileId, u64)>) -> Self {
        let seen = |at: u64| Seen { from_us: 0, to_us: at >> 8, at_end: at & TOGETHER, met: 0 };
        Self { memory: noted.map(|(boot, at)| (boot, seen(at))).collect(), disk: HashMap::new() }
    }

    /// Whether an entry of a machine's journal was read in the other folder. Asked once for each.
    pub(super) fn is_copy(&mut self, machine: &str, in_memory: bool, entry: &Entry) -> bool {
        let others = if in_memory { &mut self.disk } else { &mut self.memory };
        let Some(seen) = others.get_mut(&boot(machine, entry)) else { return false };
        if entry.boot_us != seen.to_us {
            return (seen.from_us..seen.to_us).contains(&entry.boot_us);
        }
        seen.met += 1;
        seen.met <= seen.at_end
    }

    /// An entry is read. What is to be noted of it, if anything.
    pub(super) fn take(&mut self, machine: &str, in_memory: bool, entry: &Entry) -> Option<FileSpan> {
        let boots = if in_memory { &mut self.memory } else { &mut self.disk };
        let boot = boot(machine, entry);
        if boots.len() >= BOOTS && !boots.contains_key(&boot) {
            boots.clear();
        }
        let at_us = entry.boot_us;
        let seen = boots.entry(boot).or_insert(Seen { from_us: at_us, to_us: at_us, ..Seen::default() });
        if at_us > seen.to_us {
            (seen.to_us, seen.at_end, seen.met) = (at_us, 0, 0);
        }
        seen.from_us = seen.from_us.min(at_us);
        seen.at_end += u64::from(at_us == seen.to_us);
        let at = seen.to_us << 8 | seen.at_end.min(TOGETHER);
        in_memory.then_some(FileSpan { file: boot, start: at, end: at })
    }
}

/// The file that there is not: a boot of a machine's journal.
fn boot(machine: &str, entry: &Entry) -> FileId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&BOOT_MARK);
    bytes[6..].copy_from_slice(&entry.boot[..10]);
    // A namespace is a journal of its own (FNV-1a).
    let hash = machine.bytes().fold(0x811c_9dc5_u32, |sum, b| (sum ^ u32::from(b)).wrapping_mul(0x0100_0193));
    for (byte, hashed) in bytes[12..].iter_mut().zip(hash.to_le_bytes()) {
        *byte ^= hashed;
    }
    FileId(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0123456789abcdef0123456789abcdef";

    fn entry(boot: u8, boot_us: u64) -> Entry {
        Entry { at_us: 0, boot: [boot; 16], boot_us, end: 0, data: Vec::new() }
    }

    /// Scenario: entries of two boots on disk; those in memory, three of one time, read in part; all of them on disk, and
    /// newer ones; the rest of those in memory. Once in one go, once by an agent that begins anew in between.
    /// Guarantees: each is read once, whichever comes first; those before, of another boot or of a namespace are no copies.
    #[test]
    fn once() {
        for killed in [false, true] {
            let mut copies = Copies::default();
            let read = |copies: &mut Copies, machine, in_memory, boot, at| {
                let entry = entry(boot, at);
                let is_copy = copies.is_copy(machine, in_memory, &entry);
                (!is_copy).then(|| copies.take(machine, in_memory, &entry))
            };
            for (boot, at) in [(1, 5), (1, 90), (2, 5), (2, 6)] {
                assert_eq!(read(&mut copies, MACHINE, false, boot, at), Some(None));
            }
            let mut noted = None;
            for at in [10, 11, 11] {
                noted = read(&mut copies, MACHINE, true, 2, at).unwrap();
            }
            if killed {
                copies = Copies::new(noted.map(|span| (span.file, span.end)).into_iter());
            }
            for at in [10, 11, 11] {
                assert_eq!(read(&mut copies, MACHINE, false, 2, at), None);
            }
            for at in [11, 12, 13] {
                assert_eq!(read(&mut copies, MACHINE, false, 2, at), Some(None));
            }
            for at in [11, 12] {
                assert_eq!(read(&mut copies, MACHINE, true, 2, at), None);
            }
            assert_eq!(read(&mut copies, "other", false, 2, 10), Some(None));
            assert_eq!(read(&mut copies, MACHINE, false, 3, 10), Some(None));
            assert!(read(&mut copies, MACHINE, true, 2, 14).is_some_and(|noted| noted.is_some()));
        }
    }
}
