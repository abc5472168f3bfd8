//! What the host's /proc tells of the processes in containers, without any right over them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

use super::files::read_at;
use super::path;
use crate::context::Roots;

/// Processes that a scan looks at, at most.
const MOST: usize = 100_000;

/// HOST_PROC.
#[derive(Debug)]
pub(super) struct Processes {
    root: Option<OwnedFd>,
    /// Not a tree of plain files that stands in for it.
    is_proc: bool,
    same_namespace: bool,
}

impl Processes {
    pub(super) fn new(roots: &Roots) -> Self {
        let root = open(&roots.proc, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
        let is_proc =
            rustix::fs::statfs(&roots.proc).is_ok_and(|stat| stat.f_type == rustix::fs::PROC_SUPER_MAGIC);
        // This process as that /proc numbers it: the same number is as good as a proof that it is of our namespace.
        let this = std::fs::read_link(roots.proc.join("self")).ok();
        let this = this.and_then(|link| link.to_str()?.parse::<u32>().ok());
        let same_namespace = this.is_none_or(|this| this == std::process::id());
        Self { root, is_proc, same_namespace }
    }

    /// Whether the process ids that the kernel shows us in cgroup files are those of HOST_PROC.
    pub(super) fn same_namespace(&self) -> bool {
        self.same_namespace
    }

    /// How many files a process has open; `None` where that may not be seen, 0 where it has just ended.
    pub(super) fn open_files(&self, pid: u32) -> Option<u64> {
        let root = self.root.as_ref()?;
        let path = format!("{pid}/fd");
        // Linux 6.2 and later tell the number as the folder's size.
        if self.is_proc {
            match statat(root, &*path, AtFlags::empty()) {
                Ok(stat) if stat.st_size > 0 => return u64::try_from(stat.st_size).ok(),
                Ok(_) => {}
                Err(Errno::NOENT | Errno::SRCH) => return Some(0),
                Err(_) => return None,
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(root, &*path, flags, Mode::empty()).and_then(Dir::new) {
            Ok(entries) => Some(entries.flatten().count().saturating_sub(2) as u64),
            Err(Errno::NOENT | Errno::SRCH) => Some(0),
            Err(_) => None,
        }
    }

    /// The interfaces that a process sees, into the buffer; the length.
    pub(super) fn interfaces(&self, pid: u32, buffer: &mut Vec<u8>) -> Option<usize> {
        read_at(self.root.as_ref()?, format!("{pid}/net/dev"), true, buffer).ok()
    }

    /// Which network namespace a process is in: the file of its interfaces is another one in each, and may be looked at
    /// without the right to look at the process.
    pub(super) fn network(&self, pid: u32) -> Option<u64> {
        let stat = statat(self.root.as_ref()?, format!("{pid}/net/dev"), AtFlags::empty()).ok()?;
        Some(stat.st_ino)
    }

    /// Whether a process is in this container, by its cgroups as they are seen from here.
    pub(super) fn is_in(&self, pid: u32, container: &str, buffer: &mut Vec<u8>) -> bool {
        let Some(root) = &self.root else { return false };
        let read = read_at(root, format!("{pid}/cgroup"), true, buffer);
        read.is_ok_and(|len| container_of(&buffer[..len]).is_some_and(|found| found == container))
    }

    /// A process of each container that has any, by the container's id.
    pub(super) fn scan(&self) -> HashMap<String, u32> {
        let mut found = HashMap::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Some(root) = &self.root else { return found };
        let Ok(entries) = openat(root, c".", flags, Mode::empty()).and_then(Dir::new) else { return found };
        let mut buffer = Vec::new();
        for entry in entries.flatten().filter(|entry| entry.file_type() == FileType::Directory).take(MOST) {
            let name = entry.file_name().to_str().unwrap_or_default();
            let Ok(pid) = name.parse::<u32>() else { continue };
            let Ok(len) = read_at(root, format!("{pid}/cgroup"), true, &mut buffer) else { continue };
            if let Some(container) = container_of(&buffer[..len])
                && !found.contains_key(container)
            {
                found.insert(container.to_owned(), pid);
            }
        }
        found
    }
}

/// The innermost container in lines such as `4:memory:/kubepods/podUID/ID` or `0::/../cri-containerd-ID.scope`: what
/// stands before it depends on the cgroup namespace of the reader.
fn container_of(text: &[u8]) -> Option<&str> {
    let lines = str::from_utf8(text).ok()?.lines();
    lines.filter_map(|line| path::read(line.splitn(3, ':').nth(2)?).container).next()
}
