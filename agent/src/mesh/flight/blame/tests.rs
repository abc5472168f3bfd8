//! Judgements over evidence that is made up.

use super::*;

const FINE: Counters = Counters {
    nic_errors: 0,
    nic_drops: 0,
    softnet_drops: 0,
    conntrack_drops: 0,
    udp_overflows: 0,
    echo_overflows: 0,
    tcp_again: 0,
    peer_connections: 0,
    peer_sent: 0,
    peer_again: 0,
    peer_rtt_us: 0,
    cpu_pressure: 0.0,
    memory_pressure: 0.0,
    io_pressure: 0.0,
    unusual: Drops { nic_errors: 0, nic_drops: 0, softnet_drops: 0, conntrack_drops: 0 },
};

/// Hops by (last part of the address or 0 for none, answers of fifteen, best round trip).
fn hops(of: &[(u8, u32, u64)]) -> Vec<Hop> {
    let hop = |&(last, got, best_us): &(u8, u32, u64)| Hop {
        address: (last != 0).then(|| IpAddr::from([10, 0, 0, last])),
        sent: 15,
        got,
        best_us,
        ..Hop::default()
    };
    of.iter().map(hop).collect()
}

const CLEAN: &[(u8, u32, u64)] = &[(1, 15, 100), (2, 15, 200), (9, 15, 300)];
const BACK: &[(u8, u32, u64)] = &[(7, 15, 100), (1, 15, 200), (8, 15, 300)];

const LOSSY: &[(u8, u32, u64)] = &[(1, 15, 100), (2, 8, 200), (9, 9, 300)];

/// One case; what it leaves out is fine.
#[derive(Clone, Copy)]
struct Case {
    here: Counters,
    there: Option<Counters>,
    forward: &'static [(u8, u32, u64)],
    backward: &'static [(u8, u32, u64)],
    usual: &'static [(u8, u32, u64)],
    /// Of a hundred: heard there, come back; microseconds that each direction takes longer.
    heard: Option<u32>,
    came: u32,
    slower_us: Option<(i64, i64)>,
    kept_us: u64,
    late_us: u64,
    closed: bool,
}

const ALL: Case = Case {
    here: FINE,
    there: Some(FINE),
    forward: CLEAN,
    backward: BACK,
    usual: CLEAN,
    heard: Some(100),
    came: 100,
    slower_us: None,
    kept_us: 0,
    late_us: 0,
    closed: false,
};

fn verdict(case: &Case) -> (Verdict, Option<u8>) {
    let [forward, backward, usual] = [case.forward, case.backward, case.usual].map(hops);
    let change =
        case.slower_us.map(|(there, back)| Change { forward_ns: there * 1000, backward_ns: back * 1000 });
    let Case { heard, came, kept_us, late_us, closed, .. } = *case;
    let seen = Seen {
        here: &case.here,
        there: case.there.as_ref(),
        peer: IpAddr::from([10, 0, 0, 9]),
        forward: &forward,
        backward: &backward,
        usual: &usual,
        usual_back_us: &[100, 200, 300],
        echoes: Echoes { asked: 100, came, heard, change, kept_us, late_us, closed },
        names: None,
    };
    let blame = judge(&seen);
    assert!(!blame.evidence.is_empty(), "a verdict has its evidence");
    let last = |address| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => 0,
    };
    (blame.verdict, blame.hop.map(last))
}

fn each(cases: &[(&str, Case, Verdict, Option<u8>)]) {
    for (name, case, expected, hop) in cases {
        assert_eq!(verdict(case), (*expected, *hop), "{name}");
    }
}

