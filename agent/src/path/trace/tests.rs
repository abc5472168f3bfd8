//! Whole rounds on a simulated network and clock.

use std::cell::Cell;
use std::collections::VecDeque;

use ao_common::units::Span;

use super::*;
use crate::net::Labels;
use crate::path::strategy::Ask;

/// Gives, for a round, a flow and a TTL, the number of who answers; 0 for nobody, 255 for the target, 254 where there was no
/// budget to ask, 253 where router 4 refuses.
type World<'a> = &'a dyn Fn(u64, u8, u8) -> u8;

struct Simulated<'a> {
    world: World<'a>,
    round: u64,
    answers: VecDeque<(u64, u8, Seen)>,
    sent: u64,
}

impl Network for Simulated<'_> {
    async fn send_probe(&mut self, ask: Ask) {
        self.sent += 1;
        let rtt = Duration::from_millis(ask.ttl.into());
        let seen = match (self.world)(self.round, ask.flow, ask.ttl) {
            0 => Seen::Silent,
            254 => Seen::Skipped,
            253 => Seen::Refused { from: IpAddr::from([10, 0, 0, 4]), rtt },
            255 => Seen::Target { from: IpAddr::from([10, 0, 0, 255]), rtt },
            n => Seen::Router { from: IpAddr::from([10, 0, 0, n]), rtt, labels: Labels::default() },
        };
        self.answers.push_back((ask.pass, ask.ttl, seen));
    }

    async fn recv_probe(&mut self) -> Option<(u64, u8, Seen)> {
        self.answers.pop_front()
    }
}

/// Runs rounds, one a minute; gives the round and kind of each change, and the probes sent.
async fn run(world: World<'_>, rounds: u64, crowd: usize) -> (Vec<(u64, &'static str)>, u64) {
    let (changes, sent, _) = trace(world, rounds, crowd).await;
    (changes, sent)
}

/// The same, with what is known in the end.
async fn trace(world: World<'_>, rounds: u64, crowd: usize) -> (Vec<(u64, &'static str)>, u64, Trace) {
    let config = Config { sweep: Span::secs(15 * 60), ..Config::default() };
    let mut trace = Trace::new("target".into());
    trace.address = Some(IpAddr::from([10, 0, 0, 255]));
    let mut network = Simulated { world, round: 0, answers: VecDeque::new(), sent: 0 };
    let (mut changes, start) = (Vec::new(), Instant::now());
    for round in 0..rounds {
        sleep_until(start + Duration::from_secs(60 * round)).await;
        network.round = round;
        if let Some(change) = trace.round(&config, &mut network, 8, crowd).await {
            trace.accept(&change);
            changes.push((round, change.kind));
        }
    }
    (changes, network.sent, trace)
}

