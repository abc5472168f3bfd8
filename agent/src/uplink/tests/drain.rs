//! A backlog drains while the agent reads on: how far behind what is new comes.

use std::cell::Cell;

use ao_common::units::{Size, Span};
use ao_proto::queue;

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
    /// Of each frame that was read while the link worked: when it was on disk, when it came.
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

/// What `meanwhile` has: the aggregator, the cable to it, and how many frames were read.
struct Scene {
    fake: Fake,
    cable: Cable,
    reads: Cell<usize>,
}

impl Scene {
    /// Of the backlog; its lines are the first ones.
    fn drained(&self) -> usize {
        lines(&self.fake).partition_point(|line| *line < FRAMES as u64)
    }
}

/// Looks again and again.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// 24 MiB of backlog lie in the spool when an aggregator comes, over a link of 4 MiB/s; a frame of so many bytes is read
/// every 20 ms. `meanwhile` begins once the link works.
async fn drain(size: usize, config: Config, meanwhile: impl AsyncFnOnce(&Scene)) -> Seen {
    let mut rig = Rig::new(&spool::Config { budget: Size::mib(512), ..spool::Config::default() });
    rig.config = config;
    for _ in 1..FRAMES {
        rig.append(FRAME).await;
    }
    // All of it: else the disk has yet to take it while the first frames are sent.
    rig.append_stored(FRAME).await;
    let fake = Fake::default();
    let (address, cable) = fake.serve().await;
    cable.slow_down(RATE);
    let scene = Scene { fake, cable, reads: Cell::default() };
    let (acks, ledger, health) =
        (Arc::clone(&rig.opened.acks), Arc::clone(&rig.opened.ledger), rig.health.clone());
    let begin = Instant::now();
    rig.connect(vec![address]);
    let reading = async {
        while scene.drained() < FRAMES {
            rig.append_stored(size).await;
            scene.reads.update(|reads| reads + 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        until(|| ledger.figures("logs")["in flight"] == 0).await;
    };
    // The spool takes the link for one that works from the first acknowledgement of the fresh lane on.
    let fresh_lane = queue::number(Class::Logs.into(), queue::Lane::Fresh.number()).unwrap();
    let works = async {
        until(|| acks.position(fresh_lane) > Position::default()).await;
        let since = Instant::now();
        meanwhile(&scene).await;
        since
    };
    let said = async {
        let mut said = String::new();
        until(|| {
            said = says(&health);
            said.contains("drains in about")
        })
        .await;
        said
    };
    let all = async { tokio::join!(reading, works, said) };
    let ((), since, said) = tokio::time::timeout(PATIENCE, all).await.expect("drained, and said so");
    let drained = begin.elapsed();
    let frames: Vec<(u64, Instant)> =
        scene.fake.lock().frames.values().map(|(header, at)| (header.files[0].start, *at)).collect();
    let mut arrivals: Vec<Instant> = frames.iter().map(|(_, at)| *at).collect();
    arrivals.sort_unstable();
    let fresh = |&(n, came): &(u64, Instant)| {
        let Appended { put, stored } = rig.appended[n as usize];
        // Its lane is chosen behind the one and before the other.
        stored.filter(|_| put > since).map(|stored| (stored, came))
    };
    let fresh = frames.iter().filter_map(fresh).collect();
    rig.end().await;
    Seen { fresh, arrivals, drained, said }
}

fn says(health: &Health) -> String {
    let part = health.snapshot().remove(0);
    part.not_ready.or(part.trouble).unwrap_or_default()
}

/// Scenario: 24 MiB of backlog lie in the spool when an aggregator comes, over a link of 4 MiB/s; the agent reads on.
/// Guarantees: nothing that is new comes more than two seconds late, but for the time in which nothing came at all; the
/// backlog drains beside it, and the agent says so in words.
#[tokio::test]
async fn fresh_first_while_the_backlog_drains() {
    let seen = drain(2_500, Config::default(), async |_| {}).await;
    seen.hold();
    assert!(seen.drained < Duration::from_secs(50), "drained in {:?}", seen.drained);
    let said = seen.said;
    assert!(said.contains("connected to http://127.0.0.1") && said.contains("MiB"), "{said:?}");
}

/// Scenario: the same, but the link stands still in the middle of it, for three seconds, and until some frames were read.
/// Guarantees: what was read meanwhile comes within two seconds of its end, before the backlog is through; what is read
/// later is not later for it.
#[tokio::test]
async fn a_hiccup_while_the_backlog_drains() {
    const STILL: Duration = Duration::from_secs(3);
    const READ: usize = 20;
    let (mut froze, mut thawed) = (None, None);
    // It never leaves a silent aggregator: how long it is silent is as long as the disk takes for those frames.
    let config = Config { failover: Span::secs(600), ..Config::default() };
    let seen = drain(1_000, config, async |scene| {
        until(|| scene.drained() >= FRAMES / 4).await;
        scene.cable.freeze();
        let (begin, before) = (Instant::now(), scene.reads.get());
        // The first of them may have been begun before the link worked.
        until(|| begin.elapsed() >= STILL && scene.reads.get() > before + READ + 1).await;
        scene.cable.thaw();
        (froze, thawed) = (Some(begin), Some(Instant::now()));
    })
    .await;
    seen.hold();
    let (froze, thawed) = (froze.unwrap(), thawed.unwrap());
    let last = *seen.arrivals.last().unwrap();
    let read_meanwhile: Vec<_> =
        seen.fresh.iter().filter(|(read, _)| (froze..thawed).contains(read)).collect();
    assert!(read_meanwhile.len() > READ, "{}", read_meanwhile.len());
    let latest = read_meanwhile.iter().map(|(_, came)| *came).max().unwrap();
    assert!(latest + Duration::from_secs(1) < last, "{:?} before the end", last - latest);
}
