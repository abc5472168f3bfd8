//! How far a log was fsynced, written beside it: what tells damage to a log's tail, where the mark behind the last
//! fsync may be hit as well, from a write that a crash tore.
//!
//! ```text
//! DIR/CLASS/durable: segment u64 | offset u64 | crc32c of both, u32, all little-endian
//! ```
//!
//! It is written after an fsync and not fsynced itself: what a power cut leaves of it is older, or nothing.

use std::path::Path;
use std::sync::Arc;

use super::api::Position;
use super::storage::{File, Open, Storage, read_full};

const FILE: &str = "durable";
const SIZE: usize = 20;

/// Says how far the log is durable.
pub(super) struct Witness {
    file: Option<Arc<dyn File>>,
}

impl Witness {
    /// Opens or makes a log's. Where that fails, marks alone must do.
    pub(super) fn open(storage: &dyn Storage, dir: &Path) -> Self {
        let path = dir.join(FILE);
        let file = storage.open(&path, Open::Write);
        if let Err(error) = &file {
            tracing::warn!(path = %path.display(), %error, "cannot note how far the journal is durable");
        }
        Self { file: file.ok() }
    }

    /// All before it is fsynced.
    pub(super) fn note(&self, durable: Position) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_at(&encode(durable), 0)
        {
            tracing::debug!(%error, "cannot note how far the journal is durable");
        }
    }
}

/// What is known of a log; the beginning if it is nothing.
pub(super) fn read(storage: &dyn Storage, dir: &Path) -> Position {
    let Ok(file) = storage.open(&dir.join(FILE), Open::Read) else { return Position::default() };
    let mut bytes = [0; SIZE];
    let got = read_full(&*file, &mut bytes, 0).unwrap_or(0);
    decode(&bytes[..got]).unwrap_or_default()
}

fn encode(durable: Position) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..8].copy_from_slice(&durable.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&durable.offset.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Position> {
    let (numbers, crc) = bytes.split_at_checked(16)?;
    let number = |at: usize| Some(u64::from_le_bytes(numbers.get(at..at + 8)?.try_into().ok()?));
    let position = Position { segment: number(0)?, offset: number(8)? };
    (crc == crc32c::crc32c(numbers).to_le_bytes()).then_some(position)
}
