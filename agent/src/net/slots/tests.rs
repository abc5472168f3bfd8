//! Matching answers to probes, without a network.

use super::*;

const DEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const WALL: i64 = 1_700_000_000_000_000_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// So many milliseconds behind a start at [`WALL`].
fn after(start: Instant, n: u64) -> Moment {
    Moment { at: start + ms(n), wall_ns: WALL + n as i64 * 1_000_000 }
}

fn sent_at(start: Instant) -> Sent {
    Sent { by: after(start, 0), stamp_ns: None }
}

/// One probe under way, token 99, timeout 1 s.
fn one(start: Instant) -> (Slots<()>, u16) {
    let mut slots = Slots::default();
    let sequence = slots.take().unwrap();
    slots.insert(sequence, DEST, 99, ms(1000), sent_at(start), ());
    (slots, sequence)
}

/// The probes that time out now.
fn expire(slots: &mut Slots<()>, now: Instant) -> Vec<u16> {
    let due = slots.due(now);
    due.into_iter().filter(|sequence| slots.time_out(*sequence)).collect()
}

fn reply(sequence: u16, token: u64, from: IpAddr) -> Incoming {
    let heard = Heard::Reply(Echo { id: 1, sequence, token: Some(token) });
    Incoming { from, heard, ttl: Some(64), stamp_ns: None, labels: Labels::default(), udp: false }
}

fn error(fault: Fault, dest: IpAddr, echo: Option<Echo>) -> Incoming {
    let heard = Heard::Error { fault, dest: Some(dest), echo };
    Incoming { from: ROUTER, heard, ttl: None, stamp_ns: None, labels: Labels::default(), udp: false }
}

/// Scenario: replies with a wrong token, from a wrong sender, with an unknown number; then the right one, twice.
/// Guarantees: only the right one ends the probe, the second right one is a duplicate.
#[test]
fn spoofed_and_doubled() {
    let start = Instant::now();
    let (mut slots, sequence) = one(start);
    let now = after(start, 3);
    for foreign in
        [reply(sequence, 98, DEST), reply(sequence, 99, ROUTER), reply(sequence.wrapping_add(1), 99, DEST)]
    {
        assert!(matches!(slots.hear(&foreign, now), Verdict::Foreign));
    }
    let right = reply(sequence, 99, DEST);
    let verdict = slots.hear(&right, now);
    assert!(
        matches!(verdict, Verdict::Final(n, Outcome::Reply { rtt, ttl: Some(64) }) if n == sequence && rtt == ms(3)),
        "{verdict:?}"
    );
    assert!(matches!(slots.hear(&right, now), Verdict::Duplicate(n) if n == sequence));
    assert!(expire(&mut slots, start + ms(1000)).is_empty(), "an answered probe does not time out");
}

/// Scenario: no answer in time, then one, then one after the slot is forgotten.
/// Guarantees: one timeout; the answer is late, and later foreign.
#[test]
fn late() {
    let start = Instant::now();
    let (mut slots, sequence) = one(start);
    assert!(expire(&mut slots, start + ms(999)).is_empty());
    assert_eq!(expire(&mut slots, start + ms(1000)), [sequence]);
    assert!(expire(&mut slots, start + ms(1000)).is_empty());
    assert!(matches!(slots.hear(&reply(sequence, 99, DEST), after(start, 1500)), Verdict::Late));
    assert!(expire(&mut slots, start + ms(6000)).is_empty());
    assert!(matches!(slots.hear(&reply(sequence, 99, DEST), after(start, 6500)), Verdict::Foreign));
}

/// Scenario: the machine was so busy that the timer was never served, and the answer is read after 10 s.
/// Guarantees: an answer stamped within the timeout counts as one; one stamped after it is a timeout.
#[test]
fn starved() {
    for (rtt_ms, answered) in [(4, true), (1200, false)] {
        let start = Instant::now();
        let (mut slots, sequence) = one(start);
        slots.stamp(sequence, WALL + 1_000_000);
        let mut incoming = reply(sequence, 99, DEST);
        incoming.stamp_ns = Some(WALL + (1 + rtt_ms) * 1_000_000);
        let verdict = slots.hear(&incoming, after(start, 10_000));
        match verdict {
            Verdict::Final(_, Outcome::Reply { rtt, .. }) => assert!(answered && rtt == ms(rtt_ms as u64)),
            Verdict::Final(_, Outcome::Timeout) => assert!(!answered),
            other => panic!("{other:?}"),
        }
    }
}

/// Scenario: a probe's time is up, and its answer is found in the socket before it is ended.
/// Guarantees: the answer counts.
#[test]
fn answered_at_the_last_moment() {
    let start = Instant::now();
    let (mut slots, sequence) = one(start);
    slots.stamp(sequence, WALL);
    assert_eq!(slots.due(start + ms(1001)), [sequence]);
    let mut incoming = reply(sequence, 99, DEST);
    incoming.stamp_ns = Some(WALL + 999_000_000);
    assert!(matches!(slots.hear(&incoming, after(start, 1001)), Verdict::Final(_, Outcome::Reply { .. })));
    assert!(!slots.time_out(sequence));
}

