//! A disk budget that is far too small for what is read while there is no aggregator.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::process::memory;
use ao_tests::prometheus::get;
use ao_tests::stack::{Stack, metric};
use ao_tests::workspace::report;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Lines of 200 hex digits, which compress to half: 5 MB in a spool of 2 MiB.
const LINES: u64 = 50_000;

/// A program that writes a file.
struct Program {
    file: File,
    random: StdRng,
}

impl Program {
    fn start(stack: &Stack) -> Self {
        let file = File::create(stack.files().join("app.log")).unwrap();
        Self { file, random: StdRng::seed_from_u64(1) }
    }

    /// Returns the bytes.
    fn write(&mut self, numbers: Range<u64>) -> u64 {
        let mut block = String::new();
        for n in numbers {
            let text: String = (0..25).map(|_| format!("{:08x}", self.random.random::<u32>())).collect();
            block.push_str(&format!("{text} {n}\n"));
        }
        self.file.write_all(block.as_bytes()).unwrap();
        block.len() as u64
    }
}

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
            "collectors: {interval: 1s}\nspool: {budget: 2MiB, segment: 256KiB}\nbatch: {bytes: 64KiB}\n\
             latency: {targets: []}\npath: {targets: []}",
        )
        .await;
    let written = Program::start(&stack).write(0..LINES);
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

/// Of the spool in the next test.
const BUDGET: u64 = 4 << 20;
const SEGMENT: u64 = 512 << 10;
/// Its hours, and the lines of each: 2 MiB in the spool.
const HOURS: u64 = 6;
const LINES_AN_HOUR: u64 = 20_000;
/// What the agent's memory may grow by, in MiB: 16 for frames that wait for the disk, 8 for the journal's queue, as much
/// for what is read and compressed, and the allocator's slack.
const PEAK_MIB: u64 = 64;
/// What all further hours may add to what the first two, in which the budget is filled, have left.
const MORE_MIB: u64 = 16;

/// Between two looks at the spool.
const LOOK: Duration = Duration::from_millis(2);

/// All segments that there are.
fn segments(spool: &Path) -> HashSet<PathBuf> {
    let queues = std::fs::read_dir(spool).into_iter().flatten().flatten();
    let files = queues.flat_map(|queue| std::fs::read_dir(queue.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|name| name == "seg")).collect()
}

/// Bytes of all segments. `None` where one was deleted meanwhile: its bytes and those that came in their place were never
/// there together.
fn spooled(spool: &Path) -> Option<u64> {
    let before = segments(spool);
    let bytes = before.iter().map(|path| Some(path.metadata().ok()?.len())).sum::<Option<u64>>()?;
    before.is_subset(&segments(spool)).then_some(bytes)
}

