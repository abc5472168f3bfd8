//! Who is to blame for trouble on a way: a pure judgement over what both ends saw. Where the evidence does not say, the
//! answer is "unknown".
//!
//! First the hosts, by what their own kernels and agents have counted; then the direction, by how many marked echoes came
//! to the other end; then the hops of that direction, by who lost or was slow from there on to the end. What a walk from
//! here shows alone is never blamed on a hop there: answers may come back another way.

mod begins;

use std::net::IpAddr;

use super::counters::{Counters, Drops};
use super::names::{self, Asked};
use super::usual;
use super::verdict::{Blame, Verdict};
use super::walk::Hop;
use crate::mesh::baseline::Change;
use begins::Begins;

/// Tasks that wait for a CPU for so much of the time answer late.
const STARVED_PERCENT: f64 = 60.0;
/// An agent that keeps a question for so long, microseconds, makes its asker believe that it is lost or slow.
const KEPT_US: u64 = 200_000;
/// Who does not run for so long takes answers for lost that are not: what it measures is no evidence.
const STALLED_US: u64 = 900_000;
/// Fewer of a hundred echoes may be lost by chance.
const LOST: u32 = 2;
/// A direction that loses so many times what the other does is the one.
const ONE_WAY: u32 = 4;
/// A change of a direction's delay that counts.
const SLOWER_NS: i64 = 500_000;

/// A direction, and the host at its end.
type Way = (&'static str, Verdict);
const THERE: Way = ("there", Verdict::ReceiverHost);
const BACK: Way = ("back", Verdict::SenderHost);

/// Echoes while the trouble lasted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Echoes {
    pub(super) asked: u32,
    pub(super) came: u32,
    /// Of those asked, what came to the other end, where it has counted them.
    pub(super) heard: Option<u32>,
    /// How much longer each direction takes than it used to, where that is known.
    pub(super) change: Option<Change>,
    /// The longest that the other end kept one before it answered, microseconds.
    pub(super) kept_us: u64,
    /// The longest that this end was behind its own schedule, microseconds.
    pub(super) late_us: u64,
    /// None came back, and the host there says that nobody listens.
    pub(super) closed: bool,
}

/// What was seen while the trouble lasted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) here: &'a Counters,
    /// Where the peer could be asked.
    pub(super) there: Option<&'a Counters>,
    pub(super) peer: IpAddr,
    /// The walk there and, from the other end, back.
    pub(super) forward: &'a [Hop],
    pub(super) backward: &'a [Hop],
    /// The walk there when all was well, and the best round trips of the hops back then, 0 where not known.
    pub(super) usual: &'a [Hop],
    pub(super) usual_back_us: &'a [u64],
    pub(super) echoes: Echoes,
    /// Names and those who were asked for them, where these are the trouble.
    pub(super) names: Option<&'a Asked>,
}

fn blame(verdict: Verdict, hop: Option<IpAddr>, evidence: impl IntoIterator<Item = String>) -> Blame {
    Blame { verdict, hop, evidence: evidence.into_iter().collect() }
}

fn unknown(evidence: impl IntoIterator<Item = String>) -> Blame {
    blame(Verdict::Unknown, None, evidence)
}

/// Judges.
pub(super) fn judge(seen: &Seen<'_>) -> Blame {
    if let Some(asked) = seen.names {
        return either(starved(seen.here), None).unwrap_or_else(|| names::judge(asked));
    }
    if seen.echoes.asked == 0 {
        return unknown(["nothing could be sent while it was looked at".to_owned()]);
    }
    let lost = seen.echoes.asked.saturating_sub(seen.echoes.came);
    if lost < LOST {
        return slow(seen);
    }
    let hosts = || either(drops(seen.here, lost), seen.there.map(|there| drops(there, lost)));
    let agents = || either(stalled(seen.echoes.late_us), Some(stalled(seen.echoes.kept_us)));
    if let Some(blame) = hosts().or_else(agents) {
        return blame;
    }
    if seen.echoes.came == 0 && seen.there.is_none() {
        return silent(seen);
    }
    lossy(seen, lost).unwrap_or_else(|evidence| {
        if seen.echoes.kept_us >= KEPT_US {
            return blame(Verdict::ReceiverHost, None, [kept(&seen.echoes)]);
        }
        // A host that is too busy answers late, but seldom nothing: the last to be thought of.
        either(starved(seen.here), seen.there.map(starved)).unwrap_or_else(|| unknown(evidence))
    })
}

