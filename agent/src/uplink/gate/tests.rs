//! The gate's rules by themselves, on a clock that the tests move.

use super::*;

fn pace() -> Arc<Pace> {
    Arc::new(Pace::new(Duration::from_secs(2)))
}

fn state(share: f64) -> State {
    let gate = Gate::new(share, 16 << 20, pace());
    gate.state.into_inner().unwrap()
}

/// Sends of the lanes in turn for as long as both may, each frame acknowledged at once.
fn sent(state: &mut State, now: Instant, turns: usize) -> [usize; 2] {
    const FRAME: usize = 64 << 10;
    let mut sent = [0; 2];
    for _ in 0..turns {
        for (n, lane) in Lane::ALL.into_iter().enumerate() {
            if state.judge(lane, FRAME, now) == Verdict::Go {
                sent[n] += FRAME;
                state.acked(lane, FRAME, Duration::from_millis(5), now);
            }
        }
    }
    sent
}

/// Scenario: the fresh lane is idle, then busy, at several shares.
/// Guarantees: idle, the backlog sends all it can; busy, it has its share of the bytes and no more.
#[test]
fn the_backlog_has_its_share() {
    let now = Instant::now();
    for (share, of_both) in [(0.0, 0.0), (0.2, 0.2), (0.5, 0.5), (1.0, 0.5)] {
        let mut state = state(share);
        for _ in 0..1_000 {
            assert_eq!(state.judge(Lane::Backlog, 64 << 10, now), Verdict::Go, "{share}, idle");
            state.acked(Lane::Backlog, 64 << 10, Duration::from_millis(5), now);
        }
        state.busy = 1;
        let [fresh, backlog] = sent(&mut state, now, 10_000);
        let got = backlog as f64 / (fresh + backlog) as f64;
        assert!((got - of_both).abs() < 0.01, "share {share}: {got}");
    }
}

/// Scenario: the aggregator asks for 1 MB/s while both lanes have something, then while the fresh lane is idle.
/// Guarantees: the fresh lane has all of the rate, then the backlog; after the time asked for both go on.
#[test]
fn a_throttle_stops_the_backlog_first() {
    let start = Instant::now();
    let mut state = state(0.5);
    let throttle = Throttle {
        bytes_per_second: 1e6,
        until: start + Duration::from_secs(20),
        tokens: 0.0,
        filled: start,
    };
    state.throttle = Some(throttle);
    let run = |state: &mut State, from: u64, to: u64| {
        let mut all = [0; 2];
        for ms in from..to {
            let sent = sent(state, start + Duration::from_millis(ms), 4);
            all = [all[0] + sent[0], all[1] + sent[1]];
        }
        all
    };
    state.busy = 1;
    let [fresh, backlog] = run(&mut state, 0, 10_000);
    assert!((9_800_000..=10_200_000).contains(&fresh) && backlog == 0, "{fresh} {backlog}");
    state.busy = 0;
    // Nothing fresh any more: the test's fresh frames are what would be sent, so only the backlog is asked.
    let mut backlog = 0;
    for ms in 10_000..20_000 {
        let now = start + Duration::from_millis(ms);
        while state.judge(Lane::Backlog, 1_000, now) == Verdict::Go {
            state.acked(Lane::Backlog, 1_000, Duration::from_millis(5), now);
            backlog += 1_000;
        }
    }
    assert!((9_800_000..=10_200_000).contains(&backlog), "{backlog}");
    assert_eq!(state.judge(Lane::Backlog, 1, start + Duration::from_secs(21)), Verdict::Go);
}

/// Scenario: fresh frames are acknowledged late, then in time again.
/// Guarantees: less and less of the backlog is under way, but always something; then more and more again.
#[test]
fn late_acks_hold_the_backlog_back() {
    let start = Instant::now();
    let mut state = state(0.5);
    let at = |s| start + Duration::from_secs(s);
    for n in 0..10 {
        state.acked(Lane::Fresh, 1, Duration::from_millis(900), at(n));
    }
    assert_eq!(state.limit, FLOOR);
    assert_eq!(state.judge(Lane::Backlog, 1 << 20, at(10)), Verdict::Go, "a frame over the limit goes alone");
    assert_eq!(state.judge(Lane::Backlog, 1, at(10)), Verdict::Change);
    for _ in 0..100 {
        state.acked(Lane::Backlog, 1 << 20, Duration::from_millis(5), at(12));
    }
    assert_eq!(state.limit, state.window);
}

/// Scenario: links of several rates and delays, each with a backlog alone on it.
/// Guarantees: the link is always full, and what the backlog adds to the delay stays below a second.
#[test]
fn the_link_is_full_and_not_more() {
    const FRAME: usize = 64 << 10;
    for (rate, delay_ms) in [(1e6, 1), (4e6, 50), (50e6, 2), (50e6, 100), (20e6, 400)] {
        let start = Instant::now();
        let delay = Duration::from_millis(delay_ms);
        let mut state = state(0.5);
        // Frames on the link: when each is through, and when it was sent.
        let mut link: std::collections::VecDeque<(Instant, Instant)> = Default::default();
        let (mut free, mut through, mut worst) = (start, 0.0, Duration::ZERO);
        for ms in 0..30_000 {
            let now = start + Duration::from_millis(ms);
            while let Some((done, sent)) = link.pop_front_if(|(done, _)| *done <= now) {
                state.acked(Lane::Backlog, FRAME, done - sent, done);
                if ms > 10_000 {
                    through += FRAME as f64;
                    worst = worst.max(done - sent);
                }
            }
            while state.judge(Lane::Backlog, FRAME, now) == Verdict::Go {
                free = free.max(now) + Duration::from_secs_f64(FRAME as f64 / rate);
                link.push_back((free + delay, now));
            }
        }
        let window = 16e6_f64 / delay.as_secs_f64();
        assert!(through / 20.0 > 0.9 * rate.min(window), "{rate}, {delay:?}: {through}");
        assert!(worst < 3 * delay + Duration::from_millis(750), "{rate}, {delay:?}: {worst:?}");
    }
}

/// Scenario: the backlog waits for its share, then the fresh lane has nothing left.
/// Guarantees: it is woken.
#[tokio::test(start_paused = true)]
async fn an_idle_fresh_lane_wakes_the_backlog() {
    let gate = Gate::new(0.0, 1 << 20, pace());
    let busy = gate.busy();
    gate.lock().credit = 0.0;
    let waiting = gate.enter(Lane::Backlog, 10);
    let release = async {
        tokio::task::yield_now().await;
        drop(busy);
    };
    tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(waiting, release) }).await.unwrap();
}
