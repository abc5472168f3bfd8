//! The uplink over a real spool, against aggregators that die in every way.

mod drain;
mod fake;
mod pauses;
mod shed;

use std::collections::BTreeMap;

use ao_common::health::Health;
use ao_common::journal::Position;
use ao_proto::v1::{Class, FileRange, FrameHeader};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::fake::Fake;
use self::pauses::Pauses;
use super::feed::Shared;
use super::flight::Sent;
use super::gate::Gate;
use super::*;
use crate::metrics::{Metrics, QueueLabel};
use crate::spool::{self, Count, Draft, Fate, Frame, Opened, Spool};

const PATIENCE: Duration = Duration::from_secs(60);

/// When a frame was handed to the spool, and when it was known to be on disk, where that was waited for.
#[derive(Clone, Copy)]
struct Appended {
    put: Instant,
    stored: Option<Instant>,
}

/// An agent of a spool and an uplink.
struct Rig {
    _dir: tempfile::TempDir,
    opened: Opened,
    /// Of the uplink; where it connects to is added.
    config: Config,
    metrics: Arc<Metrics>,
    health: Health,
    appended: Vec<Appended>,
    shutdown: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Rig {
    fn new(config: &spool::Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::<Metrics>::default();
        let opened = spool::open(dir.path(), config, Arc::clone(&metrics)).unwrap();
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let (config, appended, running) = Default::default();
        Self { _dir: dir, opened, config, metrics, health, appended, shutdown, running }
    }

    fn connect(&mut self, addresses: Vec<String>) {
        let (tls, nobody) = (crate::identity::Config::default(), ("lab", "node", self.opened.agent));
        let part = Health::new().part("identity");
        let identity = crate::identity::Identity::open(self._dir.path(), &tls, nobody, true, part).unwrap();
        let uplink = Uplink {
            identity,
            config: Config { addresses, ..self.config.clone() },
            journal: self.opened.journal.clone(),
            acks: Arc::clone(&self.opened.acks),
            agent: self.opened.agent,
            epochs: self.opened.epochs.clone(),
            node: Arc::default(),
            directives: Arc::new(watch::channel(Arc::default()).0),
            canaries: broadcast::Sender::new(1),
            metrics: Arc::clone(&self.metrics),
            health: self.health.part("uplink"),
        };
        self.running = Some(tokio::spawn(uplink.run(self.shutdown.clone())));
    }

    /// Frame n is a line at n of one file.
    async fn append(&mut self, size: usize) {
        self.put(size, Vec::new()).await;
    }

    /// The same, and waits until it is on disk, however long a busy disk takes.
    async fn append_stored(&mut self, size: usize) {
        let (stored, told) = oneshot::channel();
        self.put(size, vec![stored]).await;
        told.await.unwrap();
        self.appended.last_mut().unwrap().stored = Some(Instant::now());
    }

    async fn put(&mut self, size: usize, stored: Vec<oneshot::Sender<()>>) {
        let n = self.appended.len() as u64;
        self.appended.push(Appended { put: Instant::now(), stored: None });
        let header = FrameHeader {
            agent: self.opened.agent.to_vec(),
            class: Class::Logs.into(),
            source: "logs".to_owned(),
            records: 1,
            bytes: 7,
            files: vec![FileRange { file: vec![1; 16], start: n, end: n + 1 }],
            ..FrameHeader::default()
        };
        let payload = vec![0; size];
        let draft = Draft { header, payload, keyframe: None, stored, forget: Vec::new() };
        Spool::append(&mut self.opened.spool, draft).await;
    }

    async fn end(mut self) -> BTreeMap<String, u64> {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
        self.opened.spool.flush().await;
        self.opened.acks.close().await;
        self.opened.journal.close().await;
        self.opened.ledger.figures("logs")
    }

    fn resent(&self) -> u64 {
        let of = |lane| {
            let label = QueueLabel { class: "logs", lane };
            self.metrics.resent_frames.get_or_create(&label).get()
        };
        of("fresh") + of("backlog")
    }
}

/// Which lines it has.
fn lines(fake: &Fake) -> Vec<u64> {
    let mut lines: Vec<u64> = fake.lock().frames.values().map(|(header, _)| header.files[0].start).collect();
    lines.sort_unstable();
    lines
}

#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its process is killed.
    Killed,
    /// It is stopped, or the cable is cut: the connection stays, half open.
    Frozen,
    /// It answers pings and acknowledges nothing.
    Mute,
}

