//! A log storm: numbered lines of 216 bytes into 100 containers' logs, rotated as a kubelet does it, while the agent,
//! held to a share of a processor, is killed and started again; and a count of what became of each line.
//!
//! | room | what it holds |
//! |---|---|
//! | `line` | the text of a line, which says which it is |
//! | `containers` | who writes them, at a rate |
//! | `kubelet` | who rotates, compresses and deletes the logs |
//! | `tally` | which of them came, a bit for each |
//! | [`outcome`] | the table, and `target/report/log-storm.json` |
//!
//! First the agent reads as fast as its share allows. Then lines come at about that rate, and none may be lost. Then
//! they come 1.2 times as fast, and again, until files are given up unread: what is lost must be what the agent's ledger
//! says, to the byte. The rate before that one is R, since the agent sustained it. (Where files are given up at the first
//! rate, it is lowered as well until none are.)

pub mod containers;
pub mod kubelet;
pub mod line;
pub mod outcome;
pub mod tally;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use self::containers::Containers;
use self::kubelet::Kubelet;
use self::outcome::{Count, Outcome, Phase};
use self::tally::Tally;
use crate::loki::Loki;
use crate::process::{Process, memory};
use crate::prometheus::get;
use crate::quota::Quota;
use crate::stack::{Stack, values};

/// Containers, each with one log.
pub const FILES: usize = 100;
/// So many of them write much more than the rest: their logs are those that are rotated away.
pub const HOT: usize = 4;
/// Share of all lines that is theirs.
pub const HOT_SHARE: f64 = 0.2;
/// From one rate to the next.
const FASTER: f64 = 1.2;
/// Rates at most.
const RATES: usize = 6;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Between two questions to the agent, whose answers cost it some of its share.
const ASK: Duration = Duration::from_secs(1);
/// Lines that the agent always has before it while its speed is measured, beyond those of two questions.
const AHEAD: u64 = 8_000;
/// So long after the last progress, what is not there is lost.
const PATIENCE: Duration = Duration::from_secs(45);
/// So long for what comes although all is there: a line that comes again.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// How long and how large.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Share of a processor for the agent.
    pub cores: f64,
    /// How long its speed is measured.
    pub measure: Duration,
    /// The first rate, of what the agent has read at most: its restarts cost something, too, and a machine is not always
    /// alike.
    pub first: f64,
    /// How long lines come at the first rate.
    pub steady: Duration,
    /// How long at the next ones, if nothing is given up.
    pub over: Duration,
    /// How long the agent reads between two of its ends.
    pub kill_every: Duration,
    /// Size of a log at which it is rotated; `None`: so that the larger ones are rotated every so often.
    pub rotate: Option<u64>,
    /// Budget of the agent for files that went unread, bytes; `None`: what the larger ones get in so long at the first rate.
    pub escrow: Option<u64>,
    /// Where everything lies; a temporary folder where left out.
    pub folder: Option<PathBuf>,
}

/// How often the larger logs are rotated where the plan says no size.
const ROTATED_EVERY: Duration = Duration::from_millis(800);
/// What the larger ones get in so long may be kept unread where the plan says no size: longer than a start takes on a
/// busy machine.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// Nothing that costs the agent its share but the logs. Nobody names pods here, so that lines would wait for that.
const QUIET: &str = "enrich: {wait: 0s}\ncollectors: {interval: 1h}\ncontainers: {enabled: false}\nlatency: {targets: []}\n\
                     path: {targets: []}";

/// Bytes of all larger logs at so many lines a second.
fn hot_bytes(rate: u64, time: Duration) -> u64 {
    (rate as f64 * HOT_SHARE * line::BYTES as f64 * time.as_secs_f64()) as u64
}

/// Name of a container's pod.
pub fn pod(file: usize) -> String {
    format!("storm-{file:03}")
}

