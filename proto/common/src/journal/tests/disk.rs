//! A disk in memory that crashes, tears, fills up and fails when told to. Strict where POSIX is: what was not fsynced
//! may be lost or torn at a power cut, and a new file's name is only safe once its folder was fsynced. Its calls are
//! in `files`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use std::sync::{Arc, Mutex};

mod files;

use super::super::catalog::locked;

/// What a power cut may tear: a write arrives in pieces of this size, in any order.
const SECTOR: usize = 16;

/// How a crash treats what was not fsynced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process was killed: all that was written stays.
    Kill,
    /// Any part may be lost.
    Power,
}

#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

struct State {
    files: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the folder's last fsync.
    renames: Vec<(PathBuf, Option<usize>)>,
    locked: bool,
    /// Handles of before the last crash are dead.
    life: u64,
    /// Operations that change something.
    ops: u64,
    crash_at: Option<u64>,
    down: bool,
    fail_at: Option<u64>,
    capacity: u64,
    bytes_read: u64,
    random: u64,
}

#[derive(Default)]
struct Node {
    now: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

struct Handle {
    disk: Disk,
    node: usize,
    life: u64,
}

struct Lock(Disk, u64);

impl Disk {
    pub(super) fn new(random: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            renames: Vec::new(),
            locked: false,
            life: 0,
            ops: 0,
            crash_at: None,
            down: false,
            fail_at: None,
            capacity: u64::MAX,
            bytes_read: 0,
            random: random | 1,
        })))
    }

    /// From the n-th operation from now on nothing works.
    pub(super) fn crash_after(&self, n: u64) {
        let mut state = locked(&self.0);
        state.crash_at = Some(state.ops + n);
    }

    /// The n-th operation from now fails with EIO.
    pub(super) fn fail_after(&self, n: u64) {
        let mut state = locked(&self.0);
        state.fail_at = Some(state.ops + n);
    }

    /// What all files may take together. Returns what it was.
    pub(super) fn set_capacity(&self, bytes: u64) -> u64 {
        std::mem::replace(&mut locked(&self.0).capacity, bytes)
    }

    /// The machine comes back.
    pub(super) fn restart(&self, crash: Crash) {
        let mut guard = locked(&self.0);
        let state = &mut *guard;
        (state.down, state.crash_at, state.fail_at, state.locked) = (false, None, None, false);
        state.life += 1;
        if crash == Crash::Power {
            let lasting = state.random(state.renames.len() + 1);
            let lasting: Vec<_> = state.renames.drain(..).take(lasting).collect();
            for (path, node) in lasting {
                put_name(&mut state.safe_names, path, node);
            }
            state.names = state.safe_names.clone();
            for node in 0..state.files.len() {
                let changes = std::mem::take(&mut state.files[node].unsynced);
                for change in changes {
                    state.survive(node, change);
                }
                state.files[node].now = state.files[node].safe.clone();
            }
        }
    }

    pub(super) fn is_down(&self) -> bool {
        locked(&self.0).down
    }

    /// Bytes of all files that end so.
    pub(super) fn bytes(&self, suffix: &str) -> u64 {
        let state = locked(&self.0);
        let ending = state.names.iter().filter(|(path, _)| path.to_string_lossy().ends_with(suffix));
        ending.map(|(_, node)| state.files[*node].now.len() as u64).sum()
    }

    /// Operations that changed something.
    pub(super) fn operations(&self) -> u64 {
        locked(&self.0).ops
    }

    pub(super) fn bytes_read(&self) -> u64 {
        locked(&self.0).bytes_read
    }

    /// Flips a bit on the platter.
    pub(super) fn flip(&self, path: &Path, at: usize, bit: u8) {
        let mut state = locked(&self.0);
        let node = state.names[path];
        let Node { now, safe, .. } = &mut state.files[node];
        for content in [now, safe] {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}

impl State {
    /// xorshift64*: enough to choose what a crash keeps.
    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }

    /// Counts an operation; the one that the crash comes in may be done or not.
    fn operation(&mut self) -> io::Result<()> {
        if self.down {
            return Err(io::Error::other("crashed"));
        }
        self.ops += 1;
        if self.crash_at.is_some_and(|at| self.ops >= at) {
            self.down = true;
            return if self.random(2) == 0 { Ok(()) } else { Err(io::Error::other("crashed")) };
        }
        if self.fail_at.is_some_and(|at| self.ops >= at) {
            self.fail_at = None;
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    /// A random part of a change reaches the platter.
    fn survive(&mut self, node: usize, change: Change) {
        match change {
            Change::Truncate(len) => {
                if self.random(2) == 0 {
                    self.files[node].safe.truncate(len as usize);
                }
            }
            Change::Write(offset, bytes) => {
                for (nth, sector) in bytes.chunks(SECTOR).enumerate() {
                    if self.random(3) > 0 {
                        write(&mut self.files[node].safe, offset + (nth * SECTOR) as u64, sector);
                    }
                }
            }
        }
    }
}

fn put_name(names: &mut BTreeMap<PathBuf, usize>, path: PathBuf, node: Option<usize>) {
    match node {
        Some(node) => names.insert(path, node),
        None => names.remove(&path),
    };
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset as usize..end].copy_from_slice(bytes);
}
