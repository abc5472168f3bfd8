//! The journal's files on disk, read in place: header, the chain of entry arrays, entries, and the data they name
//! (systemd, docs/JOURNAL_FILE_FORMAT.md and src/libsystemd/sd-journal/journal-def.h). All numbers are little-endian.
//!
//! Read, not mapped: a file that is cut off while it is read gives an error and no signal. No number of a file is
//! believed: objects lie within it, positions only grow, so that nothing loops and nothing large is asked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use ao_proto::model::FileId;

/// Largest field that is taken, packed or not.
const FIELD: u64 = 16 << 20;
/// What zstd may have to remember at most, as a power of two: journald packs no more at once than it has a field.
const WINDOW: u32 = 24;
/// Fields of an entry at most (journal-file.h, `ENTRY_FIELD_COUNT_MAX`).
const FIELDS: u64 = 1_024;
/// Items of an array read at a time.
const ITEMS: u64 = 512;
/// Bytes of an object that are read at once: most are no longer.
const FIRST: usize = 512;
/// Through `tail_entry_realtime`, which every version's header has.
const HEAD: usize = 208;

/// Incompatible flags: what one must know to read the file.
const COMPACT: u32 = 16;
const KNOWN: u32 = 1 | 2 | 4 | 8 | COMPACT;

/// Types of objects.
const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

/// The beginning of every identity of a journal's file, which no hash of another file's first line has.
const MARK: [u8; 6] = *b"jrnl:\0";

/// The same of a boot: how far its entries in memory were read (see `copies`).
pub(super) const BOOT_MARK: [u8; 6] = *b"jrnb:\0";

/// Bytes at positions.
pub(super) trait ReadAt {
    /// As [`FileExt::read_at`].
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Bytes that there are.
    fn len(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let have = rest.len().min(buffer.len());
        buffer[..have].copy_from_slice(&rest[..have]);
        Ok(have)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }
}

/// Why a file, or a part of it, is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Bad {
    #[error("it does not begin as a journal's file does")]
    Signature,
    #[error("it is of a newer format (incompatible flags {0:#x}), of which this version knows nothing")]
    Unknown(u32),
    #[error("{0}")]
    Damaged(&'static str),
    #[error("{0}; what lies behind is not found")]
    Broken(&'static str),
    #[error("{0}")]
    Packed(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the header says now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub id: FileId,
    /// Nothing will be added.
    pub archived: bool,
    pub entries: u64,
    /// Where the newest object begins.
    pub tail: u64,
    /// Times of the first entry and of the newest one, microseconds since 1970.
    pub begun_us: u64,
    pub newest_us: u64,
    compact: bool,
    array: u64,
}

impl Head {
    /// `None`: the file is only being made.
    pub(super) fn read(file: &impl ReadAt) -> Result<Option<Self>, Bad> {
        let mut head = [0; HEAD];
        let have = fill(file, &mut head, 0)?;
        if have < HEAD {
            return Ok(None);
        }
        if head[..8] == [0; 8] {
            return Ok(None);
        }
        if &head[..8] != b"LPKSHHRH" {
            return Err(Bad::Signature);
        }
        let flags = u32_at(&head, 12);
        if flags & !KNOWN != 0 {
            return Err(Bad::Unknown(flags));
        }
        Ok(Some(Self {
            id: identity(&head[24..40]),
            archived: head[16] == 2,
            compact: flags & COMPACT != 0,
            tail: u64_at(&head, 136),
            entries: u64_at(&head, 152),
            array: u64_at(&head, 176),
            begun_us: u64_at(&head, 184),
            newest_us: u64_at(&head, 192),
        }))
    }
}

/// A journal's file as the spool knows it.
fn identity(id: &[u8]) -> FileId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&MARK);
    bytes[6..].copy_from_slice(&id[..10]);
    FileId(bytes)
}

/// Whether this is a journal's file, and not one of lines.
pub(crate) fn is_of_journal(id: FileId) -> bool {
    id.0.starts_with(&MARK) || is_of_boot(id)
}

/// Whether this is a boot.
pub(super) fn is_of_boot(id: FileId) -> bool {
    id.0.starts_with(&BOOT_MARK)
}

