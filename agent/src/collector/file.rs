//! Reads the kernel's text files whole, into a buffer that is used again at every round.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str;

use super::api::CollectError;

/// No file that is read here comes near it (4,096 CPUs: some hundred KiB); a wrong root may point anywhere.
const LIMIT_BYTES: u64 = 16 << 20;

/// A buffer for one file at a time.
#[derive(Debug, Default)]
pub(super) struct TextFile {
    bytes: Vec<u8>,
    /// Only for a file that is not UTF-8.
    lossy: String,
}

impl TextFile {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path.
    pub(super) fn bytes(&mut self, path: &Path) -> Result<&[u8], CollectError> {
        self.bytes.clear();
        File::open(path)
            .and_then(|file| file.take(LIMIT_BYTES).read_to_end(&mut self.bytes))
            .map_err(|source| CollectError::Io { path: path.to_owned(), source })?;
        Ok(&self.bytes)
    }

    /// The file's text; what is not UTF-8 is replaced.
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

    /// The file's text without the blanks around it; `None` where it is absent or the driver has none to give now.
    pub(super) fn word(&mut self, path: &Path) -> Option<&str> {
        self.text(path).ok().map(str::trim)
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

    /// The number that is all of the file, as in most of /sys; `None` where it is absent or no number.
    pub(super) fn number(&mut self, path: &Path) -> Option<u64> {
        self.text(path).ok()?.trim().parse().ok()
    }
}
