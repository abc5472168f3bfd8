//! Which cgroups there are. A folder is listed again only when the number of folders in it has changed (its link count
//! says that) or one of them is gone, so that a round of a quiet host opens each folder once and lists none.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat};

use super::hierarchy::Hierarchies;
use super::path::{self, Kind};

/// Folders within folders that are entered at most.
const MAX_DEPTH: usize = 32;
/// Folders that are remembered at most, all trees together: what lies beyond is not seen.
const MAX_FOLDERS: usize = 50_000;

/// All trees as they were when they were last walked.
#[derive(Default)]
pub(super) struct Tree {
    /// By mount.
    roots: Vec<Folder>,
    known: HashMap<String, Seen>,
    walk: u64,
}

/// A folder with those in it.
#[derive(Default)]
struct Folder {
    inode: u64,
    links: u64,
    listed: bool,
    inside: BTreeMap<CString, Folder>,
}

/// A cgroup that was there.
struct Seen {
    walk: u64,
    /// Where it was found first, and its inode there: another one is another cgroup of the same name.
    is: (usize, u64),
}

/// What a walk found to be different.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) appeared: Vec<String>,
    /// Among them those that came again as another cgroup.
    pub(super) vanished: Vec<String>,
    /// Folders that were left out, being too many, too deep, or without a name that is text.
    pub(super) left_out: u64,
}

impl Tree {
    /// Walks all trees.
    pub(super) fn walk(&mut self, hierarchies: &Hierarchies) -> Changes {
        self.walk += 1;
        self.roots.resize_with(hierarchies.mounts().len(), Folder::default);
        let mut found = Found { number: 0, folders: 0, left_out: 0, ids: Vec::new() };
        for (number, (root, mount)) in self.roots.iter_mut().zip(hierarchies.mounts()).enumerate() {
            found.number = number;
            // The root itself cannot vanish.
            drop(found.enter(mount.fd.as_fd(), c".", root, "", 0));
        }
        let mut changes = Changes { left_out: found.left_out, ..Changes::default() };
        for (id, is) in found.ids {
            match self.known.get_mut(&id) {
                Some(seen) if seen.walk == self.walk => {}
                Some(seen) if seen.is == is => seen.walk = self.walk,
                other => {
                    if other.is_some() {
                        changes.vanished.push(id.clone());
                    }
                    changes.appeared.push(id.clone());
                    self.known.insert(id, Seen { walk: self.walk, is });
                }
            }
        }
        let walk = self.walk;
        self.known.retain(|id, seen| {
            let is_there = seen.walk == walk;
            if !is_there {
                changes.vanished.push(id.clone());
            }
            is_there
        });
        changes
    }
}

/// What a walk has found so far.
struct Found {
    /// Of the mount under way.
    number: usize,
    folders: usize,
    left_out: u64,
    ids: Vec<(String, (usize, u64))>,
}

/// A folder is not there any more.
struct Gone;

impl Found {
    fn enter(
        &mut self,
        above: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        folder: &mut Folder,
        id: &str,
        depth: usize,
    ) -> Result<(), Gone> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(above, name, flags, Mode::empty()).map_err(|_| Gone)?;
        let stat = fstat(&fd).map_err(|_| Gone)?;
        let (inode, links) = (stat.st_ino, u64::from(stat.st_nlink as u32));
        if folder.inode != inode {
            *folder = Folder { inode, ..Folder::default() };
        }
        self.folders += 1;
        let said = path::read(id);
        if !matches!(said.kind, Kind::Inside) {
            let id = if id.is_empty() { "/".to_owned() } else { id.to_owned() };
            self.ids.push((id, (self.number, inode)));
        }
        // Of a folder with two links each is its own name: `NAME` and `NAME/.`. Some file systems always say one.
        let is_stale = !folder.listed || folder.links != links || links < 2;
        folder.links = links;
        if links == 2 {
            folder.inside.clear();
            folder.listed = true;
        } else if is_stale {
            self.list(&fd, folder);
        }
        if depth >= MAX_DEPTH {
            self.left_out += folder.inside.len() as u64;
            return Ok(());
        }
        if self.descend(&fd, folder, id, depth) {
            // One of them is gone, and another may have come in its place.
            self.list(&fd, folder);
            self.descend_new(&fd, folder, id, depth);
        }
        Ok(())
    }

    /// Enters all that are known; says whether one is gone.
    fn descend(&mut self, fd: &OwnedFd, folder: &mut Folder, id: &str, depth: usize) -> bool {
        let before = folder.inside.len();
        folder.inside.retain(|name, inside| self.child(fd, name, inside, id, depth));
        before != folder.inside.len()
    }

    /// Enters those that the second list has brought.
    fn descend_new(&mut self, fd: &OwnedFd, folder: &mut Folder, id: &str, depth: usize) {
        let entered = |inside: &Folder| inside.inode != 0;
        folder.inside.retain(|name, inside| entered(inside) || self.child(fd, name, inside, id, depth));
    }

    /// Whether it is still there.
    fn child(&mut self, fd: &OwnedFd, name: &CString, inside: &mut Folder, id: &str, depth: usize) -> bool {
        let Ok(text) = name.to_str() else { return true };
        self.enter(fd.as_fd(), name, inside, &format!("{id}/{text}"), depth + 1).is_ok()
    }

    fn list(&mut self, fd: &OwnedFd, folder: &mut Folder) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(entries) = openat(fd, c".", flags, Mode::empty()).and_then(Dir::new) else {
            // Unreadable, or just gone: tried again in the next round.
            folder.listed = false;
            self.left_out += 1;
            return;
        };
        let mut inside = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
                continue;
            }
            let Ok(text) = name.to_str() else {
                self.left_out += 1;
                continue;
            };
            if path::is_noise(text) {
                continue;
            }
            if self.folders + inside.len() >= MAX_FOLDERS {
                self.left_out += 1;
                continue;
            }
            let known = folder.inside.remove(name).unwrap_or_default();
            inside.insert(name.to_owned(), known);
        }
        folder.inside = inside;
        folder.listed = true;
    }
}
