//! What became of one host's pings. No I/O.

use std::net::IpAddr;
use std::time::Duration;

/// One host.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// As it is printed.
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// Pings that were answered or lost; one under way is neither.
    pub(super) ended: u32,
    pub(super) received: u32,
    /// `None` until the first answer.
    pub(super) min: Option<Duration>,
    pub(super) max: Duration,
    pub(super) sum: Duration,
    /// By number; kept only where they are asked for.
    pub(super) rtts: Vec<Option<Duration>>,
    sent: u32,
    keep: bool,
}

impl Tally {
    pub(super) fn new(name: String, address: IpAddr) -> Self {
        Self {
            name,
            address,
            ended: 0,
            received: 0,
            min: None,
            max: Duration::ZERO,
            sum: Duration::ZERO,
            rtts: Vec::new(),
            sent: 0,
            keep: false,
        }
    }

    /// Keeps each round trip from now on.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    pub(super) fn sent(&mut self, number: u32) {
        self.sent += 1;
        if self.keep {
            self.rtts.resize(number as usize + 1, None);
        }
    }

    pub(super) fn answered(&mut self, number: u32, rtt: Duration) {
        self.ended += 1;
        self.received += 1;
        self.min = Some(self.min.map_or(rtt, |min| min.min(rtt)));
        self.max = self.max.max(rtt);
        self.sum += rtt;
        if let Some(place) = self.rtts.get_mut(number as usize) {
            *place = Some(rtt);
        }
    }

    pub(super) fn lost(&mut self) {
        self.ended += 1;
    }

    /// Of the answers; `None` without one.
    pub(super) fn average(&self) -> Option<Duration> {
        self.sum.checked_div(self.received)
    }

    /// Percent of the pings that have ended, cut to a whole number as fping does.
    pub(super) fn loss(&self) -> u32 {
        let lost = u64::from(self.ended - self.received);
        (lost * 100).checked_div(self.ended.into()).unwrap_or(0) as u32
    }

    /// Sent so far.
    pub(super) fn transmitted(&self) -> u32 {
        self.sent
    }
}
