//! Unread bytes of files that lost their names, kept so that a restart finds them: a folder within the agent's own.
//!
//! ```text
//! DATA_DIR/escrow/files       what is known of files, see `notes`
//! DATA_DIR/escrow/HEX         by file id: a hard link, or a copy
//! ```
//!
//! - **A hard link** where logs and state lie on one mount that can be written: costs nothing until the other name goes.
//! - **A copy** elsewhere (in a pod, logs are another mount, and read-only): of what the spool does not hold yet, at the
//!   place where it stood in the file, behind a copy of its first bytes. What lies between is a hole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ao_common::repeated::Repeated;
use ao_proto::model::FileId;

use super::identity::{HEAD, Node};
use super::notes::{self, Note, Notes};

/// Bytes copied at a time.
const PART: usize = 256 << 10;

static FAILED: Repeated = Repeated::new("more could not be kept in escrow", Duration::from_secs(60));

/// How the unread bytes of a file are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Link,
    Copy,
}

/// What was done so that a file's unread bytes are found again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Care {
    pub kept: Option<Kept>,
    /// Its size as noted, once it has lost its name.
    pub noted: Option<u64>,
    /// Where what was copied begins.
    pub from: u64,
    /// It was rotated when it was found.
    pub was_aside: bool,
    /// It is in the list of those cared for.
    pub listed: bool,
}

/// The folder.
pub(super) struct Escrow {
    folder: PathBuf,
    /// Unread bytes kept at most.
    pub budget: u64,
    /// When the last process learned something; `None` if there was none.
    pub last_life: Option<SystemTime>,
    notes: Notes,
}

impl Escrow {
    /// Opens the folder; what is in it and not known to anybody is deleted.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn open(folder: &Path, budget: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let known = folder.join("files");
        let last_life = fs::metadata(&known).and_then(|meta| meta.modified()).ok();
        let notes = Notes::open(known)?;
        let known = notes.all();
        for entry in fs::read_dir(folder)?.flatten() {
            let id = entry.file_name().to_str().and_then(notes::id_of);
            if let Some(id) = id
                && !known.iter().any(|(known, _)| *known == id)
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.to_path_buf(), budget, last_life, notes })
    }

    /// The files that were known at the last end, in the order in which they were begun.
    pub(super) fn left(&self) -> Vec<(FileId, Note)> {
        self.notes.all()
    }

    /// Hash of its first line.
    pub(super) fn print(&self, id: FileId) -> Option<FileId> {
        self.notes.print(id)
    }

    /// Where the bytes of a file are kept.
    pub(super) fn data(&self, id: FileId) -> PathBuf {
        self.folder.join(notes::text_of(id))
    }

    /// See [`Notes::begun`].
    pub(super) fn begun(&mut self, id: FileId, stem: &Path, print: FileId) {
        tell("note", self.notes.begun(id, stem, print));
    }

    /// See [`Notes::sized`].
    pub(super) fn sized(&mut self, id: FileId, size: u64, from: u64) {
        tell("note", self.notes.sized(id, size, from));
    }

    /// Its bytes, and what is known of it, are needed no more.
    pub(super) fn gone(&mut self, id: FileId) {
        self.drop_data(id);
        tell("note", self.notes.gone(id));
    }

    /// Its bytes are needed no more.
    pub(super) fn drop_data(&self, id: FileId) {
        match fs::remove_file(self.data(id)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => tell("delete", Err(err)),
            _ => {}
        }
    }

    /// Links the file that is `node`, if it is still the one at `path`. Says whether it could.
    pub(super) fn link(&self, id: FileId, path: &Path, node: Node) -> bool {
        let data = self.data(id);
        let linked = fs::canonicalize(path).and_then(|path| fs::hard_link(path, &data));
        if linked.is_err() {
            // Another mount, a read-only one, or no right to (EXDEV, EROFS, EPERM): the caller copies.
            return false;
        }
        let same = fs::symlink_metadata(&data).is_ok_and(|meta| Node::of(&meta) == node);
        if !same {
            self.drop_data(id);
        }
        same
    }

    /// Copies the bytes from `from` to `to`, and the first ones. Says whether it could.
    pub(super) fn copy(&self, id: FileId, file: &File, from: u64, to: u64) -> bool {
        let copied =
            OpenOptions::new().write(true).create(true).truncate(false).open(self.data(id)).and_then(
                |copy| {
                    copy_range(file, &copy, 0, (HEAD as u64).min(to))?;
                    copy_range(file, &copy, from, to)
                },
            );
        let done = copied.is_ok();
        if !done {
            self.drop_data(id);
        }
        tell("copy", copied);
        done
    }
}

fn copy_range(file: &File, copy: &File, from: u64, to: u64) -> io::Result<()> {
    let mut part = vec![0; PART];
    let mut at = from;
    while at < to {
        let want = part.len().min((to - at) as usize);
        match file.read_at(&mut part[..want], at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                copy.write_all_at(&part[..n], at)?;
                at += n as u64;
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

fn tell(operation: &'static str, done: io::Result<()>) {
    if let Err(error) = done
        && FAILED.is_first(operation)
    {
        tracing::warn!(operation, %error, "unread bytes of a log file cannot be kept for a restart");
    }
}
