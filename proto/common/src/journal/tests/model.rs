//! Random lives of a journal on a disk that crashes and fails, against a plain list of what must be there.

use proptest::prelude::*;

use super::disk::Crash;
use super::world::World;

#[derive(Clone, Debug)]
enum Action {
    /// Queue a call of so many frames.
    Append { class: usize, frames: usize, size: usize, key: Option<u8> },
    /// Let the writer do what is queued.
    Write,
    /// A request of so many frames is begun, and perhaps done.
    Deliver { cursor: usize, frames: usize, done: bool },
    /// A cursor leaves so many frames behind.
    Leave { cursor: usize, frames: usize },
    /// As `Deliver`, of a range that was left behind; one that is done is removed.
    DeliverRange { range: usize, frames: usize, done: bool },
    /// A crash at the n-th operation on the disk from now on.
    CrashAfter(u64, Crash),
    /// The n-th operation from now fails.
    FailAfter(u64),
    /// End well and start again.
    Restart,
    /// End well, flip one bit, start again.
    Damage { class: usize, at: usize, bit: u8 },
    /// Compare with the list.
    Check,
}

fn action() -> impl Strategy<Value = Action> {
    let crash = prop_oneof![Just(Crash::Kill), Just(Crash::Power)];
    prop_oneof![
        12 => (0..3_usize, 1..6_usize, 8..300_usize, proptest::option::of(0..3_u8))
            .prop_map(|(class, frames, size, key)| Action::Append { class, frames, size, key }),
        8 => Just(Action::Write),
        5 => (0..3_usize, 1..12_usize, any::<bool>())
            .prop_map(|(cursor, frames, done)| Action::Deliver { cursor, frames, done }),
        2 => (0..3_usize, 0..12_usize).prop_map(|(cursor, frames)| Action::Leave { cursor, frames }),
        3 => (0..4_usize, 1..12_usize, any::<bool>())
            .prop_map(|(range, frames, done)| Action::DeliverRange { range, frames, done }),
        3 => (1..40_u64, crash).prop_map(|(n, crash)| Action::CrashAfter(n, crash)),
        1 => (1..20_u64).prop_map(Action::FailAfter),
        1 => Just(Action::Restart),
        1 => (0..3_usize, any::<usize>(), 0..8_u8).prop_map(|(class, at, bit)| Action::Damage { class, at, bit }),
        2 => Just(Action::Check),
    ]
}

fn live(world: &mut World, actions: Vec<Action>) {
    let mut crash = Crash::Kill;
    for action in actions {
        match action {
            Action::Append { class, frames, size, key } => world.append(class, frames, size, key),
            Action::Write => world.write(),
            Action::Deliver { cursor, frames, done } => world.deliver(cursor, frames, done),
            Action::Leave { cursor, frames } => world.leave(cursor, frames),
            Action::DeliverRange { range, frames, done } => world.deliver_range(range, frames, done),
            Action::CrashAfter(n, how) => {
                crash = how;
                world.disk.crash_after(n);
            }
            Action::FailAfter(n) => world.fail_after(n),
            Action::Restart => world.restart(None),
            Action::Damage { class, at, bit } => world.restart(Some((class, at, bit))),
            Action::Check => {
                world.write();
                world.check();
            }
        }
        if world.disk.is_down() {
            world.crash(crash);
        }
    }
    world.write();
    if world.disk.is_down() {
        world.crash(crash);
    }
    world.restart(None);
    world.check();
}

/// Scenario: a segment is shed, and EIO keeps the count of its frames from being stored; the cursor that missed them goes
/// on, then the process is killed.
/// Guarantees: the cursor's place is not stored before that count: the frames are there again, or counted.
#[test]
fn no_cursor_overtakes_what_was_shed() {
    let append = |class, frames, size, key| Action::Append { class, frames, size, key };
    let fill =
        [(0, 5, 192, Some(0)), (0, 2, 267, None), (0, 1, 27, None), (0, 5, 99, Some(0)), (0, 3, 180, None)];
    for leave in [true, false] {
        let mut actions =
            Vec::from_iter(fill.map(|(class, frames, size, key)| append(class, frames, size, key)));
        // The fsync that ends the segment works, the making of the next one does not.
        actions.extend([
            append(1, 5, 287, None),
            Action::Write,
            append(0, 3, 85, Some(0)),
            Action::FailAfter(2),
        ]);
        if leave {
            actions.push(Action::Leave { cursor: 2, frames: 0 });
        } else {
            actions.extend([
                Action::Write,
                append(1, 1, 8, None),
                Action::Deliver { cursor: 2, frames: 1, done: true },
            ]);
        }
        actions.extend([append(0, 1, 8, None), Action::CrashAfter(1, Crash::Kill), Action::Write]);
        // What all have read goes with the next segment.
        actions.push(append(1, 1, 8, None));
        live(&mut World::new(0), actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: frames of three classes are appended and delivered within a small budget; process and machine crash at
    /// any operation, also while starting; operations fail; bits flip between two lives; cursors leave ranges behind.
    /// Guarantees: what was acknowledged is there once and in order, unless all have read it, it was shed and counted
    /// for exactly those who missed it, or damage hit it itself; what was not is there without gaps; the fold is the
    /// replay of the log; cursors do not go back; what is left behind is owed by the range alone; the budget holds.
    #[test]
    fn survives_anything(actions in proptest::collection::vec(action(), 1..80), random: u64) {
        live(&mut World::new(random), actions);
    }

    /// Scenario: as before, but the disk is smaller than the budget, and nothing else goes wrong.
    /// Guarantees: nothing is shed for it; what cannot be written is refused and leaves no trace.
    #[test]
    fn survives_a_full_disk(actions in proptest::collection::vec(action(), 1..80), room in 1_500..5_000_u64) {
        let mut world = World::new(1);
        world.disk.set_capacity(world.disk.bytes("") + room);
        let calm = actions.into_iter().map(|action| match action {
            Action::CrashAfter(..) | Action::FailAfter(_) => Action::Write,
            Action::Damage { .. } => Action::Restart,
            other => other,
        });
        live(&mut world, calm.collect());
    }
}