/// Where reading has come in the chain of arrays of all entries.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The array, and its number of items.
    array: u64,
    items: u64,
    /// Of its items, those behind us.
    index: u64,
    /// Of all items, those behind us.
    seen: u64,
    /// The newest entry that was given.
    last: u64,
    /// Items that were read, the next one last.
    block: Vec<u64>,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// An entry lies here.
    Entry(u64),
    /// Nothing, for now.
    End,
}

impl Cursor {
    /// The next entry at or behind `from`; [`Cursor::pass`] goes on behind it.
    ///
    /// # Errors
    /// Damage: of an item, which may be passed by; of an array, behind which nothing is found.
    pub(super) fn next(&mut self, file: &impl ReadAt, head: &Head, from: u64) -> Result<Next, Bad> {
        loop {
            if self.seen >= head.entries {
                return Ok(Next::End);
            }
            if self.block.is_empty() && !self.fill(file, head)? {
                return Ok(Next::End);
            }
            let Some(&item) = self.block.last() else { return Ok(Next::End) };
            if item == 0 {
                // Asked for anew the next time.
                self.block.clear();
                return Err(Bad::Damaged("an entry is not there yet that its header counts"));
            }
            if item <= self.last || !item.is_multiple_of(8) {
                self.block.clear();
                return Err(Bad::Damaged("entries are not in order"));
            }
            if item >= from {
                return Ok(Next::Entry(item));
            }
            self.pass();
        }
    }

    /// Goes on behind what came next.
    pub(super) fn pass(&mut self) {
        if let Some(item) = self.block.pop() {
            self.last = self.last.max(item);
        }
        self.index += 1;
        self.seen += 1;
    }

    /// Reads items; whether there are any.
    fn fill(&mut self, file: &impl ReadAt, head: &Head) -> Result<bool, Bad> {
        let item = if head.compact { 4 } else { 8 };
        while self.index >= self.items {
            let next = match self.array {
                0 => head.array,
                array => {
                    let mut next = [0; 8];
                    exact(file, &mut next, array + 16).map_err(broken)?;
                    u64::from_le_bytes(next)
                }
            };
            if next == 0 {
                return Ok(false);
            }
            if next <= self.array {
                return Err(Bad::Broken("its arrays of entries go back"));
            }
            let (size, _) = object(file, next, ENTRY_ARRAY, 24).map_err(broken)?;
            (self.array, self.items, self.index) = (next, (size - 24) / item, 0);
            if self.items == 0 {
                return Err(Bad::Broken("an array of entries has no room for any"));
            }
        }
        let wanted = ITEMS.min(self.items - self.index).min(head.entries - self.seen);
        let mut bytes = vec![0; (wanted * item) as usize];
        exact(file, &mut bytes, self.array + 24 + self.index * item).map_err(broken)?;
        self.block.extend(bytes.chunks_exact(item as usize).rev().map(number));
        Ok(true)
    }
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// Which boot of the machine it is of, and microseconds since then.
    pub boot: [u8; 16],
    pub boot_us: u64,
    /// Where it ends.
    pub end: u64,
    /// Where its data lie.
    pub data: Vec<u64>,
}

impl Entry {
    /// # Errors
    /// There is none at `at`.
    pub(super) fn read(file: &impl ReadAt, head: &Head, at: u64) -> Result<Self, Bad> {
        let (size, _) = object(file, at, ENTRY, 64)?;
        let item = if head.compact { 4 } else { 16 };
        let count = (size - 64) / item;
        if count > FIELDS {
            return Err(Bad::Damaged("an entry has more fields than there may be"));
        }
        let mut bytes = vec![0; (64 + count * item) as usize];
        exact(file, &mut bytes, at)?;
        let (at_us, boot_us) = (u64_at(&bytes, 24), u64_at(&bytes, 32));
        let mut boot = [0; 16];
        boot.copy_from_slice(&bytes[40..56]);
        // Of 16 bytes the first half says where, the other is a hash.
        let data = bytes[64..].chunks_exact(item as usize).map(|item| number(&item[..item.len().min(8)]));
        let end = at.saturating_add(size.next_multiple_of(8));
        Ok(Self { at_us, boot, boot_us, end, data: data.collect() })
    }
}

