//! Answers the questions of those that measure this node, and of nobody else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ao_common::clock;
use ao_proto::v1::Directives;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::flight::{LOOK, Look, Looks};
use super::flows;
use super::packet::{self, Packet, Times};
use crate::net::Datagram;

/// Questions of one asker that are answered in a second: a sweep, a search and an echo take a few.
const RATE: u32 = 200;

/// Looks of one asker in a second, which cost much more: a recording takes two.
const LOOK_RATE: u32 = 4;
/// Looks that are being answered at a time.
const LOOKS: usize = 8;

/// Opens the echo's socket on all addresses.
pub(super) fn open(port: u16) -> std::io::Result<Datagram> {
    let v6 = Datagram::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    v6.or_else(|_| Datagram::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
}

/// Answers until it is dropped.
pub(super) async fn answer(socket: Datagram, mut directives: watch::Receiver<Arc<Directives>>, looks: Looks) {
    let socket = Arc::new(socket);
    let mut askers = Askers::default();
    let mut buffer = [0; LOOK];
    // They end with this.
    let mut answering = JoinSet::new();
    loop {
        // What a socket refuses to give shows as loss at the other end, and is no reason to stop.
        let Ok(arrival) = socket.receive(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let now_ns = clock::boot_ns();
        if directives.has_changed().unwrap_or(false) || askers.0.is_empty() {
            askers.become_those_of(&directives.borrow_and_update());
        }
        let look = Look::read(&buffer[..arrival.len]);
        let kind = if look.is_some() { Kind::Look } else { Kind::Echo };
        if !askers.may_ask(arrival.from.ip(), kind, Instant::now()) {
            continue;
        }
        if let Some(look) = look {
            while answering.try_join_next().is_some() {}
            if answering.len() < LOOKS {
                let own = flows::own(&directives.borrow().address);
                answering.spawn(looks.clone().answer(Arc::clone(&socket), look, arrival, own));
            }
            continue;
        }
        let Some(Packet::Question { token, mark }) = packet::read(&buffer[..arrival.len]) else { continue };
        looks.heard(arrival.from.ip(), mark);
        let anchor_ns = clock::system_anchor_ns();
        let received_ns = now_ns - arrival.waited_ns;
        let times = Times { received_ns, answered_ns: clock::boot_ns(), anchor_ns };
        // A full send buffer is loss like any other.
        let _lost = socket.reply(&arrival, &packet::answer(token, times));
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Echo,
    Look,
}

/// How often somebody has asked in the current second: an address can be forged, and must not cost more than that.
#[derive(Debug, Default)]
struct Asked {
    since: Option<Instant>,
    echoes: u32,
    looks: u32,
}

/// Who may ask.
#[derive(Debug, Default)]
struct Askers(HashMap<IpAddr, Asked>);

impl Askers {
    fn become_those_of(&mut self, directives: &Directives) {
        let mut before = std::mem::take(&mut self.0);
        let addresses = directives.askers.iter().filter_map(|address| address.parse().ok());
        self.0 = addresses.map(|ip: IpAddr| (ip, before.remove(&ip).unwrap_or_default())).collect();
    }

    fn may_ask(&mut self, from: IpAddr, kind: Kind, now: Instant) -> bool {
        let Some(asked) = self.0.get_mut(&from) else { return false };
        if asked.since.is_none_or(|since| now.duration_since(since).as_secs() >= 1) {
            *asked = Asked { since: Some(now), ..Asked::default() };
        }
        let (count, most) = match kind {
            Kind::Echo => (&mut asked.echoes, RATE),
            Kind::Look => (&mut asked.looks, LOOK_RATE),
        };
        *count = count.saturating_add(1);
        *count <= most
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::{self, Prober};

    /// Scenario: an asker, a stranger, an asker that floods with questions of either kind; the list changes.
    /// Guarantees: askers alone are answered, each within its rates, of which none takes from the other.
    #[test]
    fn who_may_ask() {
        let [known, stranger] = [1, 9].map(|last| IpAddr::from([10, 0, 0, last]));
        let mut askers = Askers::default();
        let told = |addresses: &[&str]| Directives {
            askers: addresses.iter().map(|a| (*a).to_owned()).collect(),
            ..Directives::default()
        };
        askers.become_those_of(&told(&["10.0.0.1", "nonsense"]));
        let now = Instant::now();
        for (kind, rate) in [(Kind::Look, LOOK_RATE), (Kind::Echo, RATE)] {
            assert!(!askers.may_ask(stranger, kind, now));
            assert_eq!((0..2 * RATE).filter(|_| askers.may_ask(known, kind, now)).count(), rate as usize);
        }
        assert!(askers.may_ask(known, Kind::Echo, now + Duration::from_secs(1)));
        assert!(askers.may_ask(known, Kind::Look, now + Duration::from_secs(1)));
        askers.become_those_of(&told(&[]));
        assert!(!askers.may_ask(known, Kind::Echo, now + Duration::from_secs(2)));
    }

    /// Scenario: a question over loopback from somebody who has just been named as asker, a piece of nonsense behind it.
    /// Guarantees: an answer to that one, with this machine's times, in their order.
    #[tokio::test]
    async fn an_answer() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (socket, asker) = (Datagram::bind(here).unwrap(), Datagram::bind(here).unwrap());
        let to = socket.local();
        let told = |asker: &str| Directives { askers: vec![asker.to_owned()], ..Directives::default() };
        let (sender, directives) = watch::channel(Arc::new(told("127.0.0.9")));
        let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
        let looks = Looks::new(prober, "/proc".into(), to.port(), Default::default());
        let answering = tokio::spawn(answer(socket, directives, looks));
        // It waits for a packet now.
        tokio::task::yield_now().await;
        sender.send_replace(Arc::new(told("127.0.0.1")));
        let before = clock::boot_ns();
        let mut asked = Vec::new();
        packet::question(7, 0, 300, &mut asked);
        asker.send(to, &asked).unwrap();
        asker.send(to, b"nonsense").unwrap();
        let mut buffer = [0; 400];
        let coming = tokio::time::timeout(Duration::from_secs(10), asker.receive(&mut buffer));
        let arrival = coming.await.expect("an answer").unwrap();
        let Some(Packet::Answer { token: 7, times }) = packet::read(&buffer[..arrival.len]) else {
            panic!("no answer: {:?}", &buffer[..arrival.len]);
        };
        assert!(before <= times.received_ns && times.received_ns <= times.answered_ns);
        assert!(times.answered_ns <= clock::boot_ns());
        answering.abort();
    }
}
