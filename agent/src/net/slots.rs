//! Probes under way: which answer belongs to which probe, and which one to none. No I/O.
//!
//! A slot outlives its probe's end by [`LINGER`], so that a second answer is told from a first one, and an answer that
//! came too late from one that nobody asked for. Nobody is woken to forget it: that is done beside the next probes.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ao_common::clock::kernel_ns;
use tokio::time::Instant;

use super::agenda::{Agenda, TICK};
use super::api::{Labels, Outcome};
use super::packet::{Echo, Fault, Heard};

/// How long after a probe's end its answers are still recognised.
const LINGER: Duration = Duration::from_secs(5);

/// Sequence numbers tried before all are held to be under way.
const TRIES: usize = 256;

/// The two clocks are read one after the other; a longer way between them (the process was not running) is tried again.
const APART: Duration = Duration::from_micros(20);
const ATTEMPTS: usize = 4;

/// Wall and monotonic clock may differ by so much over a round trip without a step, and by this share of it: the wall
/// clock is slewed, at most by 500 in a million as NTP does it.
const STEP: Duration = Duration::from_micros(100);
const SLEW: u32 = 1000;

/// Probes by sequence number; `T` is whoever waits for the outcome.
pub(super) struct Slots<T> {
    slots: HashMap<u16, Slot<T>>,
    /// The ends of those that wait; and of some that have been answered meanwhile.
    agenda: Agenda<(u16, u64)>,
    /// Those that have ended, with when each is forgotten.
    ended: VecDeque<(Instant, u16, u64)>,
    next: u16,
    born: u64,
    steps: u64,
    /// When [`Slots::due`] was last asked.
    served: Instant,
}

struct Slot<T> {
    owner: T,
    dest: IpAddr,
    token: u64,
    timeout: Duration,
    sent: Sent,
    state: State,
    born: u64,
    gap: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Answered,
    TimedOut,
}

/// A moment by two clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Monotonic.
    pub(super) at: Instant,
    /// Nanoseconds since 1970: the clock of the kernel's stamps.
    pub(super) wall_ns: i64,
}

impl Moment {
    pub(super) fn now() -> Self {
        let mut now = Self { at: Instant::now(), wall_ns: kernel_ns() };
        for _ in 1..ATTEMPTS {
            let after = Instant::now();
            if after.duration_since(now.at) <= APART {
                break;
            }
            now = Self { at: after, wall_ns: kernel_ns() };
        }
        now
    }
}

/// When a probe left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Just before the send call.
    pub(super) by: Moment,
    /// The kernel's stamp, once it is read.
    pub(super) stamp_ns: Option<i64>,
}

/// A round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    rtt: Duration,
    /// See [`Report::gap`](super::api::Report::gap).
    gap: Option<Duration>,
    /// The wall clock was set meanwhile.
    stepped: bool,
}

/// An answer as it came from a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    /// Who sent it.
    pub(super) from: IpAddr,
    /// What it says.
    pub(super) heard: Heard,
    /// Its TTL or hop limit.
    pub(super) ttl: Option<u8>,
    /// The kernel's receive stamp, nanoseconds since 1970.
    pub(super) stamp_ns: Option<i64>,
    /// MPLS labels behind an error.
    pub(super) labels: Labels,
    /// To a UDP probe: then "port unreachable" is the destination's way of answering.
    pub(super) udp: bool,
}

/// What an answer turned out to be.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The end of the probe with this sequence number.
    Final(u16, Outcome),
    /// Another answer to one that has its own.
    Duplicate(u16),
    /// The answer to one that has timed out.
    Late,
    /// Nothing of ours, or not from whom it should be.
    Foreign,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        // A random start: answers to an earlier run of the agent meet other numbers.
        Self {
            slots: HashMap::new(),
            agenda: Agenda::default(),
            ended: VecDeque::new(),
            next: rand::random(),
            born: 0,
            steps: 0,
            served: Instant::now(),
        }
    }
}

