//! Where the cgroup files are: one tree (v2), a tree for each controller (v1), or both (hybrid: v1 with a v2 tree beside
//! them that has no controllers).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};

/// What a file belongs to: v1 keeps each of these in a tree of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    /// Quota and throttling.
    Cpu,
    /// Time used.
    Cpuacct,
    /// Memory.
    Memory,
    /// Block devices.
    Io,
    /// Tasks.
    Pids,
}

/// The v1 names, in the order of the enum.
const V1_NAMES: [&str; 5] = ["cpu", "cpuacct", "memory", "blkio", "pids"];

/// The two kinds of trees, which have different files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// All trees of this host.
#[derive(Debug)]
pub(super) struct Hierarchies {
    mounts: Vec<Mount>,
    /// By controller: the number of its mount.
    of: [Option<usize>; V1_NAMES.len()],
    /// The v2 tree's number: pressure is there alone.
    unified: Option<usize>,
}

/// The root of a tree.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) fd: OwnedFd,
    pub(super) version: Version,
}

impl Hierarchies {
    /// Looks below `SYS/fs/cgroup`; `None` where there is no tree.
    pub(super) fn find(sys: &Path) -> Option<Self> {
        let base = sys.join("fs/cgroup");
        let mut found = Self { mounts: Vec::new(), of: [None; V1_NAMES.len()], unified: None };
        if base.join("cgroup.controllers").is_file() {
            found.mounts.push(mount(&base, Version::V2)?.0);
            found.of = [Some(0); V1_NAMES.len()];
            found.unified = Some(0);
            return Some(found);
        }
        // Controllers that share a tree are the same folder by two names.
        let mut seen: Vec<(u64, u64)> = Vec::new();
        for (slot, name) in found.of.iter_mut().zip(V1_NAMES) {
            let Some((mount, node)) = mount(&base.join(name), Version::V1) else { continue };
            let number = seen.iter().position(|other| *other == node).unwrap_or_else(|| {
                seen.push(node);
                found.mounts.push(mount);
                seen.len() - 1
            });
            *slot = Some(number);
        }
        if let Some((mount, _)) = mount(&base.join("unified"), Version::V2) {
            found.unified = Some(found.mounts.len());
            found.mounts.push(mount);
            // What no v1 tree has may be here: it has the time used even without a controller.
            for slot in &mut found.of {
                *slot = slot.or(found.unified);
            }
        }
        (!found.mounts.is_empty()).then_some(found)
    }

    /// Every tree.
    pub(super) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Where a controller's files are.
    pub(super) fn of(&self, controller: Controller) -> Option<(usize, Version)> {
        let number = self.of[controller as usize]?;
        Some((number, self.mounts.get(number)?.version))
    }

    /// The v2 tree.
    pub(super) fn unified(&self) -> Option<usize> {
        self.unified
    }
}

fn mount(path: &Path, version: Version) -> Option<(Mount, (u64, u64))> {
    let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = fstat(&fd).ok()?;
    Some((Mount { fd, version }, (stat.st_dev, stat.st_ino)))
}
