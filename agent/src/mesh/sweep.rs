//! Which source ports get through to a peer: routers share out flows over paths of equal cost by their ports, so one bad
//! path shows as a few ports that are dead while ICMP, one flow of its own, is clean.

/// Questions to each port in a sweep; all must stay unanswered, in two sweeps one after the other.
pub(super) const TRIES: u32 = 3;

/// The ports of a peer.
#[derive(Debug)]
pub(super) struct Sweep {
    ports: Vec<Port>,
    /// Questions of this sweep so far.
    asked: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    asked: u32,
    came: u32,
    /// The sweep before had no answer.
    was_silent: bool,
    dead: bool,
}

impl Sweep {
    pub(super) fn new(ports: usize) -> Self {
        Self { ports: vec![Port::default(); ports], asked: 0 }
    }

    /// The port of the next question; whether a sweep has ended with the one before.
    pub(super) fn next(&mut self) -> (usize, bool) {
        let all = self.ports.len() as u32;
        let ended = self.asked == all * TRIES;
        if ended {
            self.asked = 0;
        }
        let port = self.asked % all.max(1);
        self.asked += 1;
        (port as usize, ended)
    }

    /// What became of a question.
    pub(super) fn result(&mut self, port: usize, came: bool) {
        if let Some(port) = self.ports.get_mut(port) {
            port.asked += 1;
            port.came += u32::from(came);
        }
    }

    /// Sums a sweep up: whether other ports are dead now than before it. A peer of which no port answers is away, which
    /// says nothing about a port.
    pub(super) fn judge(&mut self) -> bool {
        let away = self.ports.iter().all(|port| port.came == 0);
        let mut changed = false;
        for port in &mut self.ports {
            let silent = port.came == 0 && port.asked > 0;
            if !away {
                let dead = silent && port.was_silent;
                changed |= dead != port.dead;
                (port.dead, port.was_silent) = (dead, silent);
            }
            (port.asked, port.came) = (0, 0);
        }
        changed
    }

    /// Places of the dead ports.
    pub(super) fn dead(&self) -> impl Iterator<Item = usize> {
        self.ports.iter().enumerate().filter(|(_, port)| port.dead).map(|(place, _)| place)
    }

    /// The first port that lives: the flow for all else.
    pub(super) fn canonical(&self) -> usize {
        self.ports.iter().position(|port| !port.dead).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep in which these ports do not answer, and beside them one question in `lost`.
    fn sweep(ports: &mut Sweep, silent: &[usize], lost: usize) -> bool {
        for nth in 0.. {
            let (port, ended) = ports.next();
            if ended {
                // The question that begins the next sweep belongs to that one.
                ports.asked = 0;
                return ports.judge();
            }
            ports.result(port, !silent.contains(&port) && (nth + 1) % lost != 0);
        }
        false
    }

    /// Scenario: all ports answer; two of them no more; the peer is away; they come back. One question in five is lost.
    /// Guarantees: both are dead after two sweeps and said once; being away changes nothing; the canonical flow is one
    /// that lives; loss alone kills no port.
    #[test]
    fn dead_ports() {
        let mut ports = Sweep::new(8);
        assert!((0..20).all(|_| !sweep(&mut ports, &[], 5)));
        assert!(!sweep(&mut ports, &[0, 5], 5));
        assert!(sweep(&mut ports, &[0, 5], 5));
        assert!(!sweep(&mut ports, &[0, 5], 5));
        assert_eq!((ports.dead().collect::<Vec<_>>(), ports.canonical()), (vec![0, 5], 1));
        assert!(!sweep(&mut ports, &[0, 1, 2, 3, 4, 5, 6, 7], 100));
        assert_eq!(ports.dead().count(), 2);
        assert!(sweep(&mut ports, &[], 5));
        assert_eq!((ports.dead().count(), ports.canonical()), (0, 0));
    }
}
