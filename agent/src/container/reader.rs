//! Reads the files of one cgroup after the other: each cgroup's folder is opened once, its files from there, each by one
//! read into a buffer that is used again.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::api::ReadError;
use super::files::{number, read_at};
use super::hierarchy::{Controller, Hierarchies, Version};
use super::processes::Processes;
use crate::context::Roots;

/// See the file's text.
pub(super) struct Reader {
    hierarchies: Arc<Hierarchies>,
    /// The path of the cgroup under each root, without the slash at its beginning.
    path: String,
    /// By mount.
    dirs: Vec<Dir>,
    buffer: Vec<u8>,
    len: usize,
    roots: Arc<Roots>,
    processes: Arc<Processes>,
    /// Names of devices by number.
    devices: HashMap<(u32, u32), String>,
}

enum Dir {
    Closed,
    Open(OwnedFd),
    /// Not in this tree, or not any more.
    Absent,
}

impl Reader {
    pub(super) fn new(hierarchies: Arc<Hierarchies>, roots: Arc<Roots>, processes: Arc<Processes>) -> Self {
        let dirs = hierarchies.mounts().iter().map(|_| Dir::Closed).collect();
        let (path, devices, buffer) = (String::new(), HashMap::new(), Vec::new());
        Self { hierarchies, path, dirs, buffer, len: 0, roots, processes, devices }
    }

    /// What /proc tells.
    pub(super) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The interfaces that a process sees.
    pub(super) fn interfaces(&mut self, pid: u32) -> Option<&[u8]> {
        let len = self.processes.interfaces(pid, &mut self.buffer)?;
        Some(&self.buffer[..len])
    }

    /// Whether a process is in this container.
    pub(super) fn is_in(&mut self, pid: u32, container: &str) -> bool {
        self.processes.is_in(pid, container, &mut self.buffer)
    }

    /// A file of the host, by its path under `proc`, `sys` or `root`.
    pub(super) fn host(&mut self, path: &str) -> Option<&[u8]> {
        let (root, path) = path.split_once('/')?;
        let root = match root {
            "proc" => &self.roots.proc,
            "sys" => &self.roots.sys,
            _ => &self.roots.root,
        };
        let len = read_at(rustix::fs::CWD, root.join(path), true, &mut self.buffer).ok()?;
        Some(&self.buffer[..len])
    }

    /// The machine's, in bytes.
    pub(super) fn memory_and_swap(&mut self) -> Option<(u64, u64)> {
        let text = self.host("proc/meminfo")?;
        let of = |name: &[u8]| {
            let line = text.split(|&b| b == b'\n').find(|line| line.starts_with(name))?;
            let kib = line[name.len()..].trim_ascii().strip_suffix(b" kB")?;
            number(kib)?.checked_mul(1024)
        };
        Some((of(b"MemTotal:")?, of(b"SwapTotal:").unwrap_or(0)))
    }

    /// What a block device is called; its number where the host does not say.
    pub(super) fn device(&mut self, major: u32, minor: u32) -> &str {
        self.devices.entry((major, minor)).or_insert_with(|| {
            let number = format!("{major}:{minor}");
            let link = std::fs::read_link(self.roots.sys.join("dev/block").join(&number)).ok();
            let name = link.as_deref().and_then(|link| link.file_name()?.to_str());
            name.map_or(number, |name| format!("/dev/{name}"))
        })
    }

    /// Goes on with this cgroup; says whether it is in any tree.
    pub(super) fn enter(&mut self, id: &str) -> bool {
        self.path.clear();
        self.path.push_str(if id == "/" { "." } else { id.trim_start_matches('/') });
        for dir in &mut self.dirs {
            *dir = Dir::Closed;
        }
        (0..self.dirs.len()).any(|mount| self.open_dir(mount))
    }

    /// Which kind of files a controller has here.
    pub(super) fn version(&self, controller: Controller) -> Option<Version> {
        self.hierarchies.of(controller).map(|(_, version)| version)
    }

