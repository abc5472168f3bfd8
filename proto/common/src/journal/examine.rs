//! A look through one segment that changes nothing: for `inspect` and `repair`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::api::Key;
use super::error::JournalError;
use super::record::{Head, Kind, VERSION};
use super::report::What;
use super::scan::{Entry, Found, Scan};
use super::storage::File;

/// What a segment holds.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) size: u64,
    /// Good records of any kind.
    pub(super) records: u64,
    pub(super) damage: Vec<Hurt>,
    /// Damage that an earlier repair has put away.
    pub(super) gaps: Vec<Range<u64>>,
    /// How far it was fsynced, as any head says.
    pub(super) synced: u64,
    /// Good keyframes.
    pub(super) keyframes: HashMap<Key, Entry>,
    /// Keyframes that frames need and that are not before them: from which offset on, by how many frames.
    pub(super) wanting: BTreeMap<Key, (u64, u64)>,
}

/// A damaged place.
#[derive(Clone, Debug)]
pub(super) struct Hurt {
    pub(super) bytes: Range<u64>,
    /// The record's head, if that is good.
    pub(super) head: Option<Head>,
}

impl Hurt {
    pub(super) fn what(&self) -> What {
        match self.head.map(|head| head.kind) {
            None => What::Unknown,
            Some(Kind::Frame | Kind::KeyedFrame) => What::Frame,
            Some(Kind::Keyframe) => What::Keyframe,
            Some(Kind::State) => What::State,
            Some(Kind::Segment | Kind::Mark | Kind::Gap) => What::Nothing,
        }
    }
}

impl Examined {
    /// Reads all of it; `frame` is told of every good frame.
    pub(super) fn of(
        file: &Arc<dyn File>,
        number: u64,
        size: u64,
        path: &Path,
        mut frame: impl FnMut(&Entry, &Bytes),
    ) -> Result<Self, JournalError> {
        let mut found = Self { size, ..Self::default() };
        let mut scan = Scan::new(file.clone(), number, 0);
        while let Some(next) = scan.next(size).map_err(JournalError::io("read", path))? {
            let entry = match next {
                Found::Record(entry) => entry,
                Found::Damage(bytes) => {
                    found.damage.push(Hurt { bytes, head: None });
                    continue;
                }
            };
            found.synced = found.synced.max(entry.head.synced);
            let payload = scan.payload(&entry).map_err(JournalError::io("read", path))?;
            let Some(payload) = payload else {
                found.damage.push(Hurt { bytes: entry.at..entry.end(), head: Some(entry.head) });
                continue;
            };
            found.take(&entry, &payload, path)?;
            if entry.head.is_frame() {
                frame(&entry, &payload);
            }
        }
        Ok(found)
    }

    fn take(&mut self, entry: &Entry, payload: &Bytes, path: &Path) -> Result<(), JournalError> {
        self.records += 1;
        match entry.head.kind {
            Kind::Keyframe => {
                self.keyframes.insert(entry.head.key, *entry);
            }
            Kind::Gap => self.gaps.push(entry.at..entry.end()),
            Kind::Segment => check_version(payload, path)?,
            Kind::KeyedFrame if !self.keyframes.contains_key(&entry.head.key) => {
                self.wanting.entry(entry.head.key).or_insert((entry.at, 0)).1 += 1;
            }
            Kind::State | Kind::Frame | Kind::KeyedFrame | Kind::Mark => {}
        }
        Ok(())
    }

    /// The keyframe that a damaged place has cost, if it was one or may have been, and the frames that need it.
    pub(super) fn costs(&self, hurt: &Hurt) -> Vec<(Key, u64)> {
        let before = |from: u64| {
            // The last place before the first frame that needs it, since a keyframe is written right before that.
            let places = self.damage.iter().filter(|hurt| hurt.head.is_none() && hurt.bytes.start < from);
            places.map(|hurt| hurt.bytes.start).max()
        };
        let known = |key: &Key| {
            let heads = self.damage.iter().filter_map(|hurt| hurt.head);
            heads.filter(|head| head.kind == Kind::Keyframe).any(|head| head.key == *key)
        };
        let wanting = self.wanting.iter().filter(|(key, (from, _))| match hurt.head {
            Some(head) => head.kind == Kind::Keyframe && head.key == **key,
            None => !known(key) && before(*from) == Some(hurt.bytes.start),
        });
        wanting.map(|(key, (_, frames))| (*key, *frames)).collect()
    }
}

/// Refuses a segment of another version.
pub(super) fn check_version(about: &Bytes, path: &Path) -> Result<(), JournalError> {
    match about.first_chunk().map(|version| u16::from_le_bytes(*version)) {
        Some(other) if other != VERSION => Err(JournalError::Format {
            path: path.to_owned(),
            why: format!("it has format version {other}, this build knows version {VERSION}"),
        }),
        _ => Ok(()),
    }
}

/// Bytes of a file, for a copy.
pub(super) fn slice(file: &dyn File, bytes: Range<u64>) -> io::Result<Vec<u8>> {
    let mut content = vec![0; (bytes.end - bytes.start) as usize];
    let got = super::storage::read_full(file, &mut content, bytes.start)?;
    content.truncate(got);
    Ok(content)
}
