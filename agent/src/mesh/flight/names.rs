//! How names are found: the servers that are asked for them, each asked and pinged for a while, and the target that was
//! looked for, pinged by its address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::course::Course;
use super::verdict::{Blame, Verdict};
use crate::net::{Dns, Outcome, Probe, Prober};

/// Rounds, a second each.
const ROUNDS: u32 = 8;
const EVERY: Duration = Duration::from_secs(1);
/// Resolvers wait for longer, and their users do not.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer that takes so much longer than a ping to the same host is slow.
const SLOW_US: u64 = 300_000;
/// resolv.conf(5): MAXNS.
const SERVERS: usize = 3;
const PORT: u16 = 53;
const CONFIGURED: &str = "/etc/resolv.conf";

/// A name, and where to ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: String,
    /// Its address, as far as known.
    pub(crate) address: Option<IpAddr>,
    /// The server; `None` for those of the system.
    pub(crate) server: Option<SocketAddr>,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    /// The address that the name had, and its pings.
    pub(super) target: Option<(IpAddr, Pings)>,
}

/// One name server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) asked: u32,
    /// With the name, or that there is none.
    pub(super) answered: u32,
    /// With a failure of its own, or a refusal (RFC 1035 section 4.1.1: codes 2, 4, 5).
    pub(super) failed: u32,
    /// By the host: nobody listens.
    pub(super) closed: u32,
    /// Median of the answers, microseconds.
    pub(super) took_us: u64,
    pub(super) pings: Pings,
}

/// Pings of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Pings {
    pub(super) sent: u32,
    pub(super) got: u32,
    /// Median of the answers, microseconds.
    pub(super) took_us: u64,
}

impl Pings {
    /// One may be lost by chance.
    fn are_clean(&self) -> bool {
        self.sent > 0 && self.got + 1 >= self.sent
    }
}

/// The servers of a resolv.conf.
fn servers(text: &str) -> Vec<SocketAddr> {
    let of_line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    text.lines().filter_map(of_line).take(SERVERS).collect()
}

/// Asks and pings, for some seconds.
pub(super) async fn ask(prober: &Arc<Prober>, question: &Question) -> Asked {
    let configured = || servers(&std::fs::read_to_string(CONFIGURED).unwrap_or_default());
    let asked = question.server.map_or_else(configured, |server| vec![server]);
    let mut asking = JoinSet::new();
    for (nth, address) in asked.into_iter().enumerate() {
        let (prober, name) = (Arc::clone(prober), question.name.clone());
        asking.spawn(async move { (nth, server(&prober, address, name).await) });
    }
    let target = async {
        match question.address {
            Some(address) => Some((address, ping(prober, address, ROUNDS, (EVERY, EVERY)).await.0)),
            None => None,
        }
    };
    let (mut servers, target) = tokio::join!(asking.join_all(), target);
    servers.sort_by_key(|(nth, _)| *nth);
    let servers = servers.into_iter().map(|(_, server)| server).collect();
    Asked { name: question.name.clone(), servers, target }
}

