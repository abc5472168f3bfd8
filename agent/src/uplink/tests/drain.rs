//! A backlog drains while the agent reads on: how far behind what is new comes.

use ao_common::units::Size;

use super::fake::Cable;
use super::*;

/// Of the backlog.
const FRAME: usize = 128 << 10;
const FRAMES: usize = 192;
const RATE: u64 = 4 << 20;

/// What is read while the link works comes within this time.
const BOUND: Duration = Duration::from_secs(2);

/// The aggregator was without a frame for longer: the link, or the machine, stood still.
const PAUSE: Duration = Duration::from_millis(250);

/// What the aggregator saw.
struct Seen {
    /// Of each frame that was read meanwhile: when it was read, when it came.
    fresh: Vec<(Instant, Instant)>,
    /// When frames came, in order.
    arrivals: Vec<Instant>,
    /// From the connection on.
    drained: Duration,
    /// Of the backlog, in words.
    said: String,
}

impl Seen {
    /// How much longer than it waited for the link a frame took.
    fn behind(&self, read: Instant, came: Instant) -> Duration {
        let pauses = self.arrivals.windows(2).filter(|pair| pair[1] - pair[0] > PAUSE);
        let stood = |pair: &[Instant]| pair[1].min(came).saturating_duration_since(pair[0].max(read));
        (came - read).saturating_sub(pauses.map(stood).sum())
    }

    /// Every single one is in time.
    fn hold(&self) {
        let behind = self.fresh.iter().map(|(read, came)| self.behind(*read, *came));
        let worst = behind.max().unwrap();
        let waited = self.fresh.iter().map(|(read, came)| *came - *read).max().unwrap();
        println!(
            "drained in {:?}; fresh data at most {worst:?} behind, {waited:?} with pauses",
            self.drained
        );
        assert!(worst < BOUND, "{worst:?} behind");
    }
}

/// 24 MiB of backlog lie in the spool when an aggregator comes, over a link of 4 MiB/s; a frame of so many bytes is read
/// every 20 ms, and `meanwhile` sees how long all that has been going on.
async fn drain(size: usize, mut meanwhile: impl FnMut(&Cable, Duration)) -> Seen {
    let mut rig = Rig::new(&spool::Config { budget: Size::mib(512), ..spool::Config::default() });
    for _ in 0..FRAMES {
        rig.append(FRAME).await;
    }
    let fake = Fake::default();
    let (address, cable) = fake.serve().await;
    cable.slow_down(RATE);
    let begin = Instant::now();
    rig.connect(vec![address]);
    let mut said = String::new();
    tokio::time::timeout(PATIENCE, async {
        // Those of the backlog are the first ones.
        while lines(&fake).iter().filter(|line| **line < FRAMES as u64).count() < FRAMES {
            rig.append_stored(size).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            meanwhile(&cable, begin.elapsed());
            let says = rig.says();
            if says.contains("drains in about") {
                said = says;
            }
        }
        while rig.opened.ledger.figures("logs")["in flight"] > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let drained = begin.elapsed();
    let frames: Vec<(u64, Instant)> =
        fake.lock().frames.values().map(|(header, at)| (header.files[0].start, *at)).collect();
    let mut arrivals: Vec<Instant> = frames.iter().map(|(_, at)| *at).collect();
    arrivals.sort_unstable();
    // The link works from the first frame on.
    let reads = frames.iter().map(|(n, came)| (rig.appended[*n as usize], *came));
    let fresh = reads.filter(|(read, _)| *read > arrivals[0]).collect();
    rig.end().await;
    Seen { fresh, arrivals, drained, said }
}

/// Scenario: 24 MiB of backlog lie in the spool when an aggregator comes, over a link of 4 MiB/s; the agent reads on.
/// Guarantees: nothing that is new comes more than two seconds late, but for the time in which nothing came at all; the
/// backlog drains beside it, and the agent says so in words.
#[tokio::test]
async fn fresh_first_while_the_backlog_drains() {
    let seen = drain(2_500, |_, _| {}).await;
    seen.hold();
    assert!(seen.drained < Duration::from_secs(50), "drained in {:?}", seen.drained);
    let said = seen.said;
    assert!(said.contains("connected to http://127.0.0.1") && said.contains("MiB"), "{said:?}");
}

/// Scenario: the same, but the link stands still for three seconds in the middle of it.
/// Guarantees: what was read meanwhile comes within two seconds of its end, before the backlog is through; what is read
/// later is not later for it.
#[tokio::test]
async fn a_hiccup_while_the_backlog_drains() {
    let (from, to) = (Duration::from_millis(1_500), Duration::from_millis(4_500));
    let (mut froze, mut thawed) = (None, None);
    let seen = drain(1_000, |cable, at| {
        if at > from && froze.is_none() {
            cable.freeze();
            froze = Some(Instant::now());
        }
        if at > to && thawed.is_none() {
            cable.thaw();
            thawed = Some(Instant::now());
        }
    })
    .await;
    seen.hold();
    let (froze, thawed) = (froze.unwrap(), thawed.unwrap());
    let last = *seen.arrivals.last().unwrap();
    let read_meanwhile: Vec<_> =
        seen.fresh.iter().filter(|(read, _)| (froze..thawed).contains(read)).collect();
    assert!(read_meanwhile.len() > 20, "{}", read_meanwhile.len());
    let latest = read_meanwhile.iter().map(|(_, came)| *came).max().unwrap();
    assert!(latest + Duration::from_secs(1) < last, "{:?} before the end", last - latest);
}
