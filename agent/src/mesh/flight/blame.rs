//! Who is to blame for trouble on a way: a pure judgement over what both ends saw. Where the evidence does not say, the
//! answer is "unknown".

use std::net::IpAddr;

use serde::Serialize;

use super::counters::Counters;
use super::walk::Hop;

/// Tasks that wait for a CPU for so much of the time answer late.
const STARVED_PERCENT: f64 = 60.0;
/// Loss by chance of a hop that was asked a few times.
const BY_CHANCE: f64 = 0.25;

/// Whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    SenderHost,
    ReceiverHost,
    Hop,
    Unknown,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SenderHost => "sender_host",
            Self::ReceiverHost => "receiver_host",
            Self::Hop => "hop",
            Self::Unknown => "unknown",
        }
    }
}

/// Whom, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Blame {
    pub(super) verdict: Verdict,
    /// A hop's address.
    pub(super) hop: Option<IpAddr>,
    /// Sentences without a stop.
    pub(super) evidence: Vec<String>,
}

/// What was seen while the trouble lasted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) here: &'a Counters,
    /// Where the peer could be asked.
    pub(super) there: Option<&'a Counters>,
    pub(super) forward: &'a [Hop],
    pub(super) backward: &'a [Hop],
    /// Echoes in the meantime: asked, answered.
    pub(super) echoes: (u32, u32),
}

/// Judges.
pub(super) fn judge(seen: &Seen<'_>) -> Blame {
    let blame = |verdict, hop, evidence| Blame { verdict, hop, evidence };
    let lost = seen.echoes.0.saturating_sub(seen.echoes.1);
    if let Some(blame) = either(drops(seen.here, lost), seen.there.map(|there| drops(there, lost))) {
        return blame;
    }
    if lost == 0 {
        let none =
            || blame(Verdict::Unknown, None, vec!["no echo was lost while it was looked at".to_owned()]);
        return either(starved(seen.here), seen.there.map(starved)).unwrap_or_else(none);
    }
    // The last hop is the peer where it answers.
    let reached = seen.forward.last().is_some_and(|hop| hop.loss() <= BY_CHANCE);
    if seen.there.is_none() && seen.echoes.1 == 0 && reached {
        let evidence = vec!["probes come through to the peer, and its agent answers nothing".to_owned()];
        return blame(Verdict::ReceiverHost, None, evidence);
    }
    if let Some((place, hop)) = loses(seen.forward) {
        let after = seen.forward[..place].iter().rev().find_map(|hop| hop.address);
        let last = place + 1 >= seen.forward.len();
        let from = after.map_or_else(|| "this node".to_owned(), |address| address.to_string());
        let percent = hop.loss() * 100.0;
        let evidence =
            vec![format!("{percent:.0} % of the probes are lost from hop {} on, behind {from}", place + 1)];
        // All hops before the peer answer, and the peer does not: the last link or the peer itself.
        return match (last, after) {
            (true, _) if hop.got == 0 => blame(Verdict::ReceiverHost, None, evidence),
            _ => blame(Verdict::Hop, hop.address.or(after), evidence),
        };
    }
    if let Some((place, hop)) = loses(seen.backward) {
        let percent = hop.loss() * 100.0;
        let evidence = vec![format!(
            "{percent:.0} % of the peer's probes towards us are lost from its hop {} on",
            place + 1
        )];
        return blame(Verdict::Hop, hop.address, evidence);
    }
    // A host that is too busy answers late, but seldom nothing: the last to be thought of.
    either(starved(seen.here), seen.there.map(starved)).unwrap_or_else(|| {
        blame(Verdict::Unknown, None, vec!["neither end nor any hop shows the loss".to_owned()])
    })
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
    Some(Blame { verdict, hop: None, evidence: [here, there].concat() })
}

