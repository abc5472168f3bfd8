//! Scenarios of clocks that are set, slewed, right and wrong.

use super::*;

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * S;
/// 2026-11-22, and a machine that has run for a day.
const WALL: i64 = 1_795_363_200 * S;
const BOOT: i64 = 24 * HOUR;

/// What happens, one second after what happened before it.
#[derive(Clone, Copy, Debug)]
enum Do {
    /// The system's clock is set by so many seconds.
    Step(i64),
    /// It moves by so many milliseconds.
    Drift(i64),
    /// Measured: ours less the aggregator's is so many seconds if ours is right; 1 ms of error.
    Ask(i64),
    /// Nothing for so many seconds.
    Wait(i64),
}
use Do::{Ask, Drift, Step, Wait};

/// Runs the events on a machine whose clock begins `wrong` seconds off; returns ours and the system's, less the truth.
fn run(wrong: i64, events: &[Do]) -> (i64, i64) {
    let (mut boot, mut system) = (BOOT, wrong * S);
    let mut anchor = Anchor::new(boot, WALL + system);
    let truth = WALL - BOOT;
    for event in events {
        boot += S;
        match event {
            Step(seconds) => system += seconds * S,
            Drift(ms) => system += ms * S / 1_000,
            Wait(seconds) => boot += seconds * S,
            Ask(_) => {}
        }
        anchor.see(boot, truth + boot + system);
        if let Ask(aggregator) = event {
            anchor.measured(truth + aggregator * S, S / 1_000);
        }
    }
    (anchor.anchor_ns() - truth, system)
}

/// Scenario: steps of an hour, of seconds and of less than one, slew, with the aggregator there, away, and wrong.
/// Guarantees: our clock goes where the aggregator confirms it and nowhere else; small changes are followed; a step
/// that is taken back leaves nothing.
#[test]
fn when_the_anchor_moves() {
    let h = 3_600;
    // How wrong the clock is at the start, what happens, where ours is then (seconds from the truth).
    let cases: &[(&str, i64, &[Do], i64)] = &[
        ("nothing", 0, &[Wait(100)], 0),
        ("an hour ahead, unconfirmed", 0, &[Ask(0), Step(h), Ask(0), Wait(86_400), Ask(0)], 0),
        ("an hour behind, unconfirmed", 0, &[Ask(0), Step(-h), Ask(0), Wait(86_400)], 0),
        ("ahead and back", 0, &[Ask(0), Step(h), Ask(0), Step(-h), Ask(0)], 0),
        ("behind, back, ahead, back", 0, &[Step(-h), Step(h), Step(h), Step(-h), Ask(0)], 0),
        ("set right from ahead", h, &[Ask(0), Step(-h)], 0),
        ("set right from behind", -h, &[Ask(0), Step(h)], 0),
        ("set right before anything was measured", h, &[Step(-h), Ask(0)], 0),
        ("set right in two steps", -h, &[Ask(0), Step(h - 30), Step(30)], 0),
        ("set nearly right, then right", -h, &[Step(h - 1), Ask(0), Step(1), Ask(0)], 0),
        ("wrong from the start: measured, not moved", h, &[Ask(0), Ask(0), Wait(600)], h),
        ("the aggregator is away", 0, &[Step(h), Wait(86_400), Wait(86_400)], 0),
        ("the aggregator comes back", -h, &[Step(h), Wait(86_400), Ask(0)], 0),
        ("the aggregator's clock is wrong, nobody steps", 0, &[Ask(h), Ask(-h), Wait(60)], 0),
        ("the aggregator is an hour ahead, and we step back", 0, &[Ask(h), Step(-h), Ask(h)], 0),
        ("the aggregator steps and we step away from it", 0, &[Ask(0), Ask(h), Step(-10), Ask(h)], 0),
        ("we step to the aggregator", 0, &[Ask(h), Step(h), Ask(h)], h),
        ("a clock from before this program is set", -10 * 365 * 24 * h, &[Step(10 * 365 * 24 * h)], 0),
        ("a clock is set to before this program", 0, &[Step(-10 * 365 * 24 * h), Ask(-9 * 365 * 24 * h)], 0),
        ("an old measurement still tells hours apart", h, &[Ask(0), Wait(7 * 86_400), Step(-h)], 0),
    ];
    for (what, wrong, events, ours) in cases {
        let (anchor, _) = run(*wrong, events);
        assert!((anchor - ours * S).abs() < S / 100, "{what}: {} s", anchor / S);
    }
}

