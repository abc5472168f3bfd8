//! All processes with the network between them, and what is done to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ao_tests::capture::{Capture, Protocol};
use ao_tests::link::{Link, Weather};
use ao_tests::lives::Moment;
use ao_tests::load::counter;
use ao_tests::loki::Loki;
use ao_tests::process::Process;
use ao_tests::prometheus::Prometheus;
use ao_tests::stack::Stack;
use ao_tests::tempo::Tempo;
use tokio::time::timeout;

use crate::disk;
use crate::frames::Frames;
use crate::plan::{Fault, Manner, Target};

/// Room for what is not acknowledged through the longest outage, and little more.
const AGENT_DISK_MIB: u32 = 96;
const AGGREGATOR_DISK_MIB: u32 = 256;
/// How long a process may take to end when it is asked to.
const TO_END: Duration = Duration::from_secs(30);
/// Between two rounds of the collectors.
const ROUND: Duration = Duration::from_secs(1);
/// A step of the clock.
const HOUR_NS: i64 = 3_600_000_000_000;
/// Timeout of the requests to the sinks: shorter than the long faults, so that some requests end without an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) prometheus: Prometheus,
    pub(crate) loki: Arc<Loki>,
    pub(crate) tempo: Arc<Tempo>,
    uplink: Link,
    to_prometheus: Link,
    to_loki: Link,
    to_tempo: Link,
    /// What passed on the ways to Prometheus, Loki and Tempo.
    pub(crate) captures: [Capture; 3],
    /// Frames that were sent again, of the processes that have ended.
    frames: Frames,
    /// Why no disk can be filled, where that is so.
    pub(crate) no_disks: Option<String>,
    /// Processes that are not to run now.
    down: BTreeSet<Target>,
    /// What should never happen, and did.
    pub(crate) findings: Vec<String>,
}

impl World {
    /// Starts everything in a folder.
    pub(crate) async fn start(folder: &Path, can_mount: Result<(), String>) -> Self {
        let mut stack = Stack::keeping(folder);
        let disks = [("ao-agent", AGENT_DISK_MIB), ("ao-aggregator", AGGREGATOR_DISK_MIB)];
        let no_disks = can_mount
            .and_then(|()| disks.iter().try_for_each(|(name, mib)| disk::mount(&stack.data(name), *mib)))
            .err();
        for name in ["ao-agent", "ao-aggregator"] {
            set_clock(folder, name, 0).expect("a file can be written");
            stack.environment.push((name, "AO_TEST_CLOCK", clock(folder, name)));
        }
        let prometheus = Prometheus::start(&folder.join("prometheus")).await;
        let (loki, tempo) = (Arc::new(Loki::start().await), Arc::new(Tempo::start().await));
        let captures = [Protocol::Http1, Protocol::Http1, Protocol::Http2].map(Capture::new);
        let urls = [&prometheus.url, &loki.url, &tempo.url];
        let link = |n: usize| {
            let address = urls[n].trim_start_matches("http://").parse().expect("an address");
            Link::watched(address, &captures[n])
        };
        let (to_prometheus, to_loki, to_tempo) = (link(0), link(1), link(2));
        let uplink = Link::to(stack.ingest);
        stack.uplink = Some(uplink.address);
        let seconds = TIMEOUT.as_secs();
        let sinks = format!(
            "{{prometheus: {{url: \"http://{}/api/v1/write\", timeout: {seconds}s}}, \
             loki: {{url: \"http://{}/loki/api/v1/push\", timeout: {seconds}s}}, \
             tempo: {{url: \"http://{}\", timeout: {seconds}s}}}}",
            to_prometheus.address, to_loki.address, to_tempo.address
        );
        let more = "fanout: {retry_base: 100ms, retry_cap: 2s, held_every: 1s}\njournal: {budget: 160MiB, segment: 4MiB}";
        stack.start_aggregator(&sinks, more).await;
        stack.start_agent(&agent(folder, &counter::COLLECTORS)).await;
        let (down, findings) = (BTreeSet::new(), Vec::new());
        Self {
            stack,
            prometheus,
            loki,
            tempo,
            uplink,
            to_prometheus,
            to_loki,
            to_tempo,
            captures,
            frames: Frames::default(),
            no_disks,
            down,
            findings,
        }
    }

