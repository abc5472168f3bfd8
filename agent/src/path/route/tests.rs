//! Accepted paths and changes, round by round, without a network.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// Hops as letters, `?` unknown; an upper-case one is the target.
fn sight(flow: u8, text: &str) -> Sight {
    let hops = text.bytes().map(|b| match b {
        b'?' => BTreeSet::new(),
        b => BTreeSet::from([IpAddr::from([10, 0, 0, b])]),
    });
    let length = text.bytes().position(|b| b.is_ascii_uppercase()).map(|at| at + 1);
    Sight { flow, hops: hops.collect(), length, ..Sight::default() }
}

fn text(hops: &[Option<IpAddr>]) -> String {
    let letter = |hop: &Option<IpAddr>| match hop {
        Some(IpAddr::V4(v4)) => char::from(v4.octets()[3]),
        _ => '?',
    };
    hops.iter().map(letter).collect()
}

/// Sets as `2:bc>b`.
fn sets(change: &Change) -> String {
    let letters = |set: &BTreeSet<IpAddr>| text(&set.iter().copied().map(Some).collect::<Vec<_>>());
    let each = change
        .sets
        .iter()
        .map(|(ttl, before, after)| format!("{ttl}:{}>{}", letters(before), letters(after)));
    each.collect::<Vec<_>>().join(" ")
}

/// A network that gives each flow's path as text, by round.
type Network<'a> = &'a mut dyn FnMut(u32, u8) -> String;

/// Runs rounds as a trace does: flow 0 each time, all flows every `every` rounds and when something is suspected. Gives
/// the changes as "round kind sets".
fn run(route: &mut Route, network: Network<'_>, rounds: std::ops::Range<u32>, every: u32) -> Vec<String> {
    let mut changes = Vec::new();
    for round in rounds {
        let mut sights = vec![sight(0, &network(round, 0))];
        if route.suspects(&sights[0]) || round % every == 0 {
            let flows = route.flows(8);
            sights.extend(flows.into_iter().map(|flow| sight(flow, &network(round, flow))));
        }
        if let Some(change) = route.take(&sights, 3) {
            changes.push(format!("{round} {} {}", change.kind, sets(&change)));
        }
    }
    changes
}

/// Scenario: rounds of one flow: steady, silent hops, a short flap, a real change, a longer and a shorter path.
/// Guarantees: a change only when the same known hop differs in three rounds in a row.
#[test]
fn one_flow() {
    let none: &[&str] = &[];
    let cases: [(&[&str], &[&str], &str); 8] = [
        (&["abT", "abT", "abT", "abT"], none, "abT"),
        (&["abT", "a?T", "???", "a", "abT"], none, "abT"),
        (&["a?T", "a?T", "abT", "abT"], none, "abT"),
        (&["abT", "acT", "acT", "abT", "acT", "acT"], none, "abT"),
        (&["abT", "acT", "a?T", "acT", "acT", "acT"], &["4 route abT acT 2:b>c"], "acT"),
        (&["abT", "abcT", "abcT", "abcT"], &["3 length abT abcT 3:T>c 4:>T"], "abcT"),
        (&["abT", "aT", "aT", "aT", "aT"], &["3 length abT aT 2:b>T 3:T>"], "aT"),
        (
            &["abT", "acT", "acT", "acT", "abT", "abT", "abT"],
            &["3 route abT acT 2:b>c", "6 route acT abT 2:c>b"],
            "abT",
        ),
    ];
    for (rounds, changes, end) in cases {
        let mut route = Route::default();
        let mut found = Vec::new();
        for (n, round) in rounds.iter().enumerate() {
            if let Some(change) = route.take(&[sight(0, round)], 3) {
                let (before, after) = (text(&change.before), text(&change.after));
                found.push(format!("{n} {} {before} {after} {}", change.kind, sets(&change)));
            }
        }
        assert_eq!(found, changes, "{rounds:?}");
        let path: Vec<_> = route.sets().map(|set| set.first().copied()).collect();
        assert!(text(&path) == end || rounds.len() == 6, "{rounds:?} {}", text(&path));
    }
}

