//! When the anchor moves: a state machine that reads no clock.
//!
//! The system's wall clock less boot time changes only when somebody sets the clock: the kernel slews both at the same
//! rate (kernel/time/timekeeping.c, `CLOCK_BOOTTIME` is `CLOCK_MONOTONIC` plus suspensions). So a change of the
//! difference is a step, small ones aside, which are simply followed.
//!
//! A step is not followed by itself. It is confirmed by a reference (what was measured against the aggregator's clock)
//! with which the system's clock agrees better after it than ours does, or by the owner ([`Anchor::follow`]). One case
//! needs no reference: a clock that showed a time before this program was written, and does no longer. Without an
//! aggregator our time stays as it was: the data waits in the spool, and the reference judges on the next connection.

use std::collections::VecDeque;

/// Changes up to this are followed; ntpd and systemd-timesyncd do not step for less.
const SMALL_NS: i64 = 100_000_000;
/// A clock may also drift by a part of the time between two looks: the fastest slew known is chrony's, one in twelve.
const DRIFT: i64 = 10;
/// The time between two looks that counts for that.
const LONGEST_LOOK_NS: i64 = 10_000_000_000;
/// A reference must be better by more than this, and its own error.
const MARGIN_NS: i64 = 10_000_000;
/// 2026-01-01: a clock that shows less was never set.
const EARLIEST_NS: i64 = 1_767_225_600 * 1_000_000_000;
/// What the system's clock showed before a step is kept this long, for records of then that come late.
const KEEP_NS: i64 = 3_600_000_000_000;
const STRETCHES: usize = 16;
/// Quartz is off by up to 100 ppm.
const OSCILLATOR: i64 = 10_000;

/// Wall time is boot time plus this. All times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Anchor {
    anchor: i64,
    /// What the system's clock has shown, oldest first; the last one is of now. Never empty.
    pieces: VecDeque<Piece>,
    /// The anchor is the system's; else a step waits for confirmation.
    following: bool,
    /// What small changes are still followed.
    room: i64,
    reference: Option<Reference>,
    steps: u64,
    moves: u64,
}

/// A time without a step.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Boot time.
    from: i64,
    until: i64,
    /// The system's wall clock less boot time.
    system: i64,
}

/// What was measured last.
#[derive(Clone, Copy, Debug)]
struct Reference {
    /// The reference's wall clock less boot time.
    anchor: i64,
    /// How wrong that may be.
    error: i64,
    /// Boot time of the measurement.
    at: i64,
}

/// What a look at the clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No step.
    Same,
    /// A step.
    Stepped {
        /// How far.
        by_ns: i64,
        /// Ours went with it.
        followed: bool,
    },
    /// An unconfirmed step was taken back.
    Back,
}

/// A stretch of the system's clock that is not ours: what carries its times can be brought to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First time that the system's clock showed.
    pub from_ns: i64,
    /// Last one.
    pub until_ns: i64,
    /// The system's clock less ours.
    pub ahead_ns: i64,
}

impl Anchor {
    /// Taken from the system's clock.
    pub fn new(boot: i64, wall: i64) -> Self {
        let system = wall.saturating_sub(boot);
        Self {
            anchor: system,
            pieces: VecDeque::from([Piece { from: boot, until: boot, system }]),
            following: true,
            room: SMALL_NS,
            reference: None,
            steps: 0,
            moves: 0,
        }
    }

    /// Wall time less boot time.
    pub fn anchor_ns(&self) -> i64 {
        self.anchor
    }

    /// The system's clock less ours: a step that is not confirmed, 0 where there is none.
    pub fn pending_ns(&self) -> i64 {
        if self.following { 0 } else { self.now().system.saturating_sub(self.anchor) }
    }

    /// How long the step that is not confirmed has stood.
    pub fn pending_for_ns(&self) -> i64 {
        if self.following { 0 } else { self.now().until - self.now().from }
    }

    /// Our clock less the reference's, where there is one.
    pub fn offset_ns(&self) -> Option<i64> {
        self.reference.map(|reference| self.anchor.saturating_sub(reference.anchor))
    }

    /// The reference's wall clock less boot time, and how wrong that may be.
    pub fn reference(&self) -> Option<(i64, i64)> {
        self.reference.map(|reference| (reference.anchor, reference.error))
    }

    /// The round trip by which the reference was measured: twice its error.
    pub fn round_trip_ns(&self) -> Option<i64> {
        self.reference.map(|reference| reference.error.saturating_mul(2))
    }