    /// Stops the agent cleanly and starts it without its collectors, so that what it has read does not grow.
    pub(crate) async fn stop_collecting(&mut self) {
        self.count_frames(Target::Agent).await;
        self.stack.agent().ask_to_end();
        self.ended(Target::Agent).await;
        let folder = self.stack.folder().to_owned();
        self.stack.start_agent(&agent(&folder, &[])).await;
    }

    /// Does it. `false` where this machine does not allow it.
    pub(crate) async fn begin(&mut self, fault: &Fault) -> bool {
        let target = fault.target;
        if matches!(fault.manner, Manner::Kill | Manner::TornTail | Manner::Restart) {
            self.count_frames(target).await;
        }
        match fault.manner {
            Manner::Kill | Manner::Restart if matches!(target, Target::Loki | Target::Tempo) => {
                let moments = [Moment::Now, Moment::BeforeTaking, Moment::AfterTaking];
                let moment = if fault.manner == Manner::Restart {
                    Moment::Idle
                } else {
                    moments[(fault.dice % 3) as usize]
                };
                match target {
                    Target::Loki => self.loki.kill(moment).await,
                    _ => self.tempo.kill(moment).await,
                }
            }
            Manner::Kill | Manner::TornTail => {
                self.process(target).kill();
                self.down.insert(target);
                if fault.manner == Manner::TornTail
                    && let Err(error) = disk::tear(&self.stack.data(data(target)), fault.dice)
                {
                    self.findings.push(format!("{}: {error}", fault.name()));
                }
            }
            Manner::Restart => {
                self.process(target).ask_to_end();
                self.down.insert(target);
            }
            Manner::Freeze => self.process(target).freeze(),
            Manner::DiskFull if self.no_disks.is_some() => return false,
            Manner::DiskFull => {
                if let Err(error) = disk::fill(&self.stack.data(data(target)), fault.dice) {
                    self.findings.push(format!("{}: {error}", fault.name()));
                }
            }
            Manner::Clock => {
                let hour = if fault.dice.is_multiple_of(2) { HOUR_NS } else { -HOUR_NS };
                self.set_clock(fault, hour);
            }
            Manner::Cut => self.link(target).set(Weather::Cut),
            Manner::Stall => self.link(target).set(Weather::Stalled),
            Manner::Delay => {
                self.link(target).set(Weather::Slow(Duration::from_millis(50 + fault.dice % 1_000)));
            }
            Manner::Throttle => {
                let rate = u32::try_from(fault.dice % 60_000).unwrap_or_default();
                self.link(target).set(Weather::Narrow(4_000 + rate));
            }
        }
        true
    }

    /// Undoes it.
    pub(crate) async fn end(&mut self, fault: &Fault) {
        let target = fault.target;
        match fault.manner {
            Manner::Kill | Manner::Restart if target == Target::Loki => self.loki.restart(),
            Manner::Kill | Manner::Restart if target == Target::Tempo => self.tempo.restart(),
            Manner::Kill | Manner::TornTail => self.launch(target),
            Manner::Restart => {
                self.ended(target).await;
                self.launch(target);
            }
            Manner::Freeze => self.process(target).thaw(),
            Manner::DiskFull => {
                if let Err(error) = disk::free(&self.stack.data(data(target))) {
                    self.findings.push(format!("{}: {error}", fault.name()));
                }
            }
            Manner::Clock => self.set_clock(fault, 0),
            Manner::Cut | Manner::Stall | Manner::Delay | Manner::Throttle => {
                self.link(target).set(Weather::Fine);
            }
        }
    }

