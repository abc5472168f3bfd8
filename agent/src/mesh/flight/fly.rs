//! One recording: all that can be seen of a trouble is looked at at once, and judged.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ao_common::clock;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::background::Reading;
use super::blame::{self, Echoes, Seen};
use super::bundle::Record;
use super::course::Course;
use super::look::{self, LOOK, Look, OtherEnd, Stage};
use super::names;
use super::subject::{Base, Evidence, Flight, Flown, Peered};
use crate::mesh::baseline::Passage;
use crate::mesh::flows::Answer;
use crate::mesh::packet;
use crate::net::{Datagram, Outcome, Probe, Prober, Way};

/// Echoes, five times as fast as usual; but no faster than the other end answers beside all else (echo.rs, `RATE`), and no
/// slower than a walk takes.
const ECHOES: u32 = 100;
const FASTER: u32 = 5;
const EVERY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];
/// An answer that takes longer is a loss; the way round the world and through a satellite or two takes less.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the other end is asked for what it has: half of all packets may be lost.
const ASK: u32 = 12;
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Looks for as long as a hundred echoes or a walk take.
///
/// # Errors
/// Where no socket can be had, and where the agent ends.
pub(super) async fn fly(base: Base, mut flight: Flight) -> io::Result<Flown> {
    let incident: u128 = rand::random::<u128>().max(1);
    let began_ns = clock::now_ns();
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let towards = flight.question.as_ref().and_then(|question| Some(question.server?.ip()));
    let towards = towards.or(flight.address).unwrap_or(any);
    let port = flight.peered.as_ref().map_or(0, |peered| peered.socket.local().port());
    let before = read(&base, port, towards).await?;
    let seen = match (&flight.question, &mut flight.peered, flight.address) {
        (Some(question), ..) => {
            let names = Some(names::ask(&base.prober, question).await);
            Evidence { names, ..Evidence::default() }
        }
        (None, Some(peered), _) => from_both_ends(&base, peered, incident).await?,
        (None, None, Some(address)) => from_here(&base, address).await,
        (None, None, None) => Evidence::default(),
    };
    let here = read(&base, port, towards).await?.since(&before);
    let blame = blame::judge(&Seen {
        here: &here,
        there: seen.there.counters.as_ref(),
        peer: towards,
        forward: &seen.forward,
        backward: &seen.there.hops,
        usual: &base.usual.hops(towards),
        usual_back_us: &seen.there.usual_us,
        echoes: seen.echoes,
        names: seen.names.as_ref(),
    });
    let times_ns = (began_ns, clock::now_ns());
    let record = Record {
        node: &base.node,
        flight: &flight,
        incident,
        times_ns,
        here: &here,
        seen: &seen,
        blame: &blame,
    };
    let turned_bad = seen.course.turns_bad();
    Ok(Flown { verdict: blame.verdict.name(), events: record.events(), turned_bad })
}

/// Both directions are walked and both ends read at once, while echoes go along the cell's own flow.
async fn from_both_ends(base: &Base, peered: &mut Peered, incident: u128) -> io::Result<Evidence> {
    let to = peered.peer.address;
    let any: IpAddr = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let own = base.own.filter(|own| own.is_ipv6() == to.is_ipv6()).unwrap_or(any);
    let socket = Datagram::bind(SocketAddr::new(own, 0))?;
    let walk = base.walks.begin(&base.prober, base.own, to.ip());
    let (_begun, forward, (mut echoes, course)) = tokio::join!(
        ask(&socket, to, incident, Stage::Begin),
        walk.end(),
        echo(peered, every(base.interval), look::mark(incident)),
    );
    let there = ask(&socket, to, incident, Stage::End).await.unwrap_or_default();
    echoes.heard = there.heard;
    echoes.closed = echoes.came == 0 && is_closed(&base.prober, to).await;
    Ok(Evidence { forward, echoes, course, there, names: None })
}

/// The time between two, where so much lies between the usual ones.
fn every(interval: Duration) -> Duration {
    let [least, most] = EVERY;
    (interval / FASTER).clamp(least, most)
}

/// Nobody looks from the other end.
async fn from_here(base: &Base, address: IpAddr) -> Evidence {
    let walk = base.walks.begin(&base.prober, None, address);
    let ((pings, course), forward) = tokio::join!(
        names::ping(&base.prober, address, ECHOES, (every(base.interval), PATIENCE)),
        walk.end(),
    );
    let echoes = Echoes { asked: pings.sent, came: pings.got, ..Echoes::default() };
    Evidence { forward, echoes, course, ..Evidence::default() }
}