/// Nothing comes back, and nobody there can be asked.
fn silent(seen: &Seen<'_>) -> Blame {
    if seen.echoes.closed {
        let evidence = "the peer's host answers, and says that no agent listens there";
        return blame(Verdict::ReceiverHost, None, [evidence.to_owned()]);
    }
    let Begins::At(place) = begins::loss(seen.forward, 1.0) else {
        let reached = seen.forward.last().is_some_and(|hop| hop.got > 0 && hop.address == Some(seen.peer));
        let pings = if reached { "probes come through to the end" } else { "no hop shows where it ends" };
        return unknown([format!("no echo comes back; {pings}")]);
    };
    let (from, after) = behind(seen.forward, place);
    let evidence = format!("nothing answers from hop {} on, behind {from}", place + 1);
    // Peers may answer no pings at any time, and their silence is no news.
    let used_to_be = seen.usual.get(place..).unwrap_or_default();
    match used_to_be.iter().rposition(|hop| hop.got > 0) {
        // When all was well, this was the target: it, or the link to it.
        Some(0) if used_to_be[0].address == Some(seen.peer) => blame(Verdict::ReceiverHost, None, [evidence]),
        Some(_) => blame(Verdict::Hop, seen.forward[place].address.or(after), [evidence]),
        None => unknown([evidence, "nobody is known to have answered there before".to_owned()]),
    }
}

/// Some is lost: the hop from which on, in the direction that loses; what there is to say where none can be named.
fn lossy(seen: &Seen<'_>, lost: u32) -> Result<Blame, Vec<String>> {
    let Echoes { asked, came, heard, .. } = seen.echoes;
    let share = |lost: u32, of: u32| f64::from(lost) / f64::from(of.max(1));
    let total = share(lost, asked);
    let Some(heard) = heard.filter(|heard| (came..=asked).contains(heard)) else {
        let evidence = format!("{lost} of {asked} are lost, and nobody tells in which direction");
        return match begins::loss(seen.forward, total) {
            // Several hops share it: not the way back of one of them.
            Begins::At(place) if place + 1 < seen.forward.len() => {
                Ok(at_hop(seen.forward, place, ("there or back", Verdict::ReceiverHost), vec![evidence]))
            }
            _ => Err(vec![evidence, "no hop before the end shows it".to_owned()]),
        };
    };
    let (there, back) = (asked - heard, heard - came);
    let evidence =
        vec![format!("{there} of {asked} echoes are lost on the way there, {back} on the way back")];
    let forward = there >= LOST && there.saturating_mul(ONE_WAY) > back;
    let backward = back >= LOST && back.saturating_mul(ONE_WAY) > there;
    // A hop behind the place loses what the direction does, and of its answers what comes back the same way.
    let (forward_share, backward_share) = match (forward, backward) {
        (true, true) => (total, total),
        _ => (share(there, asked), share(back, heard)),
    };
    if forward && let Begins::At(place) = begins::loss(seen.forward, forward_share) {
        return Ok(at_hop(seen.forward, place, THERE, evidence));
    }
    if backward && let Begins::At(place) = begins::loss(seen.backward, backward_share) {
        return Ok(at_hop(seen.backward, place, BACK, evidence));
    }
    Err([evidence, vec!["neither end nor any hop shows where".to_owned()]].concat())
}

/// Nothing is lost: which direction takes longer, and from which hop on.
fn slow(seen: &Seen<'_>) -> Blame {
    let late =
        || (seen.echoes.kept_us >= KEPT_US).then(|| blame(Verdict::ReceiverHost, None, [kept(&seen.echoes)]));
    let busy = || late().or_else(|| either(starved(seen.here), seen.there.map(starved)));
    let Some(Change { forward_ns, backward_ns }) = seen.echoes.change else {
        let nothing = || unknown(["next to nothing was lost while it was looked at".to_owned()]);
        return busy().unwrap_or_else(nothing);
    };
    let us = |ns: i64| ns as f64 / 1e3;
    let evidence = vec![format!(
        "the way there takes {:.0} us longer than it used to, the way back {:.0} us",
        us(forward_ns),
        us(backward_ns)
    )];
    let usual_us = usual::round_trips(seen.usual, seen.forward);
    let ways = [
        (forward_ns, seen.forward, &usual_us[..], THERE),
        (backward_ns, seen.backward, seen.usual_back_us, BACK),
    ];
    for (extra_ns, hops, usual_us, way) in ways {
        if extra_ns >= SLOWER_NS
            && let Begins::At(place) = begins::delay(hops, usual_us, us(extra_ns))
        {
            return at_hop(hops, place, way, evidence);
        }
    }
    if forward_ns.max(backward_ns) < SLOWER_NS {
        return late()
            .unwrap_or_else(|| unknown(evidence.into_iter().chain(["that is no delay".to_owned()])));
    }
    let why = || unknown(evidence.into_iter().chain(["no hop shows where that begins".to_owned()]));
    busy().unwrap_or_else(why)
}