/// Runs it all.
///
/// # Panics
/// Where a process or a folder is not to be had.
pub async fn run(plan: &Plan) -> Outcome {
    // In this order, so that the processes end first and the group is empty when it goes.
    let quota = Quota::new(plan.cores);
    let mut stack = plan.folder.as_deref().map_or_else(Stack::new, Stack::keeping);
    let containers = Containers::start(&stack.pods());
    let kubelet = Kubelet::start(&containers);
    let tally = Arc::new(Mutex::new(Tally::new(Arc::clone(&containers.written))));
    let taker = Arc::clone(&tally);
    let loki = Loki::handing_on(move |line| lock(&taker).take(line)).await;
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    stack.start_agent(QUIET).await;
    quota.hold(stack.agent().id());
    let mut storm = Storm {
        plan: plan.clone(),
        quota,
        stack,
        containers,
        kubelet,
        tally,
        seen: Count::default(),
        asked: None,
        reads_since: None,
        resident_mib: 0,
    };

    let fastest = storm.measure().await;
    let mut rate = (fastest * plan.first) as u64;
    let escrow = plan.escrow.unwrap_or_else(|| hot_bytes(rate, KEPT_FOR));
    storm.keep(escrow).await;
    let mut phases = vec![storm.phase(rate, plan.steady).await];
    // The machine may be slower than it was.
    while phases.len() < RATES && phases[0].count.ledger_bytes > 0 {
        rate = (rate as f64 / FASTER) as u64;
        phases.insert(0, storm.phase(rate, plan.steady).await);
    }
    while phases.len() < RATES && phases.iter().all(|phase| phase.count.ledger_bytes == 0) {
        rate = (rate as f64 * FASTER) as u64;
        phases.push(storm.phase(rate, plan.over).await);
    }
    storm.outcome((fastest, escrow), phases, &loki)
}

/// What is wrong with a process in the end.
fn unwell(name: &str, process: &mut Process) -> Vec<String> {
    let ended = (!process.is_running()).then(|| format!("the {name} has ended by itself"));
    let log = process.log();
    let panics = log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned);
    ended.into_iter().chain(panics).collect()
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Storm {
    plan: Plan,
    stack: Stack,
    containers: Containers,
    kubelet: Kubelet,
    tally: Arc<Mutex<Tally>>,
    /// The newest count; of the ledger, the newest that the agent gave.
    seen: Count,
    /// When the agent was last asked.
    asked: Option<Instant>,
    /// Since when it is known to read.
    reads_since: Option<Instant>,
    /// The most that the agent held.
    resident_mib: u64,
    // Behind the processes, so that its group is empty when it goes.
    quota: Quota,
}

impl Storm {
    /// Lines a second of an agent that always has some before it.
    async fn measure(&mut self) -> f64 {
        let (begin, mut from) = (Instant::now(), None);
        // What the agent was last known to have read, when, and how fast it was until then.
        let (mut known, mut at, mut speed) = (0, begin, 0.0);
        loop {
            let (read, now) = (self.look().await.read, Instant::now());
            assert!(now - at < PATIENCE, "the agent reads nothing");
            if read > known {
                speed = (read - known) as f64 / (now - at).as_secs_f64();
                (known, at) = (read, now);
                if now - begin >= self.plan.measure / 3 {
                    let (since, before) = *from.get_or_insert((now, read));
                    if now - begin >= self.plan.measure && now > since {
                        self.drain(Duration::ZERO).await;
                        return (read - before) as f64 / (now - since).as_secs_f64();
                    }
                }
            }
            // So much that it is never idle between two questions, and so little that the rest is soon done.
            let ahead = ASK.as_secs_f64() * 2.0 * speed;
            self.containers.write(1_000_000, known + AHEAD + ahead as u64);
        }
    }

