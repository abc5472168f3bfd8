//! What makes a file the same file, whatever its name.
//!
//! A [`FileId`] is the hash of inode, birth time and first line (of a longer first line, the first 1 KiB). It has to
//! be the same each time that it is computed, at any size of the file, by a process that remembers nothing:
//!
//! - **While the file grows** its first line stays as it is. Before the first line is complete there is no identity,
//!   and none is needed, since a span covers complete lines only. (A file that ends without ever completing a line is
//!   identified by all that it has, once it is known to have ended.)
//! - **Inode reuse** (ext4 does it in nine of ten rotations) is told apart by the birth time, and, within one tick of
//!   the clock or where there is no birth time, by the first line.
//! - **copytruncate** keeps inode and birth time; the first line differs, so it is a new file. Where even the first
//!   line is the same text, a size below the position that was reached shows it (see `tail`).
//! - **The device number** is part of it only where the file system keeps no birth time: numbers of NVMe, device
//!   mapper and btrfs devices can change at a reboot, and every log would then be read again.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

use ao_proto::model::FileId;

/// Bytes of the first line that count.
pub(super) const HEAD: usize = 1024;

/// A file on this machine now: enough to tell it from every other one that exists or existed since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    dev: u64,
    ino: u64,
    /// Nanoseconds since 1970; 0 where the file system keeps none.
    born: i64,
}

impl Node {
    pub(super) fn of(meta: &Metadata) -> Self {
        let born = meta.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { dev: meta.dev(), ino: meta.ino(), born: born.map_or(0, |d| d.as_nanos() as i64) }
    }

    /// The identity of the file whose first line is `first`.
    pub(super) fn id(&self, first: &[u8]) -> FileId {
        let mut hash = Fnv::default();
        hash.add(&self.ino.to_le_bytes());
        hash.add(&self.born.to_le_bytes());
        if self.born == 0 {
            hash.add(&self.dev.to_le_bytes());
        }
        hash.add(first);
        FileId(hash.0.to_le_bytes())
    }
}

/// The beginning of a file.
pub(super) struct Head {
    bytes: [u8; HEAD],
    len: usize,
}

impl Head {
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut head = Self { bytes: [0; HEAD], len: 0 };
        while head.len < HEAD {
            match file.read_at(&mut head.bytes[head.len..], head.len as u64) {
                Ok(0) => break,
                Ok(n) => head.len += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(head)
    }

    /// The first line with its line end, or the first 1 KiB of a longer one; `None` while that is not complete.
    /// `ended`: the file will not grow any more, what is there is all.
    pub(super) fn first_line(&self, ended: bool) -> Option<&[u8]> {
        let head = &self.bytes[..self.len];
        match memchr::memchr(b'\n', head) {
            Some(at) => Some(&head[..=at]),
            None if head.len() == HEAD || (ended && !head.is_empty()) => Some(head),
            None => None,
        }
    }
}

/// The first bytes of a file, to see at little cost that they are still the same.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    bytes: [u8; Self::LEN],
    len: u8,
}

impl Prefix {
    /// A CRI line's time stamp and then some.
    const LEN: usize = 64;

    pub(super) fn new(first: &[u8]) -> Self {
        let len = first.len().min(Self::LEN);
        let mut bytes = [0; Self::LEN];
        bytes[..len].copy_from_slice(&first[..len]);
        Self { bytes, len: len as u8 }
    }

    /// Whether the file still begins like this.
    pub(super) fn holds(&self, file: &File) -> io::Result<bool> {
        let mut now = [0; Self::LEN];
        let len = usize::from(self.len);
        match file.read_exact_at(&mut now[..len], 0) {
            Ok(()) => Ok(now[..len] == self.bytes[..len]),
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(err) => Err(err),
        }
    }
}

/// The hash of a first line alone: what a file has in common with its compressed copy.
pub(super) fn print(first: &[u8]) -> FileId {
    let mut hash = Fnv::default();
    hash.add(first);
    FileId(hash.0.to_le_bytes())
}

/// FNV-1a with 128 bits (draft-eastlake-fnv): at most 1 KiB per file goes through it, and its result must never
/// change, since it lies in spools.
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u128::from(*byte);
            self.0 = self.0.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn id_of(path: &std::path::Path, ended: bool) -> Option<FileId> {
        let file = File::open(path).unwrap();
        let node = Node::of(&file.metadata().unwrap());
        Head::read(&file).unwrap().first_line(ended).map(|first| node.id(first))
    }

    /// Scenario: the published test vectors of FNV-1a 128.
    /// Guarantees: the hash is the one that is documented, so that it stays the same from release to release.
    #[test]
    fn fnv() {
        for (text, expect) in [
            ("", 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128),
            ("a", 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964),
            ("foobar", 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18),
        ] {
            let mut hash = Fnv::default();
            hash.add(text.as_bytes());
            assert_eq!(hash.0, expect, "{text}");
        }
    }

    /// Scenario: a file grows from nothing through half a line to many lines.
    /// Guarantees: no identity before the first line is complete, then always the same one.
    #[test]
    fn growing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut file = File::create(&path).unwrap();
        assert_eq!(id_of(&path, false), None);
        file.write_all(b"fir").unwrap();
        assert_eq!(id_of(&path, false), None);
        assert!(id_of(&path, true).is_some());
        file.write_all(b"st\n").unwrap();
        let id = id_of(&path, false).unwrap();
        for _ in 0..100 {
            file.write_all(&[b'x'; 50]).unwrap();
            assert_eq!(id_of(&path, false), Some(id));
        }
        std::fs::rename(&path, dir.path().join("b.log")).unwrap();
        assert_eq!(id_of(&dir.path().join("b.log"), false), Some(id));
    }

    /// Scenario: the first line is longer than what is hashed and grows.
    /// Guarantees: the identity is there at 1 KiB and stays.
    #[test]
    fn long_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, vec![b'x'; HEAD]).unwrap();
        let id = id_of(&path, false).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&[b'y'; 3000]).unwrap();
        file.write_all(b"\n").unwrap();
        assert_eq!(id_of(&path, false), Some(id));
    }

    /// Scenario: a file is emptied and written anew.
    /// Guarantees: another identity; its first bytes are seen to have changed.
    #[test]
    fn rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, b"one\n").unwrap();
        let id = id_of(&path, false);
        let file = File::open(&path).unwrap();
        let prefix = Prefix::new(b"one\n");
        assert!(prefix.holds(&file).unwrap());
        std::fs::write(&path, b"").unwrap();
        assert!(!prefix.holds(&file).unwrap());
        std::fs::write(&path, b"two\nand more\n").unwrap();
        assert!(!prefix.holds(&file).unwrap());
        assert_ne!(id_of(&path, false), id);
    }
}
