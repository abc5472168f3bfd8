//! The strategy in a simulated network, described by one character per hop.

use super::*;

/// Routers and the target of a path: `r` a router, `s` a silent one, `k` one whose budget is spent, `u` one that
/// refuses, `T` the target, `t` a silent target.
struct Simulated {
    path: &'static [u8],
    /// Answers come newest first.
    reversed: bool,
    waiting: Vec<u8>,
    sent: Vec<u8>,
}

fn config(first_hop: u8) -> Config {
    Config { first_hop, max_hops: 30, max_unknown: 5, ..Config::default() }
}

fn address(hop: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, hop as u8])
}

impl Network for Simulated {
    async fn send_probe(&mut self, ask: Ask) {
        self.sent.push(ask.ttl);
        self.waiting.push(ask.ttl);
    }

    async fn recv_probe(&mut self) -> Option<(u64, u8, Seen)> {
        let at = if self.reversed { self.waiting.len().checked_sub(1)? } else { 0 };
        if self.waiting.is_empty() {
            return None;
        }
        let ttl = self.waiting.remove(at);
        // A path ends somewhere on the way where one hop refuses or is the target.
        let end = self.path.iter().position(|hop| matches!(hop, b'T' | b't' | b'u')).map_or(255, |at| at + 1);
        let hop = usize::from(ttl).min(end);
        let (from, rtt) = (address(hop), Duration::from_millis(hop as u64));
        let seen = match self.path.get(hop - 1) {
            Some(b'r') => Seen::Router { from, rtt, labels: Labels::default() },
            Some(b'u') => Seen::Refused { from, rtt },
            Some(b'T') => Seen::Target { from, rtt },
            Some(b'k') => Seen::Skipped,
            _ => Seen::Silent,
        };
        Some((7, ttl, seen))
    }
}

/// As text, with the TTLs sent.
async fn pass(path: &'static str, length: Option<u8>, reversed: bool) -> (String, Vec<u8>) {
    let mut network = Simulated { path: path.as_bytes(), reversed, waiting: Vec::new(), sent: Vec::new() };
    let seen = Pass::new(&config(1), (7, 0), Vec::new(), length).run(&mut network).await;
    let text = seen.iter().map(|seen| match seen {
        Seen::Router { .. } => 'r',
        Seen::Target { .. } => 'T',
        Seen::Refused { .. } => 'u',
        Seen::Silent => 's',
        Seen::Skipped | Seen::Shared { .. } => 'k',
    });
    for (at, seen) in seen.iter().enumerate() {
        assert!(seen.answer().is_none_or(|(from, _)| from == address(at + 1)), "{path}: {seen:?}");
    }
    (text.collect(), network.sent)
}

/// Scenario: paths of several shapes; answers in order and against it; the length unknown, right, too short, too long.
/// Guarantees: the hops seen are the truth up to the path's end, each TTL is probed at most once.
#[tokio::test]
async fn topologies() {
    let cases = [
        ("T", "T"),
        ("rT", "rT"),
        ("rrrrrrrrrT", "rrrrrrrrrT"),
        ("rssrT", "rssrT"),
        ("krkT", "krkT"),
        ("rru", "rru"),
        ("srssssT", "srssssT"),
        ("rrt", "rrsssss"),
        ("", "sssss"),
    ];
    for (path, expected) in cases {
        for reversed in [false, true] {
            for length in [None, Some(1), Some(path.len() as u8), Some(path.len() as u8 + 2)] {
                let length = length.filter(|n| *n > 0);
                let (seen, sent) = pass(path, length, reversed).await;
                let shown = if expected.ends_with('s') { seen.trim_end_matches('s') } else { &seen };
                let wanted = if expected.ends_with('s') { expected.trim_end_matches('s') } else { expected };
                assert_eq!(shown, wanted, "{path} {length:?} {reversed}");
                let once: std::collections::BTreeSet<u8> = sent.iter().copied().collect();
                assert_eq!(once.len(), sent.len(), "{path}: {sent:?}");
            }
        }
    }
}

/// Scenario: a path whose length is known; one that nobody answers; one without an end.
/// Guarantees: no probe beyond the known end, few beyond an unknown one, never more than the limits.
#[tokio::test]
async fn thrift() {
    assert_eq!(pass("rrrrrrT", Some(7), false).await.1, (1..=7).collect::<Vec<u8>>());
    assert!(pass("rT", None, false).await.1.len() <= 2 + WINDOW);
    assert!(pass("", None, false).await.1.len() <= 5 + WINDOW);
    assert_eq!(pass("rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", None, false).await.1.len(), 30);
}

/// Scenario: five silent hops at once in the middle of a path, known to be longer.
/// Guarantees: a known path is asked to its end; an unknown one is given up there.
#[tokio::test]
async fn silent_stretch() {
    assert_eq!(pass("rsssssrT", Some(8), false).await.0, "rsssssrT");
    assert_eq!(pass("rsssssssssrT", None, false).await.0.trim_end_matches('s'), "r");
}

/// Scenario: the network goes away in the middle.
/// Guarantees: the pass ends; what was not answered is silent.
#[tokio::test]
async fn gone() {
    struct Gone;
    impl Network for Gone {
        async fn send_probe(&mut self, _ask: Ask) {}
        async fn recv_probe(&mut self) -> Option<(u64, u8, Seen)> {
            None
        }
    }
    assert_eq!(
        Pass::new(&config(1), (7, 0), Vec::new(), None).run(&mut Gone).await,
        vec![Seen::Silent; WINDOW]
    );
}

/// Scenario: the first three hops are not wanted.
/// Guarantees: they are not asked, and stand as skipped before the others.
#[tokio::test]
async fn later_first_hop() {
    let mut network = Simulated { path: b"rrrrrT", reversed: false, waiting: Vec::new(), sent: Vec::new() };
    let seen = Pass::new(&config(4), (7, 0), Vec::new(), None).run(&mut network).await;
    assert_eq!((&seen[..3], seen.len()), (&[Seen::Skipped; 3][..], 6));
    assert_eq!(network.sent.first(), Some(&4));
}