/// Scenario: the clock is slewed, by a little each second, for an hour; then faster than anything slews.
/// Guarantees: slew is followed to the nanosecond, what is faster is a step.
#[test]
fn slew_is_followed() {
    let (ours, system) = run(0, &[Drift(80); 3_600]);
    assert_eq!(ours, system);
    let (ours, system) = run(0, &[Drift(900); 60]);
    assert!(ours < S && system == 54 * S, "{ours}");
}

/// Scenario: the clock goes an hour ahead for a minute, and comes back.
/// Guarantees: what it showed when is known, so that times from then can be told and brought back; it is forgotten
/// after an hour.
#[test]
fn stretches_say_what_the_clock_showed() {
    let truth = WALL - BOOT;
    let mut anchor = Anchor::new(BOOT, WALL);
    assert_eq!(anchor.see(BOOT + S, WALL + S), Seen::Same);
    let step = anchor.see(BOOT + 2 * S, WALL + 2 * S + HOUR);
    assert_eq!(step, Seen::Stepped { by_ns: HOUR, followed: false });
    assert_eq!(anchor.pending_ns(), HOUR);
    anchor.see(BOOT + 62 * S, WALL + 62 * S + HOUR);
    assert_eq!(anchor.pending_for_ns(), 61 * S);
    assert_eq!(anchor.see(BOOT + 63 * S, WALL + 63 * S), Seen::Back);
    assert_eq!((anchor.pending_ns(), anchor.steps(), anchor.anchor_ns()), (0, 2, truth));
    let stretches: Vec<_> = anchor.stretches().collect();
    let expect = [
        Stretch { from_ns: WALL + 62 * S, until_ns: WALL + 63 * S, ahead_ns: 0 },
        Stretch { from_ns: WALL + S + HOUR, until_ns: WALL + 63 * S + HOUR, ahead_ns: HOUR },
        Stretch { from_ns: WALL, until_ns: WALL + 2 * S, ahead_ns: 0 },
    ];
    assert_eq!(stretches, expect);
    anchor.see(BOOT + 2 * HOUR, WALL + 2 * HOUR);
    anchor.see(BOOT + 2 * HOUR + S, WALL + S);
    assert_eq!(anchor.stretches().count(), 2);
}

/// Scenario: a process begins again while its system's clock stands an hour wrong; while it was set right; after the
/// clock was set by nobody.
/// Guarantees: the earlier anchor holds unless the system's clock is the better one.
#[test]
fn an_earlier_anchor() {
    let truth = WALL - BOOT;
    for (system, kept, reference, ours) in [
        (HOUR, 0, Some(0), 0),
        (-HOUR, 0, None, 0),
        (0, HOUR, Some(0), 0),
        (0, HOUR, None, HOUR),
        (5_000, 0, Some(0), 5_000),
    ] {
        let mut anchor = Anchor::new(BOOT, WALL + system);
        anchor.restore(truth + kept, reference.map(|reference: i64| (truth + reference, 0)));
        assert_eq!(anchor.anchor_ns() - truth, ours, "{system} {kept} {reference:?}");
        let stretch = anchor.stretches().next().unwrap();
        let shown = stretch.until_ns - stretch.from_ns;
        assert_eq!(
            shown,
            if (system - kept).abs() == HOUR { HOUR } else { 0 },
            "what was set while nobody looked"
        );
    }
}

/// Scenario: clocks at the ends of what a number holds.
/// Guarantees: no panic.
#[test]
fn absurd_clocks() {
    let ends = [i64::MIN, -1, 0, 1, WALL, i64::MAX];
    for wall in ends {
        let mut anchor = Anchor::new(0, wall);
        for (n, other) in ends.into_iter().enumerate() {
            anchor.see(n as i64 * S, other);
            anchor.measured(other, i64::MAX);
            anchor.restore(other, Some((wall, i64::MAX)));
            assert!(anchor.stretches().count() > 0 && anchor.offset_ns().is_some());
        }
    }
}