/// `NAME=value` as it was said, of an entry's field; `None` where the name is not `wanted`.
///
/// # Errors
/// There is none at `at`, or it is packed in a way that is not read here.
pub(super) fn field(
    file: &impl ReadAt,
    head: &Head,
    at: u64,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<Vec<u8>>, Bad> {
    let begin = if head.compact { 72 } else { 64 };
    let mut first = [0; FIRST];
    let have = fill(file, &mut first, at)?;
    let (size, flags) = checked(file, &first[..have], at, DATA, begin)?;
    let known = &first[begin as usize..have.min(size as usize).max(begin as usize)];
    let is_wanted = |payload: &[u8]| memchr::memchr(b'=', payload).is_some_and(|end| wanted(&payload[..end]));
    if flags & 7 == 0 && !is_wanted(known) {
        return Ok(None);
    }
    if size > FIELD {
        return Err(LARGE);
    }
    let rest = (size - begin) as usize;
    let mut payload = known[..known.len().min(rest)].to_vec();
    if payload.len() < rest {
        let from = payload.len();
        payload.resize(rest, 0);
        exact(file, &mut payload[from..], at + begin + from as u64)?;
    }
    let payload = match flags & 7 {
        0 => payload,
        4 => unpack_zstd(&payload).map_err(|_| DAMAGED_ZSTD)?,
        2 => unpack_lz4(&payload)?,
        1 => return Err(Bad::Packed("a field is packed with xz, which is not read here")),
        _ => return Err(Bad::Damaged("a field is packed in two ways at once")),
    };
    Ok(is_wanted(&payload).then_some(payload))
}

const DAMAGED_ZSTD: Bad = Bad::Damaged("a field that is packed with zstd cannot be unpacked");
const LARGE: Bad = Bad::Packed("a field is larger than 16 MiB, which is not read");

fn unpack_zstd(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut zstd = zstd::Decoder::new(payload)?;
    zstd.window_log_max(WINDOW)?;
    let mut out = Vec::new();
    zstd.take(FIELD).read_to_end(&mut out)?;
    Ok(out)
}

/// The size of what it holds, 8 bytes, then one block.
fn unpack_lz4(payload: &[u8]) -> Result<Vec<u8>, Bad> {
    const DAMAGED: Bad = Bad::Damaged("a field that is packed with lz4 cannot be unpacked");
    let (size, block) = payload.split_at_checked(8).ok_or(DAMAGED)?;
    let size = u64_at(size, 0);
    // No byte of a block stands for more than 255.
    if size > FIELD || size > block.len() as u64 * 255 + 64 {
        return Err(DAMAGED);
    }
    let mut out = vec![0; size as usize];
    let read = lz4_flex::block::decompress_into(block, &mut out).map_err(|_| DAMAGED)?;
    out.truncate(read);
    Ok(out)
}

/// Size and flags of the object at `at`.
fn object(file: &impl ReadAt, at: u64, kind: u8, least: u64) -> Result<(u64, u8), Bad> {
    let mut head = [0; 16];
    let have = fill(file, &mut head, at)?;
    checked(file, &head[..have], at, kind, least)
}

/// Of an object whose first bytes are these.
fn checked(file: &impl ReadAt, first: &[u8], at: u64, kind: u8, least: u64) -> Result<(u64, u8), Bad> {
    if first.len() < 16 || !at.is_multiple_of(8) || first[0] != kind {
        return Err(Bad::Damaged("an object is not what it should be"));
    }
    let size = u64_at(first, 8);
    let is_inside = || at.checked_add(size).is_some_and(|end| end <= file.len().unwrap_or(0));
    if size < least || !is_inside() {
        return Err(Bad::Damaged("an object is larger than there is room"));
    }
    Ok((size, first[1]))
}

/// Damage of an array.
fn broken(bad: Bad) -> Bad {
    match bad {
        Bad::Damaged(why) => Bad::Broken(why),
        other => other,
    }
}

/// Reads as much as there is.
fn fill(file: &impl ReadAt, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], at.saturating_add(have as u64)) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            // Behind the largest position that a file can have.
            Err(err) if err.kind() == io::ErrorKind::InvalidInput => break,
            Err(err) => return Err(err),
        }
    }
    Ok(have)
}

fn exact(file: &impl ReadAt, buffer: &mut [u8], at: u64) -> Result<(), Bad> {
    if fill(file, buffer, at)? < buffer.len() {
        return Err(Bad::Damaged("it ends within an object"));
    }
    Ok(())
}

/// Of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    number(&bytes[at..at + 8])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    number(&bytes[at..at + 4]) as u32
}