/// Scenario: drops and want of CPU at either end, drops that are usual there, at both, in the peer's agent, while packets are lost and while none is.
/// Guarantees: the host that has evidence against it is blamed where packets are lost; with evidence against both, nobody.
#[test]
fn hosts() {
    let drops = Counters { softnet_drops: 60, unusual: Drops { softnet_drops: 60, ..FINE.unusual }, ..FINE };
    let as_ever = Counters { nic_drops: 60, conntrack_drops: 60, ..FINE };
    let busy = Counters { cpu_pressure: 80.0, ..FINE };
    let lossy = Case { heard: Some(100), came: 70, ..ALL };
    each(&[
        ("drops here", Case { here: drops, ..lossy }, Verdict::SenderHost, None),
        ("drops there", Case { there: Some(drops), ..lossy }, Verdict::ReceiverHost, None),
        (
            "drops as ever, and a hop loses",
            Case { here: as_ever, there: Some(as_ever), heard: Some(60), came: 60, forward: LOSSY, ..ALL },
            Verdict::Hop,
            Some(2),
        ),
        (
            "drops there, and stalled here",
            Case { late_us: 900_000, there: Some(drops), ..lossy },
            Verdict::ReceiverHost,
            None,
        ),
        ("at both", Case { here: drops, there: Some(drops), ..lossy }, Verdict::Unknown, None),
        (
            "drops before want of CPU",
            Case { here: drops, there: Some(busy), ..lossy },
            Verdict::SenderHost,
            None,
        ),
        ("busy there", Case { there: Some(busy), ..lossy }, Verdict::ReceiverHost, None),
        ("busy here, and that is not known", Case { here: busy, ..ALL }, Verdict::SenderHost, None),
        (
            "busy here, and all as ever",
            Case { here: busy, slower_us: Some((9, 9)), ..ALL },
            Verdict::Unknown,
            None,
        ),
        ("drops, nothing lost", Case { here: drops, ..ALL }, Verdict::Unknown, None),
        ("kept", Case { kept_us: 400_000, ..lossy }, Verdict::ReceiverHost, None),
        (
            "kept, and a hop loses",
            Case { kept_us: 400_000, heard: Some(60), came: 60, forward: LOSSY, ..ALL },
            Verdict::Hop,
            Some(2),
        ),
        ("kept, nothing lost", Case { kept_us: 400_000, ..ALL }, Verdict::ReceiverHost, None),
        (
            "stalled there, and a hop loses",
            Case { kept_us: 900_000, heard: Some(60), came: 60, forward: LOSSY, ..ALL },
            Verdict::ReceiverHost,
            None,
        ),
        (
            "stalled here",
            Case { late_us: 900_000, heard: Some(60), came: 60, forward: LOSSY, ..ALL },
            Verdict::SenderHost,
            None,
        ),
        ("nothing at all", ALL, Verdict::Unknown, None),
    ]);
}

/// Scenario: loss there, back, both ways, by a thrifty router, at the last place of a way, between neighbours, by none of the
/// hops, with nobody to tell the direction.
/// Guarantees: the first hop of the right direction from which on it persists, and a host where that is the last; what shows
/// on the way back alone is not blamed on a hop there; else unknown.
#[test]
fn loss_on_the_way() {
    let there = Case { heard: Some(60), came: 60, forward: LOSSY, ..ALL };
    // All answers from behind the second router come back through a bad one.
    let back = Case { heard: Some(100), came: 60, forward: there.forward, ..ALL };
    let thrifty = &[(1, 3, 100), (2, 15, 200), (3, 8, 300), (9, 9, 300)];
    each(&[
        ("there", there, Verdict::Hop, Some(2)),
        ("thrifty first", Case { forward: thrifty, ..there }, Verdict::Hop, Some(3)),
        (
            "thrifty alone",
            Case { forward: &[(1, 3, 100), (2, 15, 200), (9, 15, 300)], ..there },
            Verdict::Unknown,
            None,
        ),
        ("back", Case { backward: &[(7, 8, 100), (1, 9, 200), (8, 8, 300)], ..back }, Verdict::Hop, Some(7)),
        ("back, not seen there", back, Verdict::Unknown, None),
        (
            "there, at the peer",
            Case { forward: &[(1, 15, 100), (2, 15, 200), (9, 9, 300)], ..there },
            Verdict::ReceiverHost,
            None,
        ),
        (
            "back, at our own host",
            Case { backward: &[(7, 15, 100), (1, 15, 200), (8, 8, 300)], ..back },
            Verdict::SenderHost,
            None,
        ),
        ("there, to a neighbour", Case { forward: &[(9, 9, 300)], ..there }, Verdict::Unknown, None),
        ("back, from a neighbour", Case { backward: &[(8, 8, 300)], ..back }, Verdict::Unknown, None),
        (
            "there, where nobody answers",
            Case { forward: &[(1, 15, 100), (0, 0, 0)], heard: Some(0), came: 0, ..there },
            Verdict::Unknown,
            None,
        ),
        ("no hop", Case { forward: CLEAN, ..there }, Verdict::Unknown, None),
        ("no hops", Case { forward: &[], backward: &[], ..there }, Verdict::Unknown, None),
        ("nobody tells", Case { heard: None, there: None, ..there }, Verdict::Hop, Some(2)),
        (
            "nobody tells, and only the end loses",
            Case { heard: None, there: None, forward: &[(1, 15, 100), (2, 15, 200), (9, 9, 300)], ..there },
            Verdict::Unknown,
            None,
        ),
    ]);
}