/// Whether the host itself says that nobody listens there: a firewall on the way may refuse, too, and the errors of sockets do
/// not say who did. Where the prober is not raw, nobody can tell.
async fn is_closed(prober: &Prober, to: SocketAddr) -> bool {
    let mut client = prober.client(1);
    let way = Way::Udp { flow: 0, port: to.port() };
    for _ in 0..ASK {
        if client.send(Probe { way, timeout: ASK_AGAIN, ..Probe::to(to.ip()) }).await.is_err() {
            return false;
        }
        match client.recv().await.map(|report| report.outcome) {
            Some(Outcome::Reply { .. }) => return true,
            Some(Outcome::Timeout | Outcome::Duplicate) => {}
            Some(_) | None => return false,
        }
    }
    false
}

async fn read(base: &Base, port: u16, towards: IpAddr) -> io::Result<Reading> {
    let (proc, background) = (base.node.roots.proc.clone(), base.usual.background().clone());
    // It fails only where the runtime ends.
    Ok(tokio::task::spawn_blocking(move || Reading::read(&background, &proc, port, towards)).await?)
}

/// Asks the other end, until it answers.
async fn ask(socket: &Datagram, to: SocketAddr, incident: u128, stage: Stage) -> Option<OtherEnd> {
    let token = rand::random();
    let question = Look { token, incident, stage }.write();
    let mut buffer = [0; LOOK];
    for _ in 0..ASK {
        let _lost = socket.send(to, &question);
        let answer = timeout(ASK_AGAIN, async {
            loop {
                let Ok(arrival) = socket.receive(&mut buffer).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                match OtherEnd::read(&buffer[..arrival.len]) {
                    Some((of, told)) if of == token => return told,
                    // A late one.
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

/// Asked and answered, on the flow of the cell's echoes; also, what became of each.
async fn echo(peered: &mut Peered, every: Duration, mark: u8) -> (Echoes, Course) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting: HashMap<u64, (usize, i64)> = HashMap::new();
    let (mut echoes, mut course) = (Echoes::default(), Course::default());
    let (mut forward_ns, mut backward_ns) = (i64::MAX, i64::MAX);
    let mut question = Vec::new();
    let mut end = None;
    loop {
        tokio::select! {
            due = ticks.tick(), if end.is_none() => {
                let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                echoes.late_us = echoes.late_us.max(late);
                let token: u64 = rand::random();
                packet::question(token, mark, packet::LEN, &mut question);
                waiting.insert(token, (course.sent(), clock::boot_ns()));
                // What does not leave is lost, too.
                let _lost = peered.socket.send(peered.peer.address, &question);
                echoes.asked += 1;
                if echoes.asked == ECHOES {
                    end = Some(Instant::now() + PATIENCE);
                }
            }
            Some(Answer { token, times, came_ns }) = peered.answers.recv() => {
                let Some((number, sent_ns)) = waiting.remove(&token) else { continue };
                course.came(number);
                echoes.came += 1;
                forward_ns = forward_ns.min(times.received_ns.saturating_sub(sent_ns));
                backward_ns = backward_ns.min(came_ns.saturating_sub(times.answered_ns));
                let kept = times.answered_ns.saturating_sub(times.received_ns) / 1000;
                echoes.kept_us = echoes.kept_us.max(u64::try_from(kept).unwrap_or(0));
            }
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => break,
        }
    }
    if echoes.came > 0 {
        let (span, to_ns) = ((every * ECHOES).as_nanos() as i64, clock::boot_ns());
        let passage = Passage::between(to_ns - span, to_ns, forward_ns, backward_ns);
        echoes.change = peered.baseline.compare(passage);
    }
    (echoes, course)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::{self, Mode};

    /// Scenario: a port of this host that nobody listens at, where raw sockets are allowed.
    /// Guarantees: it is found closed.
    #[tokio::test]
    async fn nobody_listens() {
        let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
        let gone = Datagram::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap().local();
        assert_eq!(is_closed(&prober, gone).await, prober.mode() == Mode::Raw);
    }

    /// Scenario: intervals from a hundredth of a second to a minute.
    /// Guarantees: five times as fast, between what the other end answers and what a walk takes.
    #[test]
    fn how_fast() {
        for (usual, right) in [(10, 20), (100, 20), (200, 40), (1000, 200), (60_000, 200)] {
            assert_eq!(every(Duration::from_millis(usual)), Duration::from_millis(right), "{usual}");
        }
    }
}
