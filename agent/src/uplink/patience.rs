//! How long an aggregator may be silent before another one is tried.

use std::time::Duration;

/// With one aggregator alone there is nothing to be gained by leaving it soon.
const ALONE: Duration = Duration::from_secs(15);

/// What to wait for, and how long. All of it follows from one figure: the time in which an agent whose aggregator dies is
/// to go on with another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection, and then for the welcome.
    pub(crate) greeting: Duration,
    /// Between two pings on a connection on which nothing comes.
    pub(crate) ping_every: Duration,
    /// For the answer to a ping.
    pub(crate) ping: Duration,
    /// For any acknowledgement while something is unacknowledged.
    pub(crate) acks: Duration,
}

impl Patience {
    /// `failover` is that time. `strained` is how often in a row an aggregator that answered pings was left for want of
    /// acknowledgements: it may be slow, or the link is, and going round in circles would not help.
    pub(crate) fn new(failover: Duration, has_others: bool, strained: u32) -> Self {
        let failover = if has_others { failover } else { failover.max(ALONE) };
        Self {
            greeting: failover.mul_f64(0.3),
            ping_every: failover.mul_f64(0.2),
            ping: failover.mul_f64(0.4),
            acks: failover.mul_f64(0.6) * (1 << strained.min(4)),
        }
    }
}