    /// The content of a controller's file; `None` where there is none.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub(super) fn file(&mut self, controller: Controller, name: &str) -> Result<Option<&[u8]>, ReadError> {
        match self.hierarchies.of(controller) {
            Some((mount, _)) => self.read(mount, name, false),
            None => Ok(None),
        }
    }

    /// The content of a file of the v2 tree.
    ///
    /// # Errors
    /// As [`Reader::file`].
    pub(super) fn unified(&mut self, name: &str) -> Result<Option<&[u8]>, ReadError> {
        match self.hierarchies.unified() {
            Some(mount) => self.read(mount, name, false),
            None => Ok(None),
        }
    }

    /// A list of any length, such as the processes: the kernel gives it page by page.
    ///
    /// # Errors
    /// As [`Reader::file`].
    pub(super) fn list(&mut self, controller: Controller, name: &str) -> Result<Option<&[u8]>, ReadError> {
        match self.hierarchies.of(controller) {
            Some((mount, _)) => self.read(mount, name, true),
            None => Ok(None),
        }
    }

    /// A file that holds one number; `max` is `u64::MAX`.
    ///
    /// # Errors
    /// As [`Reader::file`], and where it is no number.
    pub(super) fn number(&mut self, controller: Controller, name: &str) -> Result<Option<u64>, ReadError> {
        let Some(text) = self.file(controller, name)? else { return Ok(None) };
        match text.trim_ascii() {
            b"max" => Ok(Some(u64::MAX)),
            digits => match number(digits) {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(name)),
            },
        }
    }

    /// Calls `take` with each line's first word and the number behind it.
    ///
    /// # Errors
    /// As [`Reader::file`], and at a line that is not so, behind all others.
    pub(super) fn pairs(
        &mut self,
        controller: Controller,
        name: &str,
        mut take: impl FnMut(&[u8], u64),
    ) -> Result<(), ReadError> {
        let Some(text) = self.file(controller, name)? else { return Ok(()) };
        let mut good = true;
        for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let blank = memchr::memchr(b' ', line).unwrap_or(line.len());
            match number(line[blank..].trim_ascii()) {
                Some(number) => take(&line[..blank], number),
                None => good = false,
            }
        }
        if good { Ok(()) } else { Err(self.bad(name)) }
    }

    /// The file that was read last is not what it should be.
    pub(super) fn bad(&self, name: &str) -> ReadError {
        let text = String::from_utf8_lossy(&self.buffer[..self.len.min(120)]).into_owned();
        ReadError::Parse { path: self.name_of(name), text }
    }

    /// When the cgroup was made, as far as its files tell (seconds since 1970): the kernel makes their inodes when they
    /// are first looked at, so the first answer is the best one.
    pub(super) fn made(&mut self) -> Option<i64> {
        let mut times = Vec::new();
        for mount in 0..self.dirs.len() {
            if !self.open_dir(mount) {
                continue;
            }
            let Dir::Open(dir) = &self.dirs[mount] else { continue };
            times.extend(rustix::fs::fstat(dir).map(|stat| stat.st_mtime));
            let untouched = match self.hierarchies.mounts()[mount].version {
                Version::V1 => "cgroup.clone_children",
                Version::V2 => "cgroup.events",
            };
            let stat = rustix::fs::statat(dir, untouched, rustix::fs::AtFlags::empty());
            times.extend(stat.map(|stat| stat.st_mtime));
        }
        times.into_iter().min()
    }

    fn name_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn open_dir(&mut self, mount: usize) -> bool {
        if matches!(self.dirs[mount], Dir::Closed) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = &self.hierarchies.mounts()[mount].fd;
            self.dirs[mount] = openat(root, &*self.path, flags, Mode::empty()).map_or(Dir::Absent, Dir::Open);
        }
        matches!(self.dirs[mount], Dir::Open(_))
    }

    fn read(&mut self, mount: usize, name: &str, whole: bool) -> Result<Option<&[u8]>, ReadError> {
        self.len = 0;
        if !self.open_dir(mount) {
            return Ok(None);
        }
        let Dir::Open(dir) = &self.dirs[mount] else { return Ok(None) };
        match read_at(dir, name, whole, &mut self.buffer) {
            Ok(len) => {
                self.len = len;
                Ok(Some(&self.buffer[..len]))
            }
            // Not in this kernel, switched off, or gone between listing and reading.
            Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(ReadError::Io { path: self.name_of(name), source: io::Error::from(errno) }),
        }
    }
}