/// A hash that no flow, round or TTL shares.
fn mix(values: [u64; 3]) -> u64 {
    let step = |h: u64, v: u64| (h ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    values.into_iter().fold(0x1234_5678, step).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// Scenario: a path of five hops, of which two are spread over three and two routers; the hash is drawn anew each round.
/// Guarantees: no change of path in 1,000 rounds of a minute.
#[tokio::test(start_paused = true)]
async fn rotation() {
    let world = |round: u64, flow: u8, ttl: u8| match ttl {
        2 => 20 + (mix([round, flow.into(), 2]) % 3) as u8,
        3 => 30 + (mix([round, flow.into(), 3]) % 2) as u8,
        5.. => 255,
        ttl => ttl,
    };
    for crowd in [1, 100] {
        assert_eq!(run(&world, 1000, crowd).await.0, []);
    }
}

/// Scenario: the same, its flows keeping still; from round 50 on another router stands at the fourth hop, from 100 on
/// there is none.
/// Guarantees: each told at the third differing round.
#[tokio::test(start_paused = true)]
async fn real_changes() {
    let world = |round: u64, flow: u8, ttl: u8| match (ttl, round) {
        (2, _) => 20 + (mix([0, flow.into(), 2]) % 3) as u8,
        (3, _) => 30 + (mix([0, flow.into(), 3]) % 2) as u8,
        (4, 100..) | (5.., _) => 255,
        (4, 50..) => 44,
        (ttl, _) => ttl,
    };
    for crowd in [1, 100] {
        assert_eq!(run(&world, 150, crowd).await.0, [(52, "route"), (102, "length")]);
    }
}

/// Scenario: a target at the fifth hop; in the first rounds, and now and then later, its own distance is not asked for want
/// of budget, nor the one before it, so that it answers one farther away.
/// Guarantees: where nobody was asked, nothing is known: no change of length is told, and the path is as long as it is.
#[tokio::test(start_paused = true)]
async fn no_budget_at_the_end() {
    let world = |round: u64, _: u8, ttl: u8| match (ttl, round) {
        (4 | 5, 0..10) | (5, 20..30) | (4, 40..50) => 254,
        (5.., _) => 255,
        (ttl, _) => ttl,
    };
    for crowd in [1, 100] {
        let (changes, _, trace) = trace(&world, 100, crowd).await;
        assert_eq!((changes, trace.length, trace.route.sets().count()), (vec![], Some(5), 5), "{crowd}");
    }
    let [router, target] = [3, 255].map(|n| match n {
        255 => Seen::Target { from: IpAddr::from([10, 0, 0, 255]), rtt: Duration::from_millis(7) },
        n => {
            Seen::Router { from: IpAddr::from([10, 0, 0, n]), rtt: Duration::ZERO, labels: Labels::default() }
        }
    });
    for (seen, first_hop, expect) in [
        (vec![router, Seen::Skipped, Seen::Skipped, target], 1, 1..3),
        (vec![router, Seen::Skipped, router, target], 1, 3..3),
        (vec![Seen::Skipped, Seen::Skipped, target], 3, 2..2),
        (vec![Seen::Skipped, Seen::Skipped, target], 2, 1..2),
        (vec![router, Seen::Skipped, Seen::Silent], 1, 0..0),
    ] {
        assert_eq!(unproven(&seen, first_hop), expect, "{seen:?}");
    }
}

/// Scenario: a path without change, alone and among many.
/// Guarantees: all flows are looked at every 15 minutes, a few times more in the beginning; else the canonical one alone.
#[tokio::test(start_paused = true)]
async fn thrift() {
    let world = |_: u64, _: u8, ttl: u8| if ttl >= 5 { 255 } else { ttl };
    let (_, sent) = run(&world, 150, 1).await;
    // Three passes of five hops a round, and one before the length is known; 7 flows a sweep.
    let sweeps = (sent - 150 * 3 * 5) as f64 / 35.0;
    assert!((12.0..=16.0).contains(&sweeps), "{sweeps}");
    let (_, sent) = run(&world, 150, 100).await;
    let sweeps = (sent - 150 * 3 * 5) as f64 / 35.0;
    assert!((9.0..=11.5).contains(&sweeps), "{sweeps}");
}

/// Scenario: another router takes over, after each number of the passes of a round, with sweeps and without.
/// Guarantees: told once, as a change of route, at the third differing round.
#[tokio::test(start_paused = true)]
async fn a_change_within_a_round() {
    for (when, after) in (45..60).flat_map(|when| (1..14).map(move |after| (when, after))) {
        let (round_of, passes) = (Cell::new(0), Cell::new(0));
        let world = |round: u64, _: u8, ttl: u8| {
            if ttl == 1 {
                passes.set(if round_of.replace(round) == round { passes.get() + 1 } else { 1 });
            }
            match ttl {
                3 if round > when || (round == when && passes.get() > after) => 33,
                5.. => 255,
                ttl => ttl,
            }
        };
        for crowd in [1, 100] {
            let (changes, _, trace) = trace(&world, when + 30, crowd).await;
            assert!(
                matches!(changes[..], [(told, "route")] if told == when + 2 || told == when + 3),
                "{when} {after} {crowd}: {changes:?}"
            );
            assert_eq!((trace.balancing(), trace.route.sets().count()), ("none", 5));
        }
    }
}

/// Scenario: every third packet is lost, at random, for 300 rounds: the target then answers one hop farther on.
/// Guarantees: no change; the path is as long as it is, in each flow; what is lost is lost at the target's distance.
#[tokio::test(start_paused = true)]
async fn lost_answers_make_no_path_longer() {
    for seed in 0..20 {
        let count = Cell::new(seed << 32);
        let world = |round: u64, flow: u8, ttl: u8| {
            count.set(count.get() + 1);
            match mix([round, u64::from(flow) << 8 | u64::from(ttl), count.get()]) % 3 {
                0 => 0,
                _ if ttl >= 5 => 255,
                _ => ttl,
            }
        };
        let (changes, _, trace) = trace(&world, 300, 1).await;
        assert_eq!((changes, trace.length, trace.route.sets().count()), (vec![], Some(5), 5), "{seed}");
        assert!(trace.hops[4].figures().loss > 15.0, "{:?}", trace.hops[4].figures());
        assert!(trace.flows.values().all(|hops| hops.len() == 5), "{:?}", trace.flows);
    }
}

/// Scenario: a router that never answers comes between the last one and the target, and goes again.
/// Guarantees: both are told as changes of length at the third differing round.
#[tokio::test(start_paused = true)]
async fn a_silent_router_more_and_less() {
    let world = |round: u64, _: u8, ttl: u8| match (ttl, round) {
        (5, 50..100) => 0,
        (5.., _) => 255,
        (ttl, _) => ttl,
    };
    for crowd in [1, 100] {
        let (changes, _, trace) = trace(&world, 150, crowd).await;
        assert_eq!(changes, [(52, "length"), (102, "length")], "{crowd}");
        assert_eq!((trace.length, trace.route.sets().count()), (Some(5), 5));
    }
}

/// Scenario: from some round on the last router refuses what is for the target.
/// Guarantees: that is loss of the target.
#[tokio::test(start_paused = true)]
async fn refused_by_the_last_router() {
    let world = |round: u64, _: u8, ttl: u8| match (ttl, round) {
        (5.., 50..) => 253,
        (5.., _) => 255,
        (ttl, _) => ttl,
    };
    let (_, _, before) = trace(&world, 50, 1).await;
    let (_, _, after) = trace(&world, 80, 1).await;
    let loss = |trace: &Trace| trace.hops.get(4).map(|hop| hop.figures().loss);
    assert_eq!((loss(&before), loss(&after)), (Some(0.0), Some(100.0)));
}

/// Scenario: routers that are known are left out of many passes for want of budget; one of them is one of three.
/// Guarantees: the ways of the flows are those that there are.
#[tokio::test(start_paused = true)]
async fn ways_have_no_holes() {
    let world = |round: u64, flow: u8, ttl: u8| match ttl {
        1..=3 if round > 5 && mix([round, flow.into(), ttl.into()]).is_multiple_of(2) => 254,
        2 => 20 + flow % 3,
        5.. => 255,
        ttl => ttl,
    };
    let (changes, _, trace) = trace(&world, 100, 1).await;
    let ways: std::collections::BTreeSet<_> = trace.flows.values().collect();
    assert_eq!((changes, ways.len()), (vec![], 3), "{ways:?}");
    assert!(ways.iter().all(|way| way.iter().all(Option::is_some)), "{ways:?}");
}