/// Where it begins on a way. At its last place that is the host there, or the link to it; between two neighbours nothing
/// tells which of them.
fn at_hop(hops: &[Hop], place: usize, (way, host): Way, mut evidence: Vec<String>) -> Blame {
    let (from, after) = behind(hops, place);
    let hop = &hops[place];
    evidence.push(format!(
        "on the way {way} it begins at hop {}, behind {from}, and persists to the end ({} of {} answers, at best {} us)",
        place + 1,
        hop.got,
        hop.sent,
        hop.best_us
    ));
    match (place + 1 == hops.len(), hop.address) {
        (false, address) => blame(Verdict::Hop, address.or(after), evidence),
        // A router that answers there says that it goes no further.
        (true, Some(router)) if hop.got == 0 => blame(Verdict::Hop, Some(router), evidence),
        (true, Some(_)) if place > 0 => blame(host, None, evidence),
        (true, Some(_)) => unknown(
            evidence.into_iter().chain(["the two hosts are neighbours, and neither shows it".to_owned()]),
        ),
        (true, None) => unknown(evidence.into_iter().chain(["nobody answers there".to_owned()])),
    }
}

/// Whom a hop is behind, in words and as an address.
fn behind(hops: &[Hop], place: usize) -> (String, Option<IpAddr>) {
    let after = hops[..place].iter().rev().find_map(|hop| hop.address);
    (after.map_or_else(|| "the beginning".to_owned(), |address| address.to_string()), after)
}

/// One of the two hosts; where both have evidence against them, nobody can say which one it was.
fn either(here: Vec<String>, there: Option<Vec<String>>) -> Option<Blame> {
    let there = there.unwrap_or_default();
    let verdict = match (here.is_empty(), there.is_empty()) {
        (true, true) => return None,
        (false, true) => Verdict::SenderHost,
        (true, false) => Verdict::ReceiverHost,
        (false, false) => Verdict::Unknown,
    };
    Some(blame(verdict, None, here.into_iter().chain(there)))
}

/// What a host has dropped by its own counters, where that is more than usual by half of what was lost or more. The mesh's
/// own socket drops nothing when all is well.
fn drops(counters: &Counters, lost: u32) -> Vec<String> {
    let mut found = Vec::new();
    let Drops { nic_errors, nic_drops, softnet_drops, conntrack_drops } = counters.unusual;
    for (count, unusual, what) in [
        (counters.nic_errors, nic_errors, "errors of its interfaces"),
        (counters.nic_drops, nic_drops, "packets that its interfaces dropped"),
        (counters.softnet_drops, softnet_drops, "packets that its CPUs' receive queues had no room for"),
        (counters.conntrack_drops, conntrack_drops, "packets that its connection tracking dropped"),
        (
            counters.echo_overflows,
            counters.echo_overflows,
            "packets that the echo's own socket had no room for",
        ),
    ] {
        if unusual.saturating_mul(2) >= lost.into() {
            found.push(format!("{count} {what}, {unusual} more than usual"));
        }
    }
    found
}

fn starved(counters: &Counters) -> Vec<String> {
    let percent = counters.cpu_pressure;
    if percent >= STARVED_PERCENT {
        vec![format!("tasks waited for a CPU in {percent:.0} % of the time")]
    } else {
        Vec::new()
    }
}

fn stalled(us: u64) -> Vec<String> {
    if us < STALLED_US {
        return Vec::new();
    }
    vec![format!("the agent did not run for {} ms", us / 1000)]
}

fn kept(echoes: &Echoes) -> String {
    format!("the agent there kept a question for {} ms before it answered", echoes.kept_us / 1000)
}

#[cfg(test)]
mod tests;