async fn server(prober: &Prober, address: SocketAddr, name: String) -> Server {
    let dns = Dns { query: name, record: "A".to_owned(), port: address.port(), require_noerror: false };
    let mut server =
        Server { address, asked: 0, answered: 0, failed: 0, closed: 0, took_us: 0, pings: Pings::default() };
    let asking = async {
        let mut took = Vec::new();
        let mut ticks = interval(EVERY);
        for _ in 0..ROUNDS {
            ticks.tick().await;
            let began = Instant::now();
            server.asked += 1;
            match timeout(PATIENCE, dns.ask(address, None)).await {
                Ok(Ok(2 | 4 | 5)) => server.failed += 1,
                Ok(Ok(_)) => {
                    server.answered += 1;
                    took.push(micros(began.elapsed()));
                }
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => server.closed += 1,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        took
    };
    let (took, (pings, _)) = tokio::join!(asking, ping(prober, address.ip(), ROUNDS, (EVERY, EVERY)));
    (server.took_us, server.pings) = (median(took), pings);
    server
}

/// Pings an address, so often, and waits so long for each answer; also, what became of each. What does not leave is not
/// sent, and not lost.
pub(super) async fn ping(
    prober: &Prober,
    dest: IpAddr,
    count: u32,
    (every, patience): (Duration, Duration),
) -> (Pings, Course) {
    let mut client = prober.client(count as usize);
    let mut ticks = interval(every);
    let (mut pings, mut took, mut asked, mut ended) = (Pings::default(), Vec::new(), 0, 0);
    let mut course = Course::default();
    while ended < count {
        tokio::select! {
            _ = ticks.tick(), if asked < count => {
                let probe = Probe { timeout: patience, key: course.sent() as u64, ..Probe::to(dest) };
                if client.send(probe).await.is_err() {
                    break;
                }
                asked += 1;
                pings.sent += 1;
            }
            Some(report) = client.recv() => match report.outcome {
                Outcome::Duplicate => {}
                Outcome::Reply { rtt, .. } => {
                    (ended, pings.got) = (ended + 1, pings.got + 1);
                    course.came(report.key as usize);
                    took.push(micros(rtt));
                }
                Outcome::NotSent(_) => {
                    (ended, pings.sent) = (ended + 1, pings.sent.saturating_sub(1));
                    course.came(report.key as usize);
                }
                _ => ended += 1,
            },
        }
    }
    pings.took_us = median(took);
    (pings, course)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn median(mut took: Vec<u64>) -> u64 {
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or(0)
}

/// The name service is to blame where its servers fail or are slow although their hosts and the target are reached
/// without loss.
pub(super) fn judge(asked: &Asked) -> Blame {
    let unknown = |evidence: Vec<String>| Blame { verdict: Verdict::Unknown, hop: None, evidence };
    let mut evidence = Vec::new();
    let (mut guilty, mut unreached) = (None, false);
    for server in &asked.servers {
        let Server { address, asked, answered, failed, closed, took_us, pings } = server;
        let slow = *answered > 0 && *took_us >= pings.took_us.saturating_add(SLOW_US);
        // One question may be lost by chance, as a ping may.
        if *answered + 1 >= *asked && !slow {
            continue;
        }
        // A host that says that nobody listens is there, even where it answers no ping. A stub on this host is always
        // reached, and passes on what it hears from servers that may not be.
        let is_stub = address.ip().is_loopback();
        let reached = pings.are_clean() && !is_stub || *closed + 1 >= *asked;
        unreached |= !reached;
        evidence.push(format!(
            "name server {address} answers {answered} of {asked} questions ({failed} with a failure, {closed} refused by its \
             host), within {} ms; its host {} of {} pings, within {} ms",
            took_us / 1000,
            pings.got,
            pings.sent,
            pings.took_us / 1000
        ));
        if is_stub && !reached {
            evidence.push("it is on this host, and may have got no answers itself".to_owned());
        }
        if reached && guilty.is_none() {
            guilty = Some(address.ip());
        }
    }
    if evidence.is_empty() {
        let count = asked.servers.len();
        return unknown(vec![format!("{count} name servers answer as they should while they are looked at")]);
    }
    if let Some((address, pings)) = &asked.target {
        evidence.push(format!("{address} itself answers {} of {} pings", pings.got, pings.sent));
        if !pings.are_clean() {
            return unknown(evidence);
        }
    }
    match guilty {
        Some(address) if !unreached => Blame { verdict: Verdict::NameService, hop: Some(address), evidence },
        _ => unknown(evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: Pings = Pings { sent: 8, got: 8, took_us: 400 };
    const BAD: Pings = Pings { sent: 8, got: 4, took_us: 400 };

    fn one(answered: u32, failed: u32, closed: u32, took_us: u64, pings: Pings) -> Server {
        let address = SocketAddr::from(([10, 0, 0, 53], PORT));
        Server { address, asked: 8, answered, failed, closed, took_us, pings }
    }

    /// On this host, as systemd-resolved.
    fn stub(answered: u32, failed: u32, closed: u32) -> Server {
        let address = SocketAddr::from(([127, 0, 0, 53], PORT));
        Server { address, ..one(answered, failed, closed, 0, CLEAN) }
    }

    /// Scenario: servers that answer, fail, are slow, silent, closed, far away, stubs of this host; the way to them or to the target is bad; one
    /// of two is silent.
    /// Guarantees: the name service is blamed where it fails and everything else is clean, and only there.
    #[test]
    fn whom() {
        let none = Pings { sent: 8, got: 0, took_us: 0 };
        let far = Pings { took_us: 280_000, ..CLEAN };
        let cases = [
            ("fine", vec![one(8, 0, 0, 900, CLEAN)], CLEAN, Verdict::Unknown),
            ("one lost", vec![one(7, 0, 0, 900, CLEAN)], CLEAN, Verdict::Unknown),
            ("silent", vec![one(0, 0, 0, 0, CLEAN)], CLEAN, Verdict::NameService),
            ("fails", vec![one(0, 8, 0, 0, CLEAN)], CLEAN, Verdict::NameService),
            ("slow", vec![one(8, 0, 0, 900_000, CLEAN)], CLEAN, Verdict::NameService),
            ("far", vec![one(8, 0, 0, 300_000, far)], CLEAN, Verdict::Unknown),
            ("closed", vec![one(0, 0, 8, 0, none)], CLEAN, Verdict::NameService),
            ("the way to it", vec![one(3, 0, 0, 900, BAD)], CLEAN, Verdict::Unknown),
            ("away", vec![one(0, 0, 0, 0, none)], CLEAN, Verdict::Unknown),
            ("the way to all", vec![one(0, 0, 0, 0, CLEAN)], BAD, Verdict::Unknown),
            (
                "one of two",
                vec![one(0, 0, 0, 0, CLEAN), one(8, 0, 0, 900, CLEAN)],
                CLEAN,
                Verdict::NameService,
            ),
            ("a stub hears nothing", vec![stub(0, 8, 0)], CLEAN, Verdict::Unknown),
            ("a stub is silent", vec![stub(0, 0, 0)], CLEAN, Verdict::Unknown),
            ("a stub is gone", vec![stub(0, 0, 8)], CLEAN, Verdict::NameService),
            ("nobody is asked", vec![], CLEAN, Verdict::Unknown),
        ];
        for (case, servers, target, verdict) in cases {
            let target = Some((IpAddr::from([10, 0, 0, 9]), target));
            let blame = judge(&Asked { name: "a.example".to_owned(), servers, target });
            assert_eq!(blame.verdict, verdict, "{case}: {blame:?}");
            assert!(!blame.evidence.is_empty(), "{case}");
            assert_eq!(blame.hop.is_some(), verdict == Verdict::NameService, "{case}");
        }
    }

    /// Scenario: a resolv.conf as resolvers write it, with more servers than they ask, and nonsense.
    /// Guarantees: the first three.
    #[test]
    fn configured() {
        let text = "# x\nsearch example\nnameserver 10.0.0.1\nnameserver\nnameserver nonsense\n nameserver fd00::1\n\
            nameserver 10.0.0.2 \nnameserver 10.0.0.3\noptions ndots:5\n";
        let found: Vec<String> = servers(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
    }
}