    /// Steps of the system's clock seen.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Steps seen and moves of the anchor.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// The stretches of the system's clock in which it was not as ours is now, newest first, with the present one in
    /// any case.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> {
        self.pieces.iter().rev().map(|piece| Stretch {
            from_ns: piece.from.saturating_add(piece.system),
            until_ns: piece.until.saturating_add(piece.system),
            ahead_ns: piece.system.saturating_sub(self.anchor),
        })
    }

    /// What the system's clock shows now.
    pub fn see(&mut self, boot: i64, wall: i64) -> Seen {
        let system = wall.saturating_sub(boot);
        let last = self.now();
        let change = system.saturating_sub(last.system);
        let elapsed = boot.saturating_sub(last.until).clamp(0, LONGEST_LOOK_NS);
        let most = SMALL_NS + elapsed / DRIFT;
        self.room = (self.room + elapsed / DRIFT).min(most);
        self.last(|piece| piece.until = boot.max(piece.until));
        if change.saturating_abs() <= self.room {
            self.room -= change.saturating_abs();
            self.last(|piece| piece.system = system);
            if self.following {
                self.anchor = system;
            }
            return self.seen_back();
        }
        // It came at some moment since the last look.
        self.pieces.push_back(Piece { from: last.until, until: boot.max(last.until), system });
        self.pieces.retain(|piece| piece.until >= boot - KEEP_NS);
        while self.pieces.len() > STRETCHES {
            self.pieces.pop_front();
        }
        self.steps += 1;
        self.moves += 1;
        self.following = false;
        if self.seen_back() == Seen::Back {
            return Seen::Back;
        }
        let was_never_set = boot.saturating_add(self.anchor) < EARLIEST_NS;
        let followed = was_never_set && boot.saturating_add(system) >= EARLIEST_NS || self.judge();
        if followed {
            self.follow();
        }
        Seen::Stepped { by_ns: change, followed }
    }

    /// What was measured: the reference's wall clock less boot time, and how wrong that may be. True where this
    /// confirms a step, which our clock has followed now.
    pub fn measured(&mut self, reference: i64, error: i64) -> bool {
        self.reference = Some(Reference { anchor: reference, error, at: self.now().until });
        let confirmed = !self.following && self.judge();
        if confirmed {
            self.follow();
        }
        confirmed
    }

    /// Goes with the system's clock.
    pub fn follow(&mut self) {
        if !self.following {
            self.following = true;
            self.moves += 1;
            self.anchor = self.now().system;
        }
    }

    /// The anchor of an earlier process of this boot, and its reference: the system's clock may have been set since.
    pub fn restore(&mut self, anchor: i64, reference: Option<(i64, i64)>) {
        let now = self.now();
        self.reference = reference.map(|(anchor, error)| Reference { anchor, error, at: now.until });
        if apart(now.system, anchor) > SMALL_NS {
            (self.anchor, self.following) = (anchor, false);
            self.moves += 1;
            // It was set while nobody looked; times that it showed then and that were not to come are of it, too.
            let before = self.pending_ns().saturating_abs().min(KEEP_NS);
            self.last(|piece| piece.from = piece.from.saturating_sub(before));
            if now.until.saturating_add(anchor) < EARLIEST_NS || self.judge() {
                self.follow();
            }
        }
    }

    /// Whether the system's clock agrees better with the reference than ours does.
    fn judge(&self) -> bool {
        let Some(reference) = self.reference else { return false };
        let now = self.now();
        let (ours, systems) = (apart(self.anchor, reference.anchor), apart(now.system, reference.anchor));
        // An old measurement says less: boot time has gone its own way since.
        let error = reference.error.saturating_add((now.until - reference.at) / OSCILLATOR);
        let is_possible = now.until.saturating_add(now.system) >= EARLIEST_NS;
        is_possible && systems.saturating_add(error).saturating_add(MARGIN_NS) < ours
    }

    /// Whether the system's clock has come back to ours.
    fn seen_back(&mut self) -> Seen {
        if self.following || apart(self.now().system, self.anchor) > SMALL_NS {
            return Seen::Same;
        }
        self.follow();
        Seen::Back
    }

    fn now(&self) -> Piece {
        self.pieces.back().copied().unwrap_or(Piece { from: 0, until: 0, system: self.anchor })
    }

    fn last(&mut self, change: impl FnOnce(&mut Piece)) {
        if let Some(piece) = self.pieces.back_mut() {
            change(piece);
        }
    }
}

fn apart(a: i64, b: i64) -> i64 {
    a.saturating_sub(b).saturating_abs()
}

#[cfg(test)]
mod tests;