/// Scenario: a hop at which two routers answer one flow in turn, one of them the known one.
/// Guarantees: no change.
#[test]
fn several_answer() {
    let mut route = Route::default();
    route.take(&[sight(0, "aT")], 3);
    let mut both = sight(0, "bT");
    both.hops[0].insert(IpAddr::from([10, 0, 0, b'a']));
    for _ in 0..5 {
        assert_eq!(route.take(&[both.clone()], 3), None);
    }
}

/// Scenario: flows are spread over 2, 3, 4 and 8 routers, by a hash that is drawn again each round, each 50 rounds, or
/// never; also over branches of different lengths; 1,000 rounds each, with several seeds.
/// Guarantees: not one change of path.
#[test]
fn rotation_is_no_change() {
    for members in [2_usize, 3, 4, 8] {
        for period in [1, 50, u32::MAX] {
            for (seed, uneven) in [(1_u64, false), (2, false), (3, true), (4, true), (5, false)] {
                let mut network = |round: u32, flow: u8| {
                    let epoch = u64::from(round / period);
                    let mut random = StdRng::seed_from_u64(seed << 40 | epoch << 8 | u64::from(flow));
                    let member = random.random_range(0..members);
                    let letter = char::from(b'b' + member as u8);
                    if uneven && member == 0 { format!("a{letter}zT") } else { format!("a{letter}T") }
                };
                let found = run(&mut Route::default(), &mut network, 0..1000, 15);
                assert!(found.is_empty(), "{members} members, period {period}, seed {seed}: {found:?}");
            }
        }
    }
}

/// Scenario: every packet goes another way.
/// Guarantees: not one change of path in 1,000 rounds.
#[test]
fn packets_rotate() {
    let mut random = StdRng::seed_from_u64(9);
    let mut network = |_: u32, _: u8| format!("a{}T", char::from(b'b' + random.random_range(0..3_u8)));
    assert_eq!(run(&mut Route::default(), &mut network, 0..1000, 15), [""; 0]);
}

/// Scenario: after 30 rounds, at which flows are spread over one to eight routers by a hash, the network changes: others
/// take over, or the way becomes longer or shorter.
/// Guarantees: told at the third differing round, every time, with the sets before and after.
#[test]
fn real_changes() {
    for members in 1..=8_u8 {
        for seed in 0..20_u64 {
            let member = |flow: u8| {
                let mut random = StdRng::seed_from_u64(seed << 8 | u64::from(flow));
                char::from(b'b' + random.random_range(0..members))
            };
            let cases: [(&str, &dyn Fn(u8) -> String); 3] = [
                ("route", &|flow| {
                    format!("a{}T", member(flow).to_ascii_lowercase() as u8 as char)
                        .replace(|c| ('b'..='i').contains(&c), "x")
                }),
                ("length", &|flow| format!("a{}yT", member(flow))),
                ("length", &|_| "aT".to_owned()),
            ];
            for (kind, after) in cases {
                let mut network = |round: u32, flow: u8| {
                    if round < 30 { format!("a{}T", member(flow)) } else { after(flow) }
                };
                let found = run(&mut Route::default(), &mut network, 0..60, 15);
                assert_eq!(found.len(), 1, "{members} {seed} {kind}: {found:?}");
                assert!(found[0].starts_with(&format!("32 {kind} ")), "{members} {seed}: {found:?}");
            }
        }
    }
}