/// Scenario: an agent with two aggregators sends all the time; the one that it is connected to dies, in three ways.
/// Guarantees: the other one has new frames within five seconds in which the machine ran; no line is lost; what both have
/// was counted as resent.
#[tokio::test]
async fn another_aggregator_within_five_seconds() {
    for death in [Death::Killed, Death::Frozen, Death::Mute] {
        let (first, second) = (Fake::default(), Fake::default());
        let (first_at, cable) = first.serve().await;
        let (second_at, _cable) = second.serve().await;
        let mut rig = Rig::new(&spool::Config::default());
        rig.connect(vec![first_at, second_at]);
        let (pauses, mut died) = (Pauses::note(), None::<Instant>);
        tokio::time::timeout(PATIENCE, async {
            while lines(&second).len() < 30 {
                rig.append(2_000).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
                if died.is_none() && lines(&first).len() >= 30 {
                    died = Some(Instant::now());
                    match death {
                        Death::Killed => cable.kill(),
                        Death::Frozen => cable.freeze(),
                        Death::Mute => first.lock().mute = true,
                    }
                }
            }
            // What a busy disk has not stored yet is not in flight either.
            while rig.opened.ledger.figures("logs")["delivered"] < rig.appended.len() as u64 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        let (died, back) = (died.unwrap(), second.lock().frames.values().map(|(_, at)| *at).min().unwrap());
        let (took, stood_still) = (back - died, pauses.between(died, back));
        assert!(
            took - stood_still < Duration::from_secs(5),
            "{death:?}: {took:?}, {stood_still:?} of pauses"
        );
        let (sent, resent) = (rig.appended.len() as u64, rig.resent());
        let (had, has) = (lines(&first), lines(&second));
        let both = had.iter().filter(|line| has.binary_search(line).is_ok()).count() as u64;
        assert!(
            (0..sent).all(|n| had.binary_search(&n).is_ok() || has.binary_search(&n).is_ok()),
            "{death:?}"
        );
        assert!(both <= resent, "{death:?}: {both} are twice, {resent} counted");
        let figures = rig.end().await;
        assert_eq!(
            (figures["read"], figures["delivered"], figures["in flight"]),
            (sent, sent, 0),
            "{death:?}"
        );
        assert_eq!(figures["resent"], resent, "{death:?}");
    }
}

/// Scenario: an aggregator sends its agents to another one.
/// Guarantees: the agent goes there, and nothing is lost.
#[tokio::test]
async fn moves_as_told() {
    let (first, second) = (Fake::default(), Fake::default());
    let (first_at, _cable) = first.serve().await;
    let (second_at, _other) = second.serve().await;
    first.lock().moves_to = Some(second_at);
    let mut rig = Rig::new(&spool::Config::default());
    rig.connect(vec![first_at]);
    tokio::time::timeout(PATIENCE, async {
        while lines(&second).len() < 10 {
            rig.append(100).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let figures = rig.end().await;
    assert_eq!(figures["read"], figures["delivered"] + figures["in flight"]);
}

/// Scenario: of a queue that was read to its end the last frame is acknowledged, on another thread, 20,000 times.
/// Guarantees: what is acknowledged at that moment is delivered, and not taken for damaged.
#[tokio::test]
async fn what_is_being_settled_is_not_damaged() {
    const QUEUE: usize = 4;
    let rig = Rig::new(&spool::Config::default());
    let ledger = Arc::clone(&rig.opened.ledger);
    let shared = Arc::new(Shared {
        journal: rig.opened.journal.clone(),
        out: mpsc::channel(1).0,
        flight: Default::default(),
        window: Semaphore::new(1),
        window_bytes: 1,
        have: Default::default(),
        acks: Arc::clone(&rig.opened.acks),
        sent_before: Default::default(),
        gate: Arc::new(Gate::new(0.1, 1, rig.opened.acks.pace())),
        metrics: Arc::default(),
    });
    let numbered = |sequence| Frame {
        epoch: 7,
        sequence,
        source: "logs".to_owned(),
        count: Count { records: 1, bytes: 10 },
        left_out: Vec::new(),
        fate: Fate::Delivered,
    };
    let acknowledges = {
        let shared = Arc::clone(&shared);
        move || (1..=20_000).for_each(|n| while shared.acked(7, n).is_none() {})
    };
    let acknowledging = std::thread::spawn(acknowledges);
    let end = Position::default();
    for n in 1..=20_000 {
        let frame = numbered(n);
        ledger.book(QUEUE).read(&frame);
        let sent = Sent { frame, end, bytes: 1, keyframe: 0, at: Instant::now(), last: None };
        shared.flight().push(QUEUE, sent);
        while ledger.figures("logs")["in flight"] > 0 {
            shared.read_out(QUEUE, shared.acks.newest(QUEUE), end);
        }
    }
    acknowledging.join().unwrap();
    let figures = ledger.figures("logs");
    assert_eq!((figures["read"], figures["delivered"], figures["damaged"]), (20_000, 20_000, 0));
}
