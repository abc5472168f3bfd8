//! Which source ports get through to a peer: routers share out flows over paths of equal cost by their ports, so one bad
//! path shows as a few ports that are dead while ICMP, one flow of its own, is clean.

/// Questions to each port in a sweep; all must stay unanswered, in two sweeps one after the other, and in more where the
/// ports that answer lose some, too.
pub(super) const TRIES: u32 = 3;
/// How likely it may be that any port of a sweep is called dead by chance.
const CHANCE: f64 = 0.001;
/// The least share that is taken to be lost towards ports that live: no path is perfect.
const LOSS: f64 = 0.01;

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
    /// Questions since the last answer, in whole sweeps.
    silent: u32,
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
        // Those that answer now, or did in the sweep before.
        let living = self.ports.iter().filter(|port| port.came > 0 || port.silent == 0);
        let (asked, came) = living.fold((0, 0), |(asked, came), port| (asked + port.asked, came + port.came));
        let loss = (1.0 - f64::from(came) / f64::from(asked.max(1))).clamp(LOSS, 1.0);
        let ports = self.ports.len() as f64;
        let mut changed = false;
        for port in &mut self.ports {
            if came > 0 && port.asked > 0 {
                port.silent = if port.came == 0 { port.silent.saturating_add(port.asked) } else { 0 };
                let by_chance = loss.powi(port.silent.min(1000) as i32) * ports;
                let dead = port.silent >= 2 * TRIES && by_chance <= CHANCE;
                changed |= dead != port.dead;
                port.dead = dead;
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
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

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

    /// Scenario: half of all questions are lost, for a thousand sweeps over sixteen ports; then one port dies, too.
    /// Guarantees: at most three sweeps call one dead by chance; the one that is, is named within ten sweeps.
    #[test]
    fn heavy_loss() {
        let mut random = StdRng::seed_from_u64(3);
        let mut ports = Sweep::new(16);
        let mut sweep = |dead: Option<usize>| {
            loop {
                let (port, ended) = ports.next();
                if ended {
                    ports.asked = 0;
                    let changed = ports.judge();
                    return (changed, ports.dead().collect::<Vec<_>>());
                }
                ports.result(port, dead != Some(port) && random.random_bool(0.5));
            }
        };
        let named = (0..1000).filter(|_| matches!(sweep(None), (true, dead) if !dead.is_empty())).count();
        assert!(named <= 3, "{named}");
        assert!((0..10).any(|_| sweep(Some(7)).1 == [7]));
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