/// Scenario: no aggregator for hours, each of which brings half of what the spool may hold, in lines, beside the host's
/// samples; then it comes.
/// Guarantees: all the time the agent lives and reads its files and its host, its memory does not grow from hour to hour,
/// and its spool stays within its budget but for a segment; lines are shed, what came first in the outage and samples
/// are not; in the end what was delivered and what was shed is what was read, for lines and samples alike.
#[tokio::test(flavor = "multi_thread")]
async fn hours_without_an_aggregator() {
    let begin = Instant::now();
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let sizes = format!("spool: {{budget: {BUDGET}B, segment: {SEGMENT}B}}\nbatch: {{bytes: 64KiB}}");
    let sources = "collectors: {interval: 1s}\nlatency: {targets: []}\npath: {targets: []}";
    stack.start_agent(&format!("{sources}\n{sizes}")).await;
    let (admin, pid) = (stack.admin, stack.agent().id());
    let of = async |what: &str, source: &str| {
        let name = format!("ao_ledger_{what}_records_total");
        metric(admin, &name, &format!("source=\"{source}\"")).await.map(|count| count as u64)
    };
    let reads = async |source: &str, least: u64| {
        eventually(&format!("{source} is read"), Duration::from_secs(60), async || {
            let read = of("read", source).await?;
            if read >= least { Ok(read) } else { Err(format!("{read} of {least}")) }
        })
        .await
    };
    let mut samples = reads("collector", 1).await;
    let before = memory(pid, "VmRSS:");
    let spool = stack.data("ao-agent").join("spool");
    let look = spool.clone();
    let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
    let looking = tokio::task::spawn_blocking(move || {
        let (mut most, mut looks) = (0, 0);
        while matches!(ended.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
            if let Some(bytes) = spooled(&look) {
                (most, looks) = (bytes.max(most), looks + 1);
            }
            std::thread::park_timeout(LOOK);
        }
        (most, looks)
    });
    let mut program = Program::start(&stack);
    let (mut resident, mut shed) = (Vec::new(), Vec::new());
    for hour in 0..HOURS {
        program.write(hour * LINES_AN_HOUR..(hour + 1) * LINES_AN_HOUR);
        reads("logs", (hour + 1) * LINES_AN_HOUR).await;
        samples = reads("collector", samples + 1).await;
        assert_eq!(get(&format!("http://{admin}/healthz")).await.unwrap().0, 200);
        resident.push(memory(pid, "VmRSS:"));
        shed.push(of("dropped", "logs").await.unwrap());
    }
    end.send(()).unwrap();
    let ((most, looks), peak) = (looking.await.unwrap(), memory(pid, "VmHWM:"));
    assert!(
        (BUDGET - 2 * SEGMENT..=BUDGET + SEGMENT).contains(&most),
        "{most} bytes in the spool in {looks} looks"
    );
    assert!(peak <= before + PEAK_MIB, "{before} MiB at first, {peak} at the worst");
    let settled = resident[1];
    assert!(resident.iter().all(|mib| *mib <= settled + MORE_MIB), "{resident:?} MiB after each hour");
    assert_eq!(shed[0], 0, "the first hour has room");
    assert!(shed[1..].is_sorted() && shed[HOURS as usize - 1] > LINES_AN_HOUR, "{shed:?} lines were shed");
    assert_eq!(of("dropped", "collector").await.unwrap(), 0, "samples were shed before lines");

    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    let lines = HOURS * LINES_AN_HOUR;
    let shed_in_all = eventually("the rest is delivered", Duration::from_secs(60), async || {
        let there = loki.recorded().lines.len() as u64;
        let shed = of("dropped", "logs").await?;
        if there + shed >= lines { Ok(shed) } else { Err(format!("{there} lines, {shed} shed")) }
    })
    .await;
    let numbers: HashSet<u64> =
        loki.lines("").iter().map(|line| line.text.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    let delivered = loki.recorded().lines.len() as u64;
    assert_eq!((delivered + shed_in_all, numbers.len() as u64), (lines, delivered), "each line once");
    assert!((0..100).all(|n| numbers.contains(&n)), "what came first is fresh: it goes last");
    eventually("the books agree", Duration::from_secs(20), async || {
        for source in ["logs", "collector"] {
            let (read, gone, there) =
                (of("read", source).await?, of("dropped", source).await?, of("delivered", source).await?);
            let labels = format!("source=\"{source}\"");
            let received = metric(stack.http, "ao_ledger_received_records_total", &labels).await? as u64;
            // The host is read on: between two looks there may be more.
            let agree = there + gone <= read && there <= received && read <= received + gone;
            if !agree {
                return Err(format!(
                    "{source}: {read} read, {there} delivered, {received} received, {gone} shed"
                ));
            }
        }
        Ok(())
    })
    .await;
    assert_eq!(of("dropped", "collector").await.unwrap(), 0);
    report(
        "hours-without-an-aggregator",
        &serde_json::json!({
            "hours": HOURS, "lines": lines, "delivered": delivered, "shed": shed_in_all, "samples_shed": 0,
            "budget_bytes": BUDGET, "spool_bytes_peak": most, "mib_before": before, "mib_peak": peak,
            "mib_after_each": resident, "mib_peak_bound": PEAK_MIB, "seconds": begin.elapsed().as_secs_f64(),
        }),
    );
}
