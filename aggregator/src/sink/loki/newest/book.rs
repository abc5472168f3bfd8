//! The file `loki.newest`: what was noted last of a stream counts.
//!
//! ```text
//! at 20 n: hash of the selector u64 | nanoseconds i64 | crc32c of both u32, all LE
//! ```
//!
//! It survives a crash of the process. After one of the machine the notes of the last seconds may be missing: then a
//! stream's newest time is taken for that much older than it is, which only matters to lines at the window's very edge.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::sink::api::KeepError;

const NOTE: usize = 20;
/// The file is written anew where it has so many notes more than twice as many as there are streams.
const SLACK: usize = 1 << 14;

/// See the module.
pub(super) struct Book {
    path: PathBuf,
    file: File,
    /// Notes in the file.
    notes: usize,
}

impl Book {
    /// Opens or creates it; with what was noted. Damaged notes are left out.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn open(dir: &Path) -> Result<(Self, HashMap<u64, i64>), KeepError> {
        let path = dir.join("loki.newest");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(KeepError { operation: "read", path, source }),
        };
        let noted: HashMap<u64, i64> = bytes.chunks_exact(NOTE).filter_map(decode).collect();
        let damaged = bytes.chunks_exact(NOTE).filter(|note| decode(note).is_none()).count();
        if damaged > 0 {
            tracing::warn!(path = %path.display(), damaged, "damaged notes of streams' newest times are left out");
        }
        let file = write_anew(&path, &noted).map_err(failed(&path))?;
        Ok((Self { path, file, notes: noted.len() }, noted))
    }

    /// Notes these.
    ///
    /// # Errors
    /// Where the disk refuses; nothing is noted then.
    pub(super) fn append(&mut self, times: &HashMap<u64, i64>) -> Result<(), KeepError> {
        let notes: Vec<u8> = times.iter().flat_map(encode).collect();
        if let Err(error) = self.file.write_all(&notes) {
            // What was written of it would shift all that follows.
            self.file.set_len((self.notes * NOTE) as u64).map_err(failed(&self.path))?;
            return Err(failed(&self.path)(error));
        }
        self.notes += times.len();
        Ok(())
    }

    /// Whether most of the file is out of date, where there are so many streams.
    pub(super) fn is_long(&self, streams: usize) -> bool {
        self.notes > 2 * streams + SLACK
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// Where the disk refuses; the file stays as it is.
    pub(super) fn replace(&mut self, times: &HashMap<u64, i64>) -> Result<(), KeepError> {
        self.file = write_anew(&self.path, times).map_err(failed(&self.path))?;
        self.notes = times.len();
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeepError {
    let path = path.to_owned();
    move |source| KeepError { operation: "write", path, source }
}

fn write_anew(path: &Path, times: &HashMap<u64, i64>) -> io::Result<File> {
    let new = path.with_extension("newest.new");
    fs::write(&new, times.iter().flat_map(encode).collect::<Vec<u8>>())?;
    // For the end, wherever that is after a note was cut off.
    let file = OpenOptions::new().append(true).open(&new)?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    Ok(file)
}

fn encode((stream, at): (&u64, &i64)) -> [u8; NOTE] {
    let mut note = [0; NOTE];
    note[..8].copy_from_slice(&stream.to_le_bytes());
    note[8..16].copy_from_slice(&at.to_le_bytes());
    let crc = crc32c::crc32c(&note[..16]);
    note[16..].copy_from_slice(&crc.to_le_bytes());
    note
}

fn decode(note: &[u8]) -> Option<(u64, i64)> {
    let (content, crc) = note.split_at_checked(16)?;
    if crc != crc32c::crc32c(content).to_le_bytes() {
        return None;
    }
    let (stream, at) = content.split_at(8);
    Some((u64::from_le_bytes(stream.try_into().ok()?), i64::from_le_bytes(at.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two streams, one of them noted often, over several processes; a note is damaged, the last one torn.
    /// Guarantees: the newest note of each is found; what is damaged is left out, what is torn shifts nothing.
    #[test]
    fn read_back_by_the_next_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut book, noted) = Book::open(dir.path()).expect("made");
        assert_eq!(noted, HashMap::new());
        for at in 0..10 {
            book.append(&HashMap::from([(7, at)])).expect("written");
        }
        book.append(&HashMap::from([(8, -5)])).expect("written");
        book.file.write_all(&[1, 2, 3]).expect("written");
        let (mut book, noted) = Book::open(dir.path()).expect("opened");
        assert_eq!(noted, HashMap::from([(7, 9), (8, -5)]));
        book.append(&HashMap::from([(9, 1)])).expect("written");
        let path = dir.path().join("loki.newest");
        let mut bytes = fs::read(&path).expect("a file");
        assert_eq!(bytes.len(), 3 * NOTE);
        bytes[2 * NOTE] ^= 1;
        fs::write(&path, bytes).expect("written");
        let (_, noted) = Book::open(dir.path()).expect("opened");
        assert_eq!(noted, HashMap::from([(7, 9), (8, -5)]));
    }
}