/// What a host has dropped by its own counters.
fn drops(counters: &Counters, lost: u32) -> Vec<String> {
    let mut found = Vec::new();
    let least = u64::from(lost).max(2) / 2;
    for (count, what) in [
        (counters.nic_errors, "errors of its interfaces"),
        (counters.nic_drops, "packets that its interfaces dropped"),
        (counters.softnet_drops, "packets that its CPUs' receive queues had no room for"),
        (counters.conntrack_drops, "packets that its connection tracking dropped"),
    ] {
        if count >= least {
            found.push(format!("{count} {what}"));
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

/// The hop from which on loss persists to the end; a router that answers little and forwards all is none.
fn loses(hops: &[Hop]) -> Option<(usize, &Hop)> {
    let persists = |nth: usize| hops[nth..].iter().all(|hop| hop.loss() > BY_CHANCE);
    (0..hops.len()).find(|nth| persists(*nth)).map(|nth| (nth, &hops[nth]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Counters = Counters {
        nic_errors: 0,
        nic_drops: 0,
        softnet_drops: 0,
        conntrack_drops: 0,
        udp_overflows: 0,
        tcp_again: 0,
        cpu_pressure: 0.0,
    };

    /// Hops by (last part of the address or 0 for none, answers of five).
    fn hops(of: &[(u8, u32)]) -> Vec<Hop> {
        let hop = |&(last, got): &(u8, u32)| Hop {
            address: (last != 0).then(|| IpAddr::from([10, 0, 0, last])),
            sent: 5,
            got,
            best_us: 100,
        };
        of.iter().map(hop).collect()
    }

    fn verdict(
        here: Counters,
        there: Option<Counters>,
        forward: &[(u8, u32)],
        backward: &[(u8, u32)],
        lost: u32,
    ) -> (Verdict, Option<u8>) {
        let (forward, backward) = (hops(forward), hops(backward));
        let seen = Seen {
            here: &here,
            there: there.as_ref(),
            forward: &forward,
            backward: &backward,
            echoes: (100, 100 - lost),
        };
        let blame = judge(&seen);
        assert!(!blame.evidence.is_empty(), "a verdict has its evidence");
        let last = |address| match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        };
        (blame.verdict, blame.hop.map(last))
    }

    /// Scenario: trouble at either end, at both, on a link, behind a router that answers little, at the peer, on the way
    /// back, none at all.
    /// Guarantees: each is blamed where the evidence says so, with it; else the answer is unknown.
    #[test]
    fn whom() {
        let drops = Counters { softnet_drops: 60, ..FINE };
        let busy = Counters { cpu_pressure: 80.0, ..FINE };
        let clean = [(1, 5), (2, 5), (9, 5)];
        let cases: [(_, Verdict, Option<u8>); 13] = [
            (verdict(drops, Some(FINE), &clean, &clean, 30), Verdict::SenderHost, None),
            (verdict(FINE, Some(busy), &clean, &clean, 30), Verdict::ReceiverHost, None),
            (verdict(drops, Some(drops), &clean, &clean, 30), Verdict::Unknown, None),
            (verdict(drops, Some(busy), &clean, &clean, 30), Verdict::SenderHost, None),
            (verdict(busy, None, &clean, &[], 100), Verdict::ReceiverHost, None),
            (verdict(FINE, Some(FINE), &[(1, 5), (2, 2), (9, 3)], &clean, 40), Verdict::Hop, Some(2)),
            // A router that limits its answers, all of them forwarded.
            (verdict(FINE, Some(FINE), &[(1, 1), (2, 5), (9, 5)], &clean, 40), Verdict::Unknown, None),
            // Nothing beyond the second hop.
            (verdict(FINE, None, &[(1, 5), (2, 5), (0, 0), (0, 0)], &[], 100), Verdict::Hop, Some(2)),
            (verdict(FINE, None, &[(1, 5), (2, 5), (0, 0)], &[], 100), Verdict::ReceiverHost, None),
            (verdict(FINE, None, &clean, &[], 100), Verdict::ReceiverHost, None),
            (verdict(FINE, Some(FINE), &clean, &[(7, 5), (1, 2), (8, 2)], 40), Verdict::Hop, Some(1)),
            (verdict(FINE, Some(FINE), &clean, &clean, 0), Verdict::Unknown, None),
            (verdict(FINE, Some(FINE), &[], &[], 40), Verdict::Unknown, None),
        ];
        for (nth, (found, verdict, hop)) in cases.into_iter().enumerate() {
            assert_eq!(found, (verdict, hop), "case {nth}");
        }
    }
}
