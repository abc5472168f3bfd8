//! Which ping when: the first ones in the order of the hosts, the interval apart; each later one a period behind the one
//! before it, or, where a host is only asked whether it is there, when that one has had no answer. No I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::args::{Args, milliseconds};
use crate::net::Agenda;

/// How long a ping is put off when the prober's queues are full.
const LATER: Duration = Duration::from_millis(1);

/// Pings that are sent late go out at once, but never more of them than fit into this time.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A ping to one of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ping {
    /// Index of the host.
    pub(super) host: usize,
    /// Which of its pings, from 0.
    pub(super) number: u32,
}

impl Ping {
    /// As one number, for the prober.
    pub(super) fn key(self) -> u64 {
        (self.host as u64) << 32 | u64::from(self.number)
    }

    /// From that number.
    pub(super) fn of(key: u64) -> Self {
        Self { host: (key >> 32) as usize, number: key as u32 }
    }
}

/// The schedule.
pub(super) struct Plan {
    /// With whether it was given out before and could not be handed over.
    agenda: Agenda<(Ping, bool)>,
    /// When the next ping may be sent at the earliest.
    slot: Instant,
    interval: Duration,
    period: Duration,
    timeout: Duration,
    backoff: f64,
    /// See [`Args::pings`].
    pings: Option<u32>,
    retries: u32,
    under_way: usize,
}

impl Plan {
    pub(super) fn new(args: &Args, hosts: usize) -> Self {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        for host in 0..hosts {
            agenda.add(now, (Ping { host, number: 0 }, false));
        }
        Self {
            agenda,
            slot: now,
            interval: milliseconds(args.interval),
            period: milliseconds(args.period),
            timeout: args.timeout(),
            backoff: args.backoff,
            pings: args.pings(),
            retries: args.retry,
            under_way: 0,
        }
    }

    /// When something is to be sent; `None` when nothing is left.
    pub(super) fn next(&self) -> Option<Instant> {
        self.agenda.next().map(|at| at.max(self.slot))
    }

    /// Pings that were given out and have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// The ping that is to be sent now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Ping> {
        if self.slot > now {
            return None;
        }
        let when = self.next()?;
        let (ping, again) = self.agenda.due(now)?;
        // The slots keep to the clock, not to when this process was woken: else each wake-up would slow down the rest.
        self.slot = self.slot.max(now.checked_sub(CATCH_UP).unwrap_or(now)) + self.interval;
        self.under_way += 1;
        if let Some(pings) = self.pings
            && ping.number + 1 < pings
            && !again
        {
            self.agenda.add(when + self.period, (Ping { number: ping.number + 1, ..ping }, false));
        }
        Some(ping)
    }

    /// A ping of [`Plan::due`] could not be handed over.
    pub(super) fn again(&mut self, ping: Ping, now: Instant) {
        self.under_way -= 1;
        self.agenda.add(now + LATER, (ping, true));
    }

    /// How long the answer to a host's ping of that number counts.
    pub(super) fn timeout(&self, number: u32) -> Duration {
        if self.pings.is_some() {
            return self.timeout;
        }
        let factor = self.backoff.powi(i32::try_from(number).unwrap_or(i32::MAX));
        Duration::try_from_secs_f64(self.timeout.as_secs_f64() * factor).unwrap_or(self.timeout)
    }

    /// A ping has ended. True where only the host's being there is asked for, and that is known now.
    pub(super) fn ended(&mut self, ping: Ping, answered: bool, now: Instant) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        if self.pings.is_some() {
            return false;
        }
        if !answered && ping.number < self.retries {
            self.agenda.add(now, (Ping { number: ping.number + 1, ..ping }, false));
            return false;
        }
        true
    }
}
