//! The calls that the journal makes on the disk in memory.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::super::super::catalog::locked;
use super::super::super::storage::{File, Open, Storage};
use super::{Change, Disk, Handle, Lock, Node, State, put_name, write};

impl Storage for Disk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = locked(&self.0);
        if std::mem::replace(&mut state.locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(self.clone(), state.life)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = locked(&self.0);
        let inside = state.names.iter().filter_map(|(path, node)| {
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
            Some((name, state.files[*node].now.len() as u64))
        });
        Ok(inside.collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = locked(&self.0);
        let known = state.names.get(path).copied();
        let node = match (known, how) {
            (Some(_), Open::New) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(node), _) => node,
            (None, Open::Read) => return Err(ErrorKind::NotFound.into()),
            (None, Open::Write | Open::New) => {
                state.operation()?;
                state.files.push(Node::default());
                let node = state.files.len() - 1;
                state.names.insert(path.to_owned(), node);
                state.renames.push((path.to_owned(), Some(node)));
                node
            }
        };
        Ok(Arc::new(Handle { disk: self.clone(), node, life: state.life }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.operation()?;
        state.renames.push((path.to_owned(), None));
        state.names.remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.operation()?;
        let (done, left) =
            std::mem::take(&mut state.renames).into_iter().partition(|(path, _)| path.starts_with(dir));
        state.renames = left;
        let done: Vec<_> = done;
        for (path, node) in done {
            put_name(&mut state.safe_names, path, node);
        }
        Ok(())
    }
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = locked(&self.disk.0);
        if state.life != self.life {
            return Err(io::Error::other("the process that had this file open is dead"));
        }
        act(&mut state)
    }
}

impl File for Handle {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state| {
            state.operation()?;
            let used: u64 = state.names.values().map(|node| state.files[*node].now.len() as u64).sum();
            let grows = (offset + bytes.len() as u64).saturating_sub(state.files[self.node].now.len() as u64);
            let room = state.capacity.saturating_sub(used);
            let fits =
                if grows <= room { bytes.len() } else { bytes.len().saturating_sub((grows - room) as usize) };
            let file = &mut state.files[self.node];
            write(&mut file.now, offset, &bytes[..fits]);
            file.unsynced.push(Change::Write(offset, bytes[..fits].to_vec()));
            if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| {
            let content = &state.files[self.node].now;
            let from = content.len().min(offset as usize);
            let n = buf.len().min(content.len() - from);
            buf[..n].copy_from_slice(&content[from..from + n]);
            state.bytes_read += n as u64;
            Ok(n)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state| {
            let done = state.operation();
            if state.down && done.is_err() {
                return done;
            }
            let changes = std::mem::take(&mut state.files[self.node].unsynced);
            for change in changes {
                match (&done, change) {
                    // As Linux does it: after a failed fsync the pages count as clean and are never written again.
                    (Err(_), change) => state.survive(self.node, change),
                    (Ok(()), Change::Write(offset, bytes)) => {
                        write(&mut state.files[self.node].safe, offset, &bytes);
                    }
                    (Ok(()), Change::Truncate(len)) => state.files[self.node].safe.truncate(len as usize),
                }
            }
            done
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.operation()?;
            let file = &mut state.files[self.node];
            file.now.truncate(len as usize);
            file.unsynced.push(Change::Truncate(len));
            Ok(())
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = locked(&self.0.0);
        if state.life == self.1 {
            state.locked = false;
        }
    }
}