impl<T> Slots<T> {
    /// Takes a sequence number for a probe; `None` when too many are under way.
    pub(super) fn take(&mut self) -> Option<u16> {
        for _ in 0..TRIES {
            let sequence = self.next;
            self.next = self.next.wrapping_add(1);
            if self.slots.get(&sequence).is_none_or(|slot| slot.state != State::Waiting) {
                return Some(sequence);
            }
        }
        None
    }

    /// A probe has left with a sequence number from [`Slots::take`].
    pub(super) fn insert(
        &mut self,
        sequence: u16,
        dest: IpAddr,
        token: u64,
        timeout: Duration,
        sent: Sent,
        owner: T,
    ) {
        self.forget(sent.by.at);
        self.born += 1;
        let born = self.born;
        let slot = Slot { owner, dest, token, timeout, sent, state: State::Waiting, born, gap: None };
        self.slots.insert(sequence, slot);
        self.agenda.add(sent.by.at + timeout, (sequence, born));
    }

    /// The kernel has told when a probe left. A stamp from before the send call belongs to another packet, or the clock
    /// was set meanwhile: it is not used.
    pub(super) fn stamp(&mut self, sequence: u16, stamp_ns: i64) {
        if let Some(slot) = self.slots.get_mut(&sequence)
            && stamp_ns >= slot.sent.by.wall_ns
            && slot.sent.stamp_ns.is_none()
        {
            slot.sent.stamp_ns = Some(stamp_ns);
        }
    }

    /// Who waits, or waited, for this probe.
    pub(super) fn owner(&mut self, sequence: u16) -> Option<&mut T> {
        self.slots.get_mut(&sequence).map(|slot| &mut slot.owner)
    }

    /// See [`Report::gap`](super::api::Report::gap), of a probe that was answered.
    pub(super) fn gap(&self, sequence: u16) -> Option<Duration> {
        self.slots.get(&sequence).and_then(|slot| slot.gap)
    }

    /// How often the wall clock was found set since the last call.
    pub(super) fn take_steps(&mut self) -> u64 {
        std::mem::take(&mut self.steps)
    }

    /// Whether the kernel's send stamp is still missing.
    pub(super) fn lacks_stamp(&self, incoming: &Incoming) -> bool {
        match incoming.heard {
            Heard::Reply(echo) | Heard::Error { echo: Some(echo), .. } => {
                self.slots.get(&echo.sequence).is_some_and(|slot| slot.sent.stamp_ns.is_none())
            }
            Heard::Error { echo: None, .. } => false,
        }
    }

    /// Judges an answer.
    pub(super) fn hear(&mut self, incoming: &Incoming, now: Moment) -> Verdict {
        let Some(sequence) = self.find(incoming) else { return Verdict::Foreign };
        let Some(slot) = self.slots.get_mut(&sequence) else { return Verdict::Foreign };
        match slot.state {
            State::TimedOut => return Verdict::Late,
            State::Answered => return Verdict::Duplicate(sequence),
            State::Waiting => {}
        }
        self.ended.push_back((now.at + LINGER, sequence, slot.born));
        let Measured { rtt, gap, stepped } = measure(&slot.sent, incoming.stamp_ns, now);
        slot.gap = gap;
        self.steps += u64::from(stepped);
        if rtt > slot.timeout {
            // The timer has not been served yet; the packet's own times decide.
            slot.state = State::TimedOut;
            return Verdict::Final(sequence, Outcome::Timeout);
        }
        slot.state = State::Answered;
        let v6 = slot.dest.is_ipv6();
        let outcome = match incoming.heard {
            Heard::Reply(_) => Outcome::Reply { rtt, ttl: incoming.ttl },
            Heard::Error { fault: Fault::Expired, .. } => {
                Outcome::Expired { from: incoming.from, rtt, labels: incoming.labels }
            }
            Heard::Error { fault, .. } if incoming.udp && fault.is_port(v6) && incoming.from == slot.dest => {
                Outcome::Reply { rtt, ttl: incoming.ttl }
            }
            Heard::Error { fault: Fault::Unreachable(code), .. } => {
                Outcome::Unreachable { from: incoming.from, code, rtt }
            }
        };
        Verdict::Final(sequence, outcome)
    }

