//! Ways that get worse: when what is seen of one is trouble, and how the sources that see it say so to the flight recorder.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::broadcast;

/// Alarms that wait for the flight recorder; it is quick, and beyond it the oldest are forgotten.
pub const ALARMS: usize = 64;

/// Medians that say what is usual, and how many of them say it at least.
const USUAL: usize = 30;
const USUAL_LEAST: usize = 3;
/// A round trip that is more than twice the usual one counts where it is also so much longer: of a packet that comes back
/// at once.
pub const JUMP_NS: i64 = 1_000_000;
/// The same of a server's answer.
pub const SLOW_NS: i64 = 300_000_000;

/// What got worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Packets are lost.
    Loss,
    /// Round trips take more than twice as long as usual.
    Latency,
    /// Some source ports get through and others do not.
    DeadPorts,
    /// Other routers are on the way.
    PathChange,
    /// Names are found slowly, or not at all.
    Name,
}

impl Trouble {
    /// For labels and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Latency => "latency",
            Self::DeadPorts => "dead_ports",
            Self::PathChange => "path_change",
            Self::Name => "name",
        }
    }
}

/// A trouble that begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What got worse.
    pub trouble: Trouble,
    /// It has ended.
    pub over: bool,
}

impl Turn {
    /// That of a trouble that begins.
    pub fn begun(trouble: Trouble) -> Self {
        Self { trouble, over: false }
    }
}

/// What a source has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What got worse, or has ended; that other routers are on the way never does.
    pub turn: Turn,
    /// The target as it is configured; of [`Trouble::Name`] the name that was asked for.
    pub host: String,
    /// Its address, as far as known.
    pub address: Option<IpAddr>,
    /// The name server that was asked; `None` for those of the system.
    pub server: Option<SocketAddr>,
}

impl Alarm {
    /// Whether it is about what the other one is about.
    pub fn is_of(&self, other: &Self) -> bool {
        let of_names = |alarm: &Self| alarm.turn.trouble == Trouble::Name;
        self.host == other.host && self.server == other.server && of_names(self) == of_names(other)
    }
}

/// Where alarms go; nobody needs to listen.
pub type Alarms = broadcast::Sender<Alarm>;

/// Says when a way is in trouble: once when it begins and once when it is good again; in between only that packets are lost,
/// too, where they took longer at first.
#[derive(Clone, Debug)]
pub struct Watch {
    jump_ns: i64,
    /// Medians of the rounds before, nanoseconds.
    usual: VecDeque<i64>,
    in_trouble: Option<Trouble>,
}

impl Watch {
    /// See [`JUMP_NS`].
    pub fn new(jump_ns: i64) -> Self {
        Self { jump_ns, usual: VecDeque::new(), in_trouble: None }
    }

    /// The median of a round, nanoseconds.
    pub fn learn(&mut self, median_ns: i64) {
        if self.usual.len() >= USUAL {
            self.usual.pop_front();
        }
        self.usual.push_back(median_ns);
    }

    /// The median of those medians, where there are enough.
    pub fn usual_ns(&self) -> Option<i64> {
        let mut usual: Vec<i64> = self.usual.iter().copied().collect();
        usual.sort_unstable();
        (usual.len() >= USUAL_LEAST).then(|| usual[usual.len() / 2])
    }

    /// Takes a look at the newest round trips: how many were lost, whether that is too many, and the median of the others.
    pub fn look(&mut self, lost: usize, too_many: bool, median_ns: Option<i64>) -> Option<Turn> {
        let jumped = median_ns
            .zip(self.usual_ns())
            .is_some_and(|(now, usual)| now > usual.saturating_mul(2) && now - usual > self.jump_ns);
        let trouble = match (too_many, jumped) {
            (true, _) => Some(Trouble::Loss),
            (false, true) => Some(Trouble::Latency),
            (false, false) => None,
        };
        match (self.in_trouble, trouble) {
            (Some(before), None) if lost == 0 => {
                self.in_trouble = None;
                Some(Turn { trouble: before, over: true })
            }
            (None, Some(now)) | (Some(Trouble::Latency), Some(now @ Trouble::Loss)) => {
                self.in_trouble = Some(now);
                Some(Turn::begun(now))
            }
            _ => None,
        }
    }

    /// Whether it has begun and not ended.
    pub fn is_in_trouble(&self) -> bool {
        self.in_trouble.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Scenario: rounds of 2 ms; loss, for two rounds; a round with a single loss; loss again; good ones; a jump to 3.5,
    /// to 6 ms, with loss, without; no figures at all.
    /// Guarantees: each is said once when it begins, loss behind a jump as well, and once when it is over; a single loss does
    /// not end it; less than twice the usual is no jump; nothing is said before it is known what is usual.
    #[test]
    fn once() {
        let mut watch = Watch::new(JUMP_NS);
        assert_eq!(watch.look(0, false, Some(900 * MS)), None);
        for _ in 0..USUAL_LEAST {
            watch.learn(2 * MS);
        }
        let good = (0, false, Some(2 * MS));
        let over = |trouble| Some(Turn { trouble, over: true });
        for ((lost, too_many, median), said) in [
            (good, None),
            ((5, true, Some(2 * MS)), Some(Turn::begun(Trouble::Loss))),
            ((9, true, None), None),
            ((1, false, Some(2 * MS)), None),
            ((5, true, Some(2 * MS)), None),
            (good, over(Trouble::Loss)),
            (good, None),
            ((5, true, Some(9 * MS)), Some(Turn::begun(Trouble::Loss))),
            (good, over(Trouble::Loss)),
            ((0, false, Some(7 * MS / 2)), None),
            ((0, false, Some(6 * MS)), Some(Turn::begun(Trouble::Latency))),
            ((5, true, Some(6 * MS)), Some(Turn::begun(Trouble::Loss))),
            ((0, false, Some(6 * MS)), None),
            ((5, true, Some(6 * MS)), None),
            ((0, false, None), over(Trouble::Loss)),
        ] {
            assert_eq!(watch.look(lost, too_many, median), said, "{lost} {too_many} {median:?}");
        }
    }
}