/// Scenario: time exceeded for a probe: with token, without one, for another destination, with a wrong token.
/// Guarantees: the first two are the router's answer, the others foreign.
#[test]
fn expired() {
    let echo = |sequence, token| Some(Echo { id: 1, sequence, token });
    for (dest, token, ours) in
        [(DEST, Some(99), true), (DEST, None, true), (ROUTER, None, false), (DEST, Some(98), false)]
    {
        let start = Instant::now();
        let (mut slots, sequence) = one(start);
        let verdict = slots.hear(&error(Fault::Expired, dest, echo(sequence, token)), after(start, 2));
        let matched = matches!(verdict, Verdict::Final(_, Outcome::Expired { from: ROUTER, .. }));
        assert_eq!(matched, ours, "{verdict:?}");
    }
}

/// Scenario: a router quotes only the UDP header: one probe to that destination is under way, then two.
/// Guarantees: matched only while there is no doubt.
#[test]
fn without_echo() {
    let start = Instant::now();
    let (mut slots, _) = one(start);
    let incoming = error(Fault::Expired, DEST, None);
    let second = slots.take().unwrap();
    slots.insert(second, DEST, 1, ms(1000), sent_at(start), ());
    assert!(matches!(slots.hear(&incoming, after(start, 1)), Verdict::Foreign));
    let _verdict = slots.hear(&reply(second, 1, DEST), after(start, 1));
    assert!(matches!(slots.hear(&incoming, after(start, 1)), Verdict::Final(_, Outcome::Expired { .. })));
}

/// Scenario: the wall clock is set while a probe is under way, far or by less than the round trip, before its answer is
/// stamped or after; it is slewed; or a send stamp is of another packet.
/// Guarantees: the monotonic time is used where the stamps cannot be right, and the step is told.
#[test]
fn stepped_clock() {
    let start = Instant::now();
    let sent = Sent { by: after(start, 0), stamp_ns: Some(WALL + 1000) };
    let now = after(start, 5);
    let by = |received, now| {
        let Measured { rtt, stepped, .. } = measure(&sent, received, now);
        (rtt, stepped)
    };
    assert_eq!(by(Some(WALL + 3_001_000), now), (ms(3), false));
    assert_eq!(by(None, now), (ms(5), false));
    for stepped in [-1_000_000_000_i64, -1_000_000, 1_000_000, 3_600_000_000_000] {
        let now = Moment { wall_ns: now.wall_ns + stepped, ..now };
        assert_eq!(by(Some(WALL + 3_001_000 + stepped), now), (ms(5), true), "{stepped}: before the answer");
        assert_eq!(by(Some(WALL + 3_001_000), now), (ms(5), true), "{stepped}: after the answer");
    }
    let slewed = Moment { wall_ns: now.wall_ns - 2_500, ..now };
    assert_eq!(by(Some(WALL + 3_000_000), slewed), (ms(3) - Duration::from_micros(1), false));
    let (mut slots, sequence) = one(start);
    slots.stamp(sequence, WALL - 1);
    assert!(slots.lacks_stamp(&reply(sequence, 99, DEST)));
    let set_back = Moment { at: start + ms(5), wall_ns: WALL - 1_000_000_000 };
    let mut incoming = reply(sequence, 99, DEST);
    incoming.stamp_ns = Some(WALL - 1_002_000_000);
    let verdict = slots.hear(&incoming, set_back);
    assert!(matches!(verdict, Verdict::Final(_, Outcome::Reply { rtt, .. }) if rtt == ms(5)), "{verdict:?}");
    assert_eq!((slots.take_steps(), slots.take_steps()), (1, 0));
}

/// Scenario: a probe that was handed over 2 ms before it left, or an answer that was read 4 ms after it had come.
/// Guarantees: the round trip knows of neither; the gap is the longer one, and unknown where a stamp is missing.
#[test]
fn behind() {
    let start = Instant::now();
    let sent = Sent { by: after(start, 0), stamp_ns: Some(WALL + 2_000_000) };
    let expected = |gap| Measured { rtt: ms(1), gap: Some(gap), stepped: false };
    assert_eq!(measure(&sent, Some(WALL + 3_000_000), after(start, 7)), expected(ms(4)));
    assert_eq!(measure(&sent, Some(WALL + 3_000_000), after(start, 4)), expected(ms(2)));
    assert_eq!(measure(&sent, None, after(start, 4)).gap, None);
    let unstamped = Measured { rtt: ms(3), gap: None, stepped: false };
    assert_eq!(measure(&sent_at(start), Some(WALL + 3_000_000), after(start, 7)), unstamped);
}

/// Scenario: more probes than there are sequence numbers.
/// Guarantees: a number under way is never given twice; a finished one is.
#[test]
fn exhausted() {
    let start = Instant::now();
    let mut slots = Slots::default();
    for _ in 0..=u16::MAX {
        let sequence = slots.take().unwrap();
        slots.insert(sequence, DEST, 9, ms(1000), sent_at(start), ());
    }
    assert_eq!(slots.take(), None);
    let freed = slots.next.wrapping_add(1);
    let _verdict = slots.hear(&reply(freed, 9, DEST), after(start, 1));
    assert_eq!(slots.take(), Some(freed));
}