    /// Whoever ended by itself is a finding, and is started again.
    pub(crate) fn look_after(&mut self) {
        for target in [Target::Agent, Target::Aggregator, Target::Prometheus] {
            if !self.down.contains(&target) && !self.process(target).is_running() {
                self.findings.push(format!("{target:?} ended by itself"));
                self.launch(target);
            }
        }
    }

    /// Adds what a process has counted, before it ends.
    async fn count_frames(&mut self, target: Target) {
        let frames = self.frames_of(target).await;
        self.frames.add(&frames);
    }

    /// Of the processes as they are now. One that does not answer is a finding.
    async fn frames_of(&mut self, target: Target) -> Frames {
        let (agent, aggregator) = (self.stack.admin, self.stack.http);
        if !matches!(target, Target::Agent | Target::Aggregator) {
            return Frames::default();
        }
        // A process that has only just begun may not have an answer yet.
        let asked = async {
            let mut tries = 1..10;
            loop {
                let counted = match target {
                    Target::Agent => Frames::of_agent(agent).await,
                    _ => Frames::of_aggregator(aggregator).await,
                };
                if counted.is_ok() || tries.next().is_none() {
                    return counted;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let counted = timeout(TIMEOUT, asked).await;
        counted.unwrap_or_else(|_| Err("no answer".to_owned())).unwrap_or_else(|error| {
            self.findings.push(format!("{target:?} cannot be asked for its frames: {error}"));
            Frames::default()
        })
    }

    /// Frames that were sent again, up to now.
    pub(crate) async fn frames(&mut self) -> Frames {
        let mut all = self.frames.clone();
        for target in [Target::Agent, Target::Aggregator] {
            all.add(&self.frames_of(target).await);
        }
        all
    }

    fn set_clock(&mut self, fault: &Fault, offset_ns: i64) {
        if let Err(error) = set_clock(self.stack.folder(), data(fault.target), offset_ns) {
            self.findings.push(format!("{}: {error}", fault.name()));
        }
    }

    fn launch(&mut self, target: Target) {
        match target {
            Target::Agent => self.stack.relaunch_agent(),
            Target::Aggregator => self.stack.relaunch_aggregator(),
            _ => self.prometheus.launch(),
        }
        self.down.remove(&target);
    }

    /// Waits for the end of a process that was asked to end.
    async fn ended(&mut self, target: Target) {
        let deadline = tokio::time::Instant::now() + TO_END;
        while self.process(target).is_running() {
            if tokio::time::Instant::now() > deadline {
                self.findings.push(format!("{target:?} did not end within {TO_END:?} of SIGTERM"));
                self.process(target).kill();
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn process(&mut self, target: Target) -> &mut Process {
        match target {
            Target::Agent => self.stack.agent(),
            Target::Aggregator => self.stack.aggregator(),
            // The others are servers in this process; the plan has none of them.
            _ => self.prometheus.process(),
        }
    }

    fn link(&self, target: Target) -> &Link {
        match target {
            Target::Prometheus => &self.to_prometheus,
            Target::Loki => &self.to_loki,
            Target::Tempo => &self.to_tempo,
            _ => &self.uplink,
        }
    }

    /// Process ids of agent and aggregator.
    pub(crate) fn ids(&mut self) -> [u32; 2] {
        [self.stack.agent().id(), self.stack.aggregator().id()]
    }
}

/// Where a process finds how far its wall clock is off.
fn clock(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.clock"))
}

/// In one step.
fn set_clock(folder: &Path, name: &str, offset_ns: i64) -> std::io::Result<()> {
    let (path, new) = (clock(folder, name), folder.join("clock.new"));
    std::fs::write(&new, offset_ns.to_string())?;
    std::fs::rename(new, path)
}

/// Folder of the state of a target.
fn data(target: Target) -> &'static str {
    if target == Target::Agent { "ao-agent" } else { "ao-aggregator" }
}

/// The agent's sections.
fn agent(folder: &Path, collectors: &[&str]) -> String {
    counter::agent(&folder.join("proc"), ROUND, collectors) + "spool: {budget: 64MiB, segment: 1MiB}\n"
}
