//! Reads the kernel's text files whole, into a buffer that is used again at every round.
//!
//! A file of /proc or /sys that is asked for again and again stays open: reading it from its beginning gives what is
//! true now, without the way through the folders. Other files may be replaced by new ones of the same name.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::str::{self, FromStr};

use rustix::buffer::spare_capacity;
use rustix::fs::{FsWord, fstatfs};
use rustix::io::{Errno, pread};

use super::api::CollectError;

/// No file that is read here comes near it (4,096 CPUs: some hundred KiB); a wrong root may point anywhere.
const LIMIT_BYTES: usize = 16 << 20;
/// A page: what the kernel gives of a file of /proc at least, and of one of /sys at most.
const FIRST_BYTES: usize = 4 << 10;
/// What the kernel gives of a file at first is all of it where it is no more than this: it fills a page unless the
/// next line is longer than what is left of it. To be told so by another read costs as much as the first one: of
/// /proc/net/udp it walks all sockets again.
const SHORT_BYTES: usize = 1 << 10;
/// What statfs(2) says of /proc and of /sys.
const KERNEL_FILES: [FsWord; 2] = [0x9fa0, 0x6265_6572];

/// A buffer for one file at a time.
#[derive(Debug, Default)]
pub(super) struct TextFile {
    bytes: Vec<u8>,
    /// Only for a file that is not UTF-8.
    lossy: String,
    /// The path that was read last.
    path: PathBuf,
    /// Its file, where that stays open.
    kept: Option<File>,
}

impl TextFile {
    /// The file's bytes. Its lines are shorter than 3 KiB.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path.
    pub(super) fn bytes(&mut self, path: &Path) -> Result<&[u8], CollectError> {
        self.whole(path, SHORT_BYTES)
    }

    /// The bytes of a file whose lines may be of any length.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path.
    pub(super) fn long(&mut self, path: &Path) -> Result<&[u8], CollectError> {
        self.whole(path, 0)
    }

    fn whole(&mut self, path: &Path, short: usize) -> Result<&[u8], CollectError> {
        self.fill(path, short).map_err(|source| CollectError::Io { path: path.to_owned(), source })?;
        Ok(&self.bytes)
    }

    /// The file's text; what is not UTF-8 is replaced. Its lines are shorter than 3 KiB.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path.
    pub(super) fn text(&mut self, path: &Path) -> Result<&str, CollectError> {
        self.bytes(path)?;
        Ok(self.last())
    }

    /// The bytes of the file that was read last.
    pub(super) fn read(&self) -> &[u8] {
        &self.bytes
    }

    /// The text of the file that was read last.
    pub(super) fn last(&mut self) -> &str {
        if str::from_utf8(&self.bytes).is_err() {
            self.lossy = String::from_utf8_lossy(&self.bytes).into_owned();
            return &self.lossy;
        }
        str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// What one read gives of the file, without the white space around it: all of a file of one value, as in most of
    /// /sys and in /proc/sys.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path.
    pub(super) fn setting(&mut self, path: &Path) -> Result<&str, CollectError> {
        self.whole(path, usize::MAX)?;
        Ok(self.last().trim())
    }

    /// The same; `None` where the file is absent or the driver has nothing to give now.
    pub(super) fn word(&mut self, path: &Path) -> Option<&str> {
        self.setting(path).ok()
    }

    /// The number, with or without a sign, that is all of the file; `None` where it is absent, empty, or the driver has
    /// none to give now (a sensor that is asleep, a device that was just taken out).
    ///
    /// # Errors
    /// [`CollectError::Parse`] where it is another text.
    pub(super) fn value(&mut self, path: &Path) -> Result<Option<f64>, CollectError> {
        match self.word(path) {
            None | Some("") => Ok(None),
            Some(word) => {
                match word.parse::<i64>().map(|n| n as f64).or_else(|_| word.parse::<u64>().map(|n| n as f64))
                {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => Err(CollectError::line(path, 0, word)),
                }
            }
        }
    }

    /// The number that is all of the file; `None` where it is absent or no number.
    pub(super) fn number<T: FromStr>(&mut self, path: &Path) -> Option<T> {
        self.word(path)?.parse().ok()
    }

    /// A first read that gives no more than `short` is the last one.
    fn fill(&mut self, path: &Path, short: usize) -> io::Result<()> {
        let again = self.path == path;
        if again && let Some(file) = &self.kept {
            // What it belonged to may have gone and come back under the same name.
            if read_whole(file, &mut self.bytes, short).is_ok() {
                return Ok(());
            }
        }
        self.kept = None;
        if !again {
            self.path.clear();
            self.path.push(path);
        }
        let file = File::open(path)?;
        read_whole(&file, &mut self.bytes, short)?;
        if again && is_of_kernel(&file) {
            self.kept = Some(file);
        }
        Ok(())
    }
}

/// Whether it lies in /proc or in /sys.
pub(super) fn is_of_kernel(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|fs| KERNEL_FILES.contains(&fs.f_type))
}

fn read_whole(file: &File, bytes: &mut Vec<u8>, short: usize) -> io::Result<()> {
    bytes.clear();
    bytes.reserve(FIRST_BYTES);
    while bytes.len() < LIMIT_BYTES {
        let offset = bytes.len() as u64;
        match pread(file, spare_capacity(bytes), offset) {
            Ok(0) => break,
            Ok(n) if offset == 0 && n <= short => break,
            Ok(_) if bytes.len() == bytes.capacity() => bytes.reserve(bytes.len()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Scenario: a plain file that is replaced, grows beyond a page, and goes.
    /// Guarantees: what is read is always the file that bears the name now, whole.
    #[test]
    fn plain_files_are_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("a"), dir.path().join("b"));
        let mut file = TextFile::default();
        for text in ["1\n".to_owned(), "2\n".to_owned(), "x".repeat(3 * FIRST_BYTES), String::new()] {
            fs::write(&new, &text).unwrap();
            fs::rename(&new, &path).unwrap();
            assert_eq!(file.text(&path).unwrap(), text);
        }
        fs::write(&path, " 7 \n").unwrap();
        assert_eq!((file.number(&path), file.number::<u8>(&path)), (Some(7_i64), Some(7)));
        fs::remove_file(&path).unwrap();
        assert!(file.text(&path).is_err() && file.kept.is_none());
    }

    /// Scenario: the kernel's clock of uptime, read until it has moved on; then another file.
    /// Guarantees: the file stays open from its second reading on and is up to date; another one takes its place.
    #[test]
    fn files_of_the_kernel_stay_open() {
        let path = Path::new("/proc/uptime");
        let mut file = TextFile::default();
        let first = file.text(path).unwrap().to_owned();
        assert!(file.kept.is_none());
        while file.text(path).unwrap() == first {}
        assert!(file.kept.is_some());
        assert_eq!(file.text(Path::new("/proc/self/comm")).unwrap().lines().count(), 1);
        assert!(file.kept.is_none());
    }
}
