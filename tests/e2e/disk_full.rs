//! A disk budget that is far too small.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::stack::{Stack, metric};
use ao_tests::workspace::report;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Lines of 200 hex digits, which compress to half: 5 MB in a spool of 2 MiB.
const LINES: u64 = 50_000;

/// Scenario: no aggregator; a program writes several times what the spool may hold, while the host is read every second;
/// then the aggregator comes.
/// Guarantees: what was written is what is at Loki and what was counted as shed, in lines and in bytes, exactly; metrics,
/// which are worth more, are all there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shed_is_counted_to_the_byte() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    stack
        .start_agent(
            "collectors: {interval: 1s}\nspool: {budget: 2MiB, segment: 256KiB}\nbatch: {bytes: 64KiB}",
        )
        .await;
    let mut random = StdRng::seed_from_u64(1);
    let mut written = 0;
    let mut file = File::create(stack.files().join("app.log")).unwrap();
    for n in 0..LINES {
        let text: String = (0..25).map(|_| format!("{:08x}", random.random::<u32>())).collect();
        let line = format!("{text} {n}\n");
        written += line.len() as u64;
        file.write_all(line.as_bytes()).unwrap();
    }
    let (admin, logs) = (stack.admin, "source=\"logs\"");
    let ledger = async |what: &str, unit: &str| {
        let name = format!("ao_ledger_{what}_{unit}_total");
        metric(admin, &name, logs).await.unwrap() as u64
    };
    eventually("all lines are read", Duration::from_secs(60), async || {
        let read = ledger("read", "records").await;
        if read == LINES { Ok(()) } else { Err(format!("{read} lines")) }
    })
    .await;
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    // While the rest is on its way, the samples of each second may still cost lines.
    let shed = eventually("the rest is delivered", Duration::from_secs(60), async || {
        let there = loki.recorded().lines.len() as u64;
        let shed = ledger("dropped", "records").await;
        if there + shed >= LINES { Ok(shed) } else { Err(format!("{there} lines, {shed} shed")) }
    })
    .await;
    assert!(shed > LINES / 10, "the spool held nearly all: {shed} lines were shed");

    let lines = loki.lines("");
    let numbers: HashSet<u64> =
        lines.iter().map(|line| line.text.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    // A line's end is a byte of it.
    let delivered: u64 = lines.iter().map(|line| line.text.len() as u64 + 1).sum();
    let shed_bytes = ledger("dropped", "bytes").await;
    assert_eq!((lines.len() as u64 + shed, numbers.len()), (LINES, lines.len()), "each line once");
    assert_eq!(delivered + shed_bytes, written, "{delivered} bytes delivered, {shed_bytes} shed");
    assert_eq!(ledger("read", "bytes").await, written);
    let metrics = metric(admin, "ao_ledger_dropped_records_total", "source=\"collector\"").await.unwrap();
    assert_eq!(metrics, 0.0, "samples were shed");
    report(
        "disk-full",
        &serde_json::json!({
            "written": LINES, "delivered": lines.len(), "shed": shed, "written_bytes": written,
            "delivered_bytes": delivered, "shed_bytes": shed_bytes,
        }),
    );
}