/// Scenario: nothing comes back: the agent is away, or kept from answering; the host is, or the way behind the second router,
/// which used to go on or of which nothing is known; of a host that never answers pings.
/// Guarantees: the host where the way used to end with it, the hop where it used to go on, else unknown.
#[test]
fn nothing_comes_back() {
    let away = Case { there: None, heard: None, came: 0, backward: &[], ..ALL };
    let cut = &[(1, 15, 100), (2, 15, 200), (0, 0, 0)];
    let longer = &[(1, 15, 100), (2, 15, 200), (3, 15, 250), (9, 15, 300)];
    each(&[
        ("the agent", Case { forward: CLEAN, closed: true, ..away }, Verdict::ReceiverHost, None),
        ("a filter", Case { forward: CLEAN, ..away }, Verdict::Unknown, None),
        ("the host", Case { forward: cut, ..away }, Verdict::ReceiverHost, None),
        ("the way", Case { forward: cut, usual: longer, ..away }, Verdict::Hop, Some(2)),
        (
            "the host or the way, of a host that answers no pings",
            Case { forward: cut, usual: cut, ..away },
            Verdict::Unknown,
            None,
        ),
        (
            "the way, of such a host",
            Case { forward: &[(1, 15, 100), (0, 0, 0)], usual: cut, ..away },
            Verdict::Hop,
            Some(1),
        ),
        ("who knows", Case { forward: cut, usual: &[], ..away }, Verdict::Unknown, None),
    ]);
}

/// Scenario: 20 ms more there from the second hop on, or back from its first; at no hop; too little to speak of.
/// Guarantees: the hop of that direction; the walk there shows both directions, and is not blamed for the way back.
#[test]
fn delays() {
    let forward = &[(1, 15, 110), (2, 15, 20_200), (9, 15, 20_300)];
    each(&[
        ("there", Case { slower_us: Some((20_000, 10)), forward, ..ALL }, Verdict::Hop, Some(2)),
        (
            "back",
            Case {
                slower_us: Some((10, 20_000)),
                forward,
                backward: &[(7, 15, 20_100), (1, 15, 20_200), (8, 15, 20_300)],
                ..ALL
            },
            Verdict::Hop,
            Some(7),
        ),
        (
            "back, not seen there",
            Case { slower_us: Some((10, 20_000)), forward, ..ALL },
            Verdict::Unknown,
            None,
        ),
        ("no hop", Case { slower_us: Some((20_000, 10)), ..ALL }, Verdict::Unknown, None),
        ("little", Case { slower_us: Some((90, 10)), ..ALL }, Verdict::Unknown, None),
    ]);
}
