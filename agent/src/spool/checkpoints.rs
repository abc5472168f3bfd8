//! How far each log file is in the spool, over both lanes of a class: what a file's tailer goes on from.
//!
//! Each lane's log stores all of it at the head of a segment, with a turn that grows; on opening, the newest of these
//! counts, and behind it the frames of both logs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ao_proto::model::FileId;
use ao_proto::queue::Lane;
use ao_proto::v1::FileRange;

/// One class's files; shared by the folds of its lanes.
#[derive(Default)]
pub(crate) struct Checkpoints(Mutex<State>);

#[derive(Default)]
struct State {
    /// Grows with each snapshot.
    turn: u64,
    ends: HashMap<FileId, u64>,
    opened: bool,
    /// By lane: what opening has found.
    found: [Found; Lane::ALL.len()],
}

/// A lane's newest snapshot, and the frames behind it.
#[derive(Default)]
struct Found {
    turn: u64,
    snapshot: HashMap<FileId, u64>,
    behind: HashMap<FileId, u64>,
}

impl Checkpoints {
    /// A lane's newest snapshot, on opening.
    pub(crate) fn restore(&self, lane: Lane, turn: u64, files: impl Iterator<Item = (FileId, u64)>) {
        let found = &mut self.lock().found[lane.number() as usize];
        found.turn = turn;
        found.snapshot = files.collect();
    }

    /// A frame lies in a lane's log.
    pub(crate) fn apply(&self, lane: Lane, files: &[FileRange]) {
        let mut state = self.lock();
        for range in files {
            let Ok(id) = <[u8; 16]>::try_from(range.file.as_slice()) else { continue };
            if state.opened {
                // The lanes' frames are stored in the order in which they were read.
                state.ends.insert(FileId(id), range.end);
            } else {
                state.found[lane.number() as usize].behind.insert(FileId(id), range.end);
            }
        }
    }

    /// The files are gone.
    pub(crate) fn forget(&self, files: &[FileId]) {
        let mut state = self.opened();
        for file in files {
            state.ends.remove(file);
        }
    }

    /// For the head of a segment: the turn, and how far each file is.
    pub(crate) fn snapshot(&self) -> (u64, Vec<(FileId, u64)>) {
        let mut state = self.opened();
        state.turn += 1;
        (state.turn, state.ends.iter().map(|(file, end)| (*file, *end)).collect())
    }

    /// How far this file is.
    pub(crate) fn end(&self, file: FileId) -> Option<u64> {
        self.opened().ends.get(&file).copied()
    }

    /// All of them.
    pub(crate) fn all(&self) -> HashMap<FileId, u64> {
        self.opened().ends.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opening has ended with the first who asks.
    fn opened(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if !state.opened {
            state.join();
        }
        state
    }
}

impl State {
    fn join(&mut self) {
        self.opened = true;
        let [fresh, backlog] = std::mem::take(&mut self.found);
        let (newer, older) = if fresh.turn >= backlog.turn { (fresh, backlog) } else { (backlog, fresh) };
        self.turn = newer.turn;
        self.ends = newer.snapshot;
        self.ends.extend(newer.behind);
        // Of these it is not known whether they came before.
        for (file, end) in older.behind {
            let known = self.ends.entry(file).or_default();
            *known = end.max(*known);
        }
        // A class that has not been written since there are turns.
        if self.turn == 0 {
            for (file, end) in older.snapshot {
                self.ends.entry(file).or_insert(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FileId = FileId([1; 16]);
    const B: FileId = FileId([2; 16]);

    fn range(file: FileId, start: u64, end: u64) -> FileRange {
        FileRange { file: file.0.to_vec(), start, end }
    }

    /// Scenario: a file is read on in the other lane, one is forgotten, one begins anew; then all is opened again, from
    /// an old snapshot of the one lane and a newer one of the other, and frames behind both.
    /// Guarantees: the newest end counts, wherever it lies; what was forgotten does not come back from old snapshots.
    #[test]
    fn newest_over_both_lanes() {
        let before = Checkpoints::default();
        before.all();
        before.apply(Lane::Fresh, &[range(A, 0, 100), range(B, 0, 7)]);
        let (old_turn, old) = before.snapshot();
        before.apply(Lane::Backlog, &[range(A, 100, 300)]);
        before.forget(&[B]);
        let (new_turn, new) = before.snapshot();
        assert_eq!(new, [(A, 300)]);

        let after = Checkpoints::default();
        after.restore(Lane::Fresh, old_turn, old.into_iter());
        after.apply(Lane::Fresh, &[range(A, 100, 200)]);
        after.restore(Lane::Backlog, new_turn, new.into_iter());
        assert_eq!(after.all(), HashMap::from([(A, 300)]));
        after.apply(Lane::Fresh, &[range(A, 0, 5)]);
        assert_eq!(after.snapshot(), (new_turn + 1, vec![(A, 5)]));
    }

    /// Scenario: a folder of a build without lanes; frames behind its snapshot.
    /// Guarantees: all of it counts.
    #[test]
    fn a_folder_without_turns() {
        let after = Checkpoints::default();
        after.restore(Lane::Fresh, 0, [(A, 100), (B, 50)].into_iter());
        after.apply(Lane::Fresh, &[range(A, 100, 200)]);
        after.apply(Lane::Backlog, &[range(B, 50, 60)]);
        assert_eq!(after.all(), HashMap::from([(A, 200), (B, 60)]));
    }
}