    /// The sequence number of the probe that this answers, by sender or quoted destination, number and token.
    fn find(&self, incoming: &Incoming) -> Option<u16> {
        let fits = |echo: Echo, dest: Option<IpAddr>, need_token: bool| {
            let slot = self.slots.get(&echo.sequence)?;
            let token = echo.token.map_or(!need_token, |token| token == slot.token);
            (token && dest.is_none_or(|dest| dest == slot.dest)).then_some(echo.sequence)
        };
        match incoming.heard {
            Heard::Reply(echo) => fits(echo, Some(incoming.from), true),
            Heard::Error { echo: Some(echo), dest, .. } => fits(echo, dest, false),
            Heard::Error { echo: None, dest, .. } => {
                // Only the destination is known; it must leave no doubt.
                let dest = dest?;
                let mut fitting =
                    self.slots.iter().filter(|(_, slot)| slot.dest == dest && slot.state == State::Waiting);
                let (sequence, _) = fitting.next()?;
                fitting.next().is_none().then_some(*sequence)
            }
        }
    }

    /// The probes whose time is up and that have no answer yet; what lies in the sockets may still hold one.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u16> {
        self.served = now;
        self.forget(now);
        let mut due = Vec::new();
        while let Some((sequence, born)) = self.agenda.due(now) {
            if self.waits(sequence, born) {
                due.push(sequence);
                self.ended.push_back((now + LINGER, sequence, born));
            }
        }
        due
    }

    /// Whether it is that very probe, not a later one of its number, and has no answer.
    fn waits(&self, sequence: u16, born: u64) -> bool {
        self.slots.get(&sequence).is_some_and(|slot| slot.born == born && slot.state == State::Waiting)
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(_, sequence, born)) = self.ended.front().filter(|(at, ..)| *at <= now) {
            self.ended.pop_front();
            if self.slots.get(&sequence).is_some_and(|slot| slot.born == born) {
                self.slots.remove(&sequence);
            }
        }
    }

    /// Ends a probe of [`Slots::due`]; false when its answer has come meanwhile.
    pub(super) fn time_out(&mut self, sequence: u16) -> bool {
        match self.slots.get_mut(&sequence) {
            Some(slot) if slot.state == State::Waiting => {
                slot.state = State::TimedOut;
                true
            }
            _ => false,
        }
    }

    /// When [`Slots::due`] has something to do; `None` while no probe waits.
    pub(super) fn next(&mut self) -> Option<Instant> {
        while let Some((at, &(sequence, born))) = self.agenda.first() {
            if self.waits(sequence, born) {
                return Some(at.max(self.served + TICK));
            }
            let _answered = self.agenda.due(at);
        }
        None
    }
}

/// From send to receive. The kernel's stamps do not know of our own scheduling, so they go first (where it gave none for the
/// sending, the time just before the call stands for it, and there is no gap); but they are of the
/// wall clock, which may be set. Where it has moved by another time than the monotonic one, or a difference is below
/// zero or above what the monotonic clock allows, they are not used.
fn measure(sent: &Sent, received_ns: Option<i64>, now: Moment) -> Measured {
    let elapsed = now.at.saturating_duration_since(sent.by.at);
    let since = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).ok().map(Duration::from_nanos);
    let stepped =
        since(sent.by.wall_ns, now.wall_ns).is_none_or(|wall| wall.abs_diff(elapsed) > STEP + elapsed / SLEW);
    let stamped = received_ns
        .filter(|_| !stepped)
        .and_then(|received| since(sent.stamp_ns.unwrap_or(sent.by.wall_ns), received))
        .filter(|stamped| *stamped <= elapsed);
    // Without the send stamp nobody knows how far behind the sending was.
    let behind = |(received, sent_ns)| {
        let to_send = since(sent.by.wall_ns, sent_ns).unwrap_or_default();
        since(received, now.wall_ns).unwrap_or_default().max(to_send)
    };
    let gap = stamped.and(received_ns).zip(sent.stamp_ns).map(behind);
    Measured { rtt: stamped.unwrap_or(elapsed), gap, stepped }
}

#[cfg(test)]
mod tests;