/// Scenario: of several routers between which flows keep still, the one that flow 0 meets stops answering and its flows
/// move; later it comes back.
/// Guarantees: the loss is told at the third differing round as a change of that set, the return as well; the flows
/// that stay never make it a change of route.
#[test]
fn member_lost_and_back() {
    for members in 2..=8_u8 {
        for seed in 0..20_u64 {
            let pick = |flow: u8, members: u8, salt: u64| {
                let mut random = StdRng::seed_from_u64(seed << 16 | salt << 8 | u64::from(flow));
                b'b' + random.random_range(0..members)
            };
            let lost = pick(0, members, 0);
            let mut network = |round: u32, flow: u8| {
                let usual = pick(flow, members, 0);
                let member = match usual {
                    // What is left of the set takes over.
                    gone if (40..80).contains(&round) && gone == lost => {
                        let other = b'b' + (pick(flow, members - 1, 1) - b'b');
                        if other >= lost { other + 1 } else { other }
                    }
                    usual => usual,
                };
                format!("a{}T", char::from(member))
            };
            let mut route = Route::default();
            // All flows often in the beginning, as a trace does, so that the whole set is known.
            let mut found = run(&mut route, &mut network, 0..8, 1);
            found.extend(run(&mut route, &mut network, 8..120, 15));
            let heads: Vec<&str> = found.iter().map(|change| change.rsplit_once(' ').unwrap().0).collect();
            assert_eq!(
                heads,
                ["42 ecmp_member", "82 ecmp_member"],
                "{members} members, seed {seed}: {found:?}"
            );
        }
    }
}

/// Scenario: while flows keep still, one of them moves to a router that nobody had met.
/// Guarantees: it is part of the set from then on, without a change.
#[test]
fn member_learned() {
    let mut network = |round: u32, flow: u8| match flow {
        3 if round >= 40 => "acT".to_owned(),
        _ => "abT".to_owned(),
    };
    let mut route = Route::default();
    assert_eq!(run(&mut route, &mut network, 0..80, 15), [""; 0]);
    assert_eq!(route.sets().nth(1).map(BTreeSet::len), Some(2));
}

/// Scenario: any paths of any flows.
/// Guarantees: no panic; memory stays bounded.
#[test]
fn wild() {
    let mut random = StdRng::seed_from_u64(7);
    let mut route = Route::default();
    let mut seen = HashMap::new();
    let mut network = |_: u32, _: u8| {
        let length = random.random_range(0..12);
        let text: String = (0..length).map(|_| char::from(random.random_range(b'?'..=b'z'))).collect();
        text.replace(['@', '[', '\\', ']', '^', '_', '`'], "?")
    };
    for change in run(&mut route, &mut network, 0..3000, 5) {
        *seen.entry(change.split(' ').nth(1).unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    assert!(route.sets().all(|set| set.len() <= 64), "{seen:?}");
}

/// Rounds of flow 0; the kinds of the changes.
fn kinds(route: &mut Route, rounds: &[&str]) -> Vec<&'static str> {
    let take = |round: &&str| route.take(&[sight(0, round)], 3).map(|change| change.kind);
    rounds.iter().filter_map(take).collect()
}

/// Scenario: the target's last answer is a stranger at its distance, and nobody answers there any more; flaps to a router
/// that was there before, far apart; ever new addresses beside a member.
/// Guarantees: doubt ends with silence; flaps that are not in a row are none; the set has a bound.
#[test]
fn nothing_lasts_for_ever() {
    let mut route = Route::default();
    assert_eq!(kinds(&mut route, &["abT", "abT", "abx", "ab?", "ab?", "ab?"]), [""; 0]);
    kinds(&mut route, &["ab?"]);
    assert!(!route.suspects(&sight(0, "ab?")));
    let mut route = Route::default();
    assert_eq!(kinds(&mut route, &["abT", "acT", "acT", "acT"]), ["route"]);
    for _ in 0..5 {
        assert_eq!(kinds(&mut route, &["abT", "acT", "acT"]), [""; 0]);
    }
    let mut route = Route::default();
    route.take(&[sight(0, "abT")], 3);
    for n in 0..1000_u32 {
        let mut both = sight(0, "abT");
        both.hops[1].insert(IpAddr::from((0x0a01_0000 + n).to_be_bytes()));
        assert_eq!(route.take(&[both], 3), None);
    }
    assert_eq!(route.sets().nth(1).map(BTreeSet::len), Some(64));
}