    /// Lines at a rate for some time, or until something has been given up and the agent was killed once more. It is killed
    /// when it has read for some time, and not by the clock: a busy machine may take long to start it.
    async fn phase(&mut self, rate: u64, length: Duration) -> Phase {
        let (before, rotated) = (self.look().await, self.kubelet.rotated());
        let begin = Instant::now();
        let rotate = self.plan.rotate.unwrap_or(hot_bytes(rate, ROTATED_EVERY) / HOT as u64);
        self.kubelet.rotate_at(rotate);
        let (mut kills, mut end, mut behind, mut given_up) = (0, begin + length, 0, false);
        self.containers.write(rate, u64::MAX);
        let mut time = self.plan.kill_every / 2;
        while Instant::now() < end {
            let now = self.look().await;
            behind = now.written.saturating_sub(now.read);
            if now.ledger_bytes > before.ledger_bytes && !given_up {
                given_up = true;
                end = Instant::now() + self.plan.kill_every;
            }
            if self.reads_since.is_some_and(|since| since.max(begin).elapsed() >= time) {
                self.kill();
                kills += 1;
                time = self.plan.kill_every;
                if given_up {
                    break;
                }
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        self.drain(AFTERWARDS).await;
        let count = self.seen.since(&before);
        let rotated = self.kubelet.rotated() - rotated;
        let drained_s = begin.elapsed().as_secs_f64() - seconds;
        Phase { rate, rotate, seconds, kills, rotated, behind, drained_s, count }
    }

    /// kill -9, and starts it again.
    fn kill(&mut self) {
        self.end();
        self.stack.relaunch_agent();
        self.quota.hold(self.stack.agent().id());
    }

    /// The same with another budget.
    async fn keep(&mut self, escrow: u64) {
        self.end();
        self.stack.logs = format!("escrow: {escrow}B, ");
        self.stack.start_agent(QUIET).await;
        self.quota.hold(self.stack.agent().id());
    }

    fn end(&mut self) {
        self.resident_mib = self.resident_mib.max(memory(self.stack.agent().id(), "VmHWM:"));
        self.kubelet.keep_all(true);
        self.reads_since = None;
        self.quota.release();
        self.stack.agent().kill();
    }

    /// Waits until every line is there or said to be lost, and for so long afterwards, or until no more come.
    async fn drain(&mut self, afterwards: Duration) {
        self.containers.write(0, u64::MAX);
        let (mut last, mut since) = (self.look().await, Instant::now());
        loop {
            let now = self.look().await;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let settled = now.delivered + now.ledger_lost() >= now.written;
            if since.elapsed() >= if settled { afterwards } else { PATIENCE } {
                return;
            }
        }
    }

    /// Counts everything.
    async fn look(&mut self) -> Count {
        sleep(LOOK).await;
        // The ledger first: what it says is lost does not come afterwards.
        let is_time = self.asked.is_none_or(|at| at.elapsed() > ASK);
        if is_time && let Ok((200, text)) = get(&format!("http://{}/metrics", self.stack.admin)).await {
            let lost =
                |labels: &str| values(&text, "ao_ledger_dropped_bytes_total", labels).sum::<f64>() as u64;
            // It has looked at all files before it reads any.
            if values(&text, "ao_logs_lines_total", "").sum::<f64>() > 0.0 {
                self.reads_since.get_or_insert_with(Instant::now);
                self.kubelet.keep_all(false);
            }
            let (all, abandoned) = (lost("source=\"logs\""), lost("reason=\"abandoned\""));
            self.asked = Some(Instant::now());
            self.seen.read =
                values(&text, "ao_ledger_read_records_total", "source=\"logs\"").sum::<f64>() as u64;
            self.seen.ledger_bytes = abandoned;
            self.seen.ledger_other_bytes = all.saturating_sub(abandoned);
        }
        let tally = lock(&self.tally);
        let counts = tally.counts();
        self.seen.written = self.containers.written.lines();
        (self.seen.delivered, self.seen.split) = (counts.delivered, counts.split);
        (self.seen.double, self.seen.misplaced) = (counts.double, counts.misplaced);
        self.seen
    }

    fn outcome(mut self, (fastest, escrow): (f64, u64), phases: Vec<Phase>, loki: &Loki) -> Outcome {
        let mut findings = loki.recorded().violations.clone();
        findings.extend(unwell("agent", self.stack.agent()));
        findings.extend(unwell("aggregator", self.stack.aggregator()));
        let tally = lock(&self.tally);
        findings.extend(tally.counts().examples.iter().cloned());
        self.resident_mib = self.resident_mib.max(memory(self.stack.agent().id(), "VmHWM:"));
        Outcome {
            cores: self.plan.cores,
            held_by: self.quota.by(),
            fastest,
            escrow,
            phases,
            all: self.seen,
            gaps: tally.gaps(),
            resident_mib: self.resident_mib,
            findings,
        }
    }
}
