//! Reads the files of a device in /sys, which hold one value each.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::str;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::read;

use super::api::CollectError;

/// The kernel gives at most a page of an attribute (fs/sysfs/file.c).
const PAGE_BYTES: usize = 4 << 10;

/// One folder at a time; its files are opened from it, which saves the kernel the way through /sys for each of them.
#[derive(Debug, Default)]
pub(super) struct Device {
    folder: Option<OwnedFd>,
    bytes: Vec<u8>,
    lossy: String,
}

impl Device {
    /// From here on names are those of this folder.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path; nothing can be read then.
    pub(super) fn enter(&mut self, folder: &Path) -> Result<(), CollectError> {
        self.folder = None;
        let opened = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        self.folder =
            Some(opened.map_err(|why| CollectError::Io { path: folder.to_owned(), source: why.into() })?);
        Ok(())
    }

    /// The value of a file without the white space around it; `None` where it is absent, denied or not known to the
    /// driver. What is not UTF-8 is replaced.
    pub(super) fn text(&mut self, name: &str) -> Option<&str> {
        let file =
            openat(self.folder.as_ref()?, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        self.bytes.clear();
        self.bytes.reserve(PAGE_BYTES);
        read(&file, spare_capacity(&mut self.bytes)).ok()?;
        if str::from_utf8(&self.bytes).is_err() {
            self.lossy = String::from_utf8_lossy(&self.bytes).into_owned();
            return Some(self.lossy.trim());
        }
        str::from_utf8(&self.bytes).ok().map(str::trim)
    }

    /// A whole number, decimal or with `0x` before it.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// The same, of numbers without a sign.
    pub(super) fn unsigned(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Scenario: a folder with values of several kinds, without it, and before any.
    /// Guarantees: trimmed texts and numbers; `None` for what is absent, of another kind or no number.
    #[test]
    fn values() {
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in
            [("speed", &b"1000\n"[..]), ("id", b"0x1f\n"), ("minus", b"-1"), ("odd", b" \xffa \n")]
        {
            fs::write(dir.path().join(name), value).unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let mut device = Device::default();
        assert_eq!(device.text("speed"), None);
        device.enter(dir.path()).unwrap();
        assert_eq!((device.integer("speed"), device.text("speed")), (Some(1_000), Some("1000")));
        assert_eq!(
            (device.integer("id"), device.integer("minus"), device.integer("odd")),
            (Some(31), Some(-1), None)
        );
        assert_eq!((device.unsigned("id"), device.unsigned("minus")), (Some(31), None));
        assert_eq!(device.text("odd"), Some("\u{fffd}a"));
        assert!(device.text("sub").is_none() && device.text("none").is_none());
        assert!(device.enter(&dir.path().join("none")).is_err());
        assert_eq!(device.text("speed"), None);
    }
}
