//! Reads the files of a device in /sys, which hold one value each.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{mem, str};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, pread};

use super::api::CollectError;
use super::file::is_of_kernel;

/// The kernel gives at most a page of an attribute (fs/sysfs/file.c).
const PAGE_BYTES: usize = 4 << 10;

/// One folder at a time; its files are opened from it, which saves the kernel the way through /sys for each of them.
///
/// To open and close a file of /sys costs several times what reading it does. Some of those that are read in each round
/// may therefore stay open ([`Device::keeping`]): not all, since the kernel holds a page for each.
#[derive(Debug, Default)]
pub(super) struct Device {
    folder: Option<OwnedFd>,
    bytes: Vec<u8>,
    lossy: String,
    /// How many files may stay open.
    most: usize,
    /// Folders of which files stay open.
    kept: Vec<Kept>,
    /// The one of these that is read now, in place of `folder`.
    at: Option<usize>,
}

/// A folder that stays open, with files of it.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// Device and inode of what stands under the path: another one once the name belongs to another device.
    node: (u64, u64),
    folder: OwnedFd,
    files: Vec<(Box<str>, OwnedFd)>,
    /// In the round under way.
    used: bool,
}

impl Device {
    /// Of files of /sys (no others), the first `most` stay open.
    pub(super) fn keeping(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Another round: folders that the one before did not enter are gone.
    pub(super) fn round(&mut self) {
        self.at = None;
        self.kept.retain_mut(|kept| mem::take(&mut kept.used));
    }

    /// From here on names are those of this folder.
    ///
    /// # Errors
    /// [`CollectError::Io`] with the path; nothing can be read then.
    pub(super) fn enter(&mut self, folder: &Path) -> Result<(), CollectError> {
        self.folder = None;
        let next = self.at.take().map_or(0, |at| at + 1);
        let entered = if self.most > 0 { self.enter_kept(folder, next) } else { self.open(folder) };
        entered.map_err(|why| CollectError::Io { path: folder.to_owned(), source: why.into() })
    }

    fn open(&mut self, folder: &Path) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.folder = Some(openat(CWD, folder, flags, Mode::empty())?);
        Ok(())
    }

    /// `next`: its place, if the folders come in the order of the last round.
    fn enter_kept(&mut self, path: &Path, next: usize) -> Result<(), Errno> {
        // Devices of a class are links to where they are; a link is renamed with its device.
        let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Err(Errno::NOTDIR);
        }
        let node = (stat.st_dev, stat.st_ino);
        let is_it = |kept: &Kept| kept.path == path;
        let known = match self.kept.get(next) {
            Some(kept) if is_it(kept) => Some(next),
            _ => self.kept.iter().position(is_it),
        };
        if let Some(at) = known {
            if self.kept[at].node == node {
                (self.kept[at].used, self.at) = (true, Some(at));
                return Ok(());
            }
            self.kept.remove(at);
        }
        self.open(path)?;
        if self.files() < self.most
            && let Some(folder) = self.folder.take_if(|folder| is_of_kernel(folder))
        {
            let (path, files) = (path.to_owned(), Vec::new());
            self.at = Some(self.kept.len());
            self.kept.push(Kept { path, node, folder, files, used: true });
        }
        Ok(())
    }

    /// How many stay open.
    fn files(&self) -> usize {
        self.kept.iter().map(|kept| kept.files.len()).sum()
    }

    /// The value of a file without the white space around it; `None` where it is absent, denied or not known to the
    /// driver. What is not UTF-8 is replaced.
    pub(super) fn text(&mut self, name: &str) -> Option<&str> {
        self.bytes.clear();
        self.bytes.reserve(PAGE_BYTES);
        self.read(name).ok()?;
        if str::from_utf8(&self.bytes).is_err() {
            self.lossy = String::from_utf8_lossy(&self.bytes).into_owned();
            return Some(self.lossy.trim());
        }
        str::from_utf8(&self.bytes).ok().map(str::trim)
    }

    fn read(&mut self, name: &str) -> Result<(), Errno> {
        let open = |folder: &OwnedFd| openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let Some(at) = self.at else {
            return one(open(self.folder.as_ref().ok_or(Errno::NOENT)?)?, &mut self.bytes);
        };
        let is_full = self.files() >= self.most;
        let kept = &mut self.kept[at];
        if let Some((_, file)) = kept.files.iter().find(|(known, _)| **known == *name) {
            let read = one(file, &mut self.bytes);
            if read == Err(Errno::NODEV) {
                // The device was taken out. What has its name is another one.
                kept.node = (0, 0);
            }
            return read;
        }
        let file = open(&kept.folder)?;
        let read = one(&file, &mut self.bytes);
        if !is_full {
            kept.files.push((name.into(), file));
        }
        read
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

/// What one read gives from the file's beginning.
fn one(file: impl AsFd, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    pread(file, spare_capacity(bytes), 0).map(drop)
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

    /// Scenario: devices of the kernel, over rounds: more files than may stay open; then the name belongs to another
    /// device, and then there is none.
    /// Guarantees: as many stay open as may, and what is read is what stands under the name now.
    #[test]
    fn files_that_stay_open() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("card");
        let points_to = |target: &str| {
            let new = dir.path().join("new");
            std::os::unix::fs::symlink(Path::new("/proc/sys").join(target), &new).unwrap();
            fs::rename(new, &name).unwrap();
        };
        let mut device = Device::keeping(2);
        let read = |device: &mut Device| {
            device.round();
            let files = ["ostype", "osrelease", "pid_max", "swappiness", "none"];
            device.enter(&name).map(|()| files.map(|file| device.text(file).is_some()))
        };
        for (target, expect) in
            [("kernel", [true, true, true, false, false]), ("vm", [false, false, false, true, false])]
        {
            points_to(target);
            for _ in 0..3 {
                assert_eq!(read(&mut device).unwrap(), expect, "{target}");
            }
            let most = if target == "kernel" { 2 } else { 1 };
            assert_eq!((device.kept.len(), device.files()), (1, most), "{target}");
        }
        fs::remove_file(&name).unwrap();
        assert!(read(&mut device).is_err());
        device.round();
        assert_eq!(device.files(), 0);
    }

    /// Scenario: a plain file system, whose files are replaced.
    /// Guarantees: none stays open.
    #[test]
    fn plain_files_are_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = Device::keeping(8);
        for value in ["1", "2"] {
            fs::write(dir.path().join("new"), value).unwrap();
            fs::rename(dir.path().join("new"), dir.path().join("speed")).unwrap();
            device.round();
            device.enter(dir.path()).unwrap();
            assert_eq!(device.text("speed"), Some(value));
            assert_eq!(device.files(), 0);
        }
        assert!(device.enter(&dir.path().join("speed")).is_err());
    }
}
