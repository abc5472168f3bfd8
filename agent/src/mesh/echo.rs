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
        if directives.has_changed().unwrap_or(false) || askers.0.is_empty() {
            askers.become_those_of(&directives.borrow_and_update());
        }
        // What a socket refuses to give shows as loss at the other end, and is no reason to stop.
        let Ok(arrival) = socket.receive(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let now_ns = clock::boot_ns();
        if !askers.may_ask(arrival.from.ip(), Instant::now()) {
            continue;
        }
        if let Some(look) = Look::read(&buffer[..arrival.len]) {
            while answering.try_join_next().is_some() {}
            if answering.len() < LOOKS {
                let own = flows::own(&directives.borrow().address);
                answering.spawn(looks.clone().answer(Arc::clone(&socket), look, arrival.from, own));
            }
            continue;
        }
        let Some(Packet::Question { token, mark }) = packet::read(&buffer[..arrival.len]) else { continue };
        looks.heard(arrival.from.ip(), mark);
        let anchor_ns = clock::system_anchor_ns();
        let received_ns = now_ns - arrival.waited_ns;
        let times = Times { received_ns, answered_ns: clock::boot_ns(), anchor_ns };
        // A full send buffer is loss like any other.
        let _lost = socket.send(arrival.from, &packet::answer(token, times));
    }
}

/// Who may ask, and how often each has in the current second.
#[derive(Debug, Default)]
struct Askers(HashMap<IpAddr, (Option<Instant>, u32)>);

impl Askers {
    fn become_those_of(&mut self, directives: &Directives) {
        let mut before = std::mem::take(&mut self.0);
        let addresses = directives.askers.iter().filter_map(|address| address.parse().ok());
        self.0 = addresses.map(|ip: IpAddr| (ip, before.remove(&ip).unwrap_or_default())).collect();
    }

    fn may_ask(&mut self, from: IpAddr, now: Instant) -> bool {
        let Some((since, asked)) = self.0.get_mut(&from) else { return false };
        if since.is_none_or(|since| now.duration_since(since).as_secs() >= 1) {
            (*since, *asked) = (Some(now), 0);
        }
        *asked += 1;
        *asked <= RATE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::{self, Prober};

    /// Scenario: an asker, a stranger, an asker that floods; the list changes.
    /// Guarantees: askers alone are answered, each within its rate.
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
        assert!(!askers.may_ask(stranger, now));
        assert_eq!((0..2 * RATE).filter(|_| askers.may_ask(known, now)).count(), RATE as usize);
        assert!(askers.may_ask(known, now + Duration::from_secs(1)));
        askers.become_those_of(&told(&[]));
        assert!(!askers.may_ask(known, now + Duration::from_secs(2)));
    }

    /// Scenario: a question over loopback, a piece of nonsense before it.
    /// Guarantees: an answer with this machine's times, in their order.
    #[tokio::test]
    async fn an_answer() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (socket, asker) = (Datagram::bind(here).unwrap(), Datagram::bind(here).unwrap());
        let to = socket.local();
        let told = Directives { askers: vec!["127.0.0.1".to_owned()], ..Directives::default() };
        let (_sender, directives) = watch::channel(Arc::new(told));
        let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
        let looks = Looks::new(prober, "/proc".into(), to.port(), Default::default());
        let answering = tokio::spawn(answer(socket, directives, looks));
        let before = clock::boot_ns();
        let mut asked = Vec::new();
        packet::question(7, 0, 300, &mut asked);
        asker.send(to, b"nonsense").unwrap();
        asker.send(to, &asked).unwrap();
        let mut buffer = [0; 400];
        let arrival = asker.receive(&mut buffer).await.unwrap();
        let Some(Packet::Answer { token: 7, times }) = packet::read(&buffer[..arrival.len]) else {
            panic!("no answer: {:?}", &buffer[..arrival.len]);
        };
        assert!(before <= times.received_ns && times.received_ns <= times.answered_ns);
        assert!(times.answered_ns <= clock::boot_ns());
        answering.abort();
    }
}
