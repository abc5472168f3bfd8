//! The spool's budget is spent while frames of what it sheds are under way.

use ao_common::units::{Size, Span};

use super::*;

/// Several times what the spool may hold.
const FRAME: usize = 64 << 10;
const FRAMES: u64 = 96;

fn tight() -> spool::Config {
    spool::Config { budget: Size::mib(2), segment: Size(256 << 10), ..spool::Config::default() }
}

/// An agent that is connected and has delivered a frame. It never leaves a silent aggregator: how long that is silent
/// here is as long as the disk takes for all frames.
async fn connected(addresses: Vec<String>) -> Rig {
    let mut rig = Rig::new(&tight());
    rig.config.failover = Span::secs(600);
    rig.connect(addresses);
    rig.append_stored(FRAME).await;
    settled(&rig, |figures| figures["delivered"] == 1).await;
    rig
}

async fn settled(rig: &Rig, is_so: impl Fn(&BTreeMap<String, u64>) -> bool) {
    let waiting = async {
        while !is_so(&rig.opened.ledger.figures("logs")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(done.is_ok(), "{:?}", rig.opened.ledger.figures("logs"));
}

/// Each frame was delivered or shed, as the aggregator has it, and some were delivered that had been shed.
async fn is_exact(rig: Rig, fake: &Fake) {
    settled(&rig, |figures| figures["in flight"] == 0).await;
    let rescued = rig.opened.ledger.lines()[&("logs", "logs".to_owned())].settled.rescued.records;
    let figures = rig.end().await;
    let arrived = lines(fake).len() as u64;
    assert_eq!((figures["delivered"], figures["shed"]), (arrived, FRAMES - arrived), "{rescued} rescued");
    assert!(rescued > 0 && figures["shed"] > 0, "{rescued} rescued of {figures:?}");
}

/// Scenario: the link stands still while frames are under way and the spool sheds what they lie in; then it goes on.
/// Guarantees: what is acknowledged yet counts as delivered and not as shed; at every moment what was dropped so far never
/// shrinks.
#[tokio::test]
async fn what_is_acknowledged_late_was_not_lost() {
    let fake = Fake::default();
    let (address, cable) = fake.serve().await;
    let mut rig = connected(vec![address]).await;
    cable.freeze();
    let mut shed = 0;
    for _ in 1..FRAMES {
        rig.append_stored(FRAME).await;
        let figures = rig.opened.ledger.figures("logs");
        assert!(figures["shed"] >= shed);
        shed = figures["shed"];
    }
    cable.thaw();
    settled(&rig, |figures| figures["in flight"] == 0 && figures["shed"] >= shed).await;
    is_exact(rig, &fake).await;
}

/// Scenario: an aggregator takes frames and dies before it has acknowledged them; the spool sheds what they lie in; it
/// comes back.
/// Guarantees: what it has counts as delivered, what it has not as shed.
#[tokio::test]
async fn what_arrived_without_an_answer_was_not_lost() {
    let fake = Fake::default();
    let (first, cable) = fake.serve().await;
    let (second, _cable) = fake.serve().await;
    let mut rig = connected(vec![first, second]).await;
    fake.lock().mute = true;
    for _ in 1..FRAMES {
        rig.append_stored(FRAME).await;
    }
    // What is still on the cable then comes beside the next greeting.
    let sent = || {
        let of = |lane| rig.metrics.sent_frames.get_or_create(&QueueLabel { class: "logs", lane }).get();
        of("fresh") + of("backlog")
    };
    settled(&rig, |_| lines(&fake).len() as u64 == sent()).await;
    fake.lock().mute = false;
    cable.kill();
    is_exact(rig, &fake).await;
}
