//! The flight recorder: when a way gets worse, both of its ends are looked at at once, and what was seen is one trace, one
//! event and a judgement.
//!
//! | file | room |
//! |---|---|
//! | `counters.rs` | what the kernel counted at this end |
//! | `look.rs` | the same, and the path back, from the other end |
//! | `walk.rs` | a quick walk to the peer |
//! | `blame.rs` | who it was, by the evidence (no I/O) |
//! | `bundle.rs` | all of it as a trace and an event |

mod counters;
mod walk;

mod look;

mod blame;

mod bundle;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub(super) use look::{LOOK, Look, Looks, OtherEnd};

use super::cell::{Peer, Trouble};
use super::packet::{self, Packet};
use crate::context::Node;
use crate::event::Event;
use crate::net::{Datagram, Prober};
use blame::Seen;
use bundle::Record;
use counters::Counters;
use look::{ROUNDS, Stage};
use walk::walk;

/// Echoes, five times as fast as usual.
const ECHOES: u32 = 100;
const FASTER: u32 = 5;
/// An answer that takes longer is a loss.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the other end is asked for what it has.
const ASK: u32 = 3;

/// What a flight gives.
pub(super) struct Flown {
    pub(super) verdict: &'static str,
    pub(super) events: [Event; 2],
}

/// Looks at a way for as long as a hundred echoes take; `usual` is the time between two when nothing is wrong, `own` the
/// address from which the peer expects us.
///
/// # Errors
/// Where no socket can be had.
pub(super) async fn fly(
    node: Arc<Node>,
    prober: Arc<Prober>,
    own: Option<IpAddr>,
    peer: Peer,
    trouble: Trouble,
    usual: Duration,
) -> std::io::Result<Flown> {
    let any: IpAddr =
        if peer.ip().is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let own = own.filter(|own| own.is_ipv6() == peer.ip().is_ipv6()).unwrap_or(any);
    let socket = Datagram::bind(SocketAddr::new(own, 0))?;
    let incident: u128 = rand::random();
    let began_ns = clock::now_ns();
    let before = read(&node).await;
    ask(&socket, &peer, incident, Stage::Begin).await;
    let (forward, echoes) =
        tokio::join!(walk(&prober, peer.ip(), ROUNDS), echo(&socket, peer.address, usual / FASTER));
    let there = ask(&socket, &peer, incident, Stage::End).await.unwrap_or_default();
    let here = read(&node).await.since(&before);
    let seen = Seen {
        here: &here,
        there: there.counters.as_ref(),
        forward: &forward,
        backward: &there.hops,
        echoes,
    };
    let blame = blame::judge(&seen);
    let record = Record {
        node: &node,
        peer: &peer,
        trouble,
        incident,
        times_ns: (began_ns, clock::now_ns()),
        here: &here,
        there: seen.there,
        forward: &forward,
        backward: &there.hops,
        echoes,
        blame: &blame,
    };
    Ok(Flown { verdict: blame.verdict.name(), events: record.events() })
}

async fn read(node: &Node) -> Counters {
    let proc = node.roots.proc.clone();
    // It fails only where the runtime ends.
    tokio::task::spawn_blocking(move || Counters::read(&proc)).await.unwrap_or_default()
}

/// Asks the other end, until it answers.
async fn ask(socket: &Datagram, peer: &Peer, incident: u128, stage: Stage) -> Option<OtherEnd> {
    let token = rand::random();
    let question = Look { token, incident, stage }.write();
    let mut buffer = [0; LOOK];
    for _ in 0..ASK {
        let _lost = socket.send(peer.address, &question);
        let answer = timeout(PATIENCE, async {
            loop {
                let Ok(arrival) = socket.receive(&mut buffer).await else { continue };
                match OtherEnd::read(&buffer[..arrival.len]) {
                    Some((of, told)) if of == token => return told,
                    // A late echo.
                    _ => {}
                }
            }
        });
        if let Ok(told) = answer.await {
            return Some(told);
        }
    }
    None
}

/// Asked and answered.
async fn echo(socket: &Datagram, to: SocketAddr, every: Duration) -> (u32, u32) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = HashSet::new();
    let (mut asked, mut came) = (0, 0);
    let (mut question, mut buffer) = (Vec::new(), [0; packet::LEN]);
    let mut end = None;
    loop {
        tokio::select! {
            _ = ticks.tick(), if end.is_none() => {
                let token: u64 = rand::random();
                packet::question(token, packet::LEN, &mut question);
                // What does not leave is lost, too.
                let _lost = socket.send(to, &question);
                waiting.insert(token);
                asked += 1;
                if asked == ECHOES {
                    end = Some(Instant::now() + PATIENCE);
                }
            }
            Ok(arrival) = socket.receive(&mut buffer) => {
                if let Some(Packet::Answer { token, .. }) = packet::read(&buffer[..arrival.len]) {
                    came += u32::from(waiting.remove(&token));
                }
            }
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => return (asked, came),
        }
    }
}
