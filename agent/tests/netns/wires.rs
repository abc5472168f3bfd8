//! Links in user space between two namespaces of kernels: what goes in at one end comes out at the other, or later, or
//! never; each direction by itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;

use crate::lab::Lab;
use crate::scenario::Scenario;
use crate::tun;
use crate::wire::Packet;

/// How long a wire that stalls does so, and works.
const STALL: Duration = Duration::from_millis(300);

/// What befalls the packets of one direction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fate {
    /// Milliseconds.
    pub(crate) delay: f64,
    /// Share that vanishes.
    pub(crate) loss: f64,
    /// Protocols that vanish: icmp, udp, tcp.
    pub(crate) swallows: Vec<String>,
    /// Larger IP packets vanish.
    pub(crate) larger: Option<usize>,
    /// Nothing is taken from the interface half of the time: its queue runs over.
    pub(crate) stalls: bool,
}

/// Both directions, as the link is written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fates {
    /// From left to right.
    pub(crate) there: Fate,
    /// From right to left.
    pub(crate) back: Fate,
}

/// Source and destination ports of the UDP packets that went left to right, with how many came through and were swallowed.
pub(crate) type Ports = BTreeMap<(u16, u16), (u32, u32)>;

/// All wires of a scenario.
pub(crate) struct Wires {
    fates: Arc<Mutex<BTreeMap<String, Fates>>>,
    ports: Arc<Mutex<Ports>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Wires {
    /// Begins to carry packets.
    pub(crate) fn start(scenario: &Scenario, lab: &Lab) -> Self {
        let mut wires =
            Self { fates: Arc::default(), ports: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for (at, link) in scenario.links.iter().enumerate().filter(|(_, link)| scenario.wires.contains(link))
        {
            let (left, right) = link.split_once(' ').unwrap();
            let end =
                |host: &str, side| tun::open_in(&lab.namespace(host), &format!("n{}{side}", at + 1)).unwrap();
            let wire = Wire {
                link: link.clone(),
                ends: [end(left, 'l'), end(right, 'r')],
                fates: Arc::clone(&wires.fates),
                ports: Arc::clone(&wires.ports),
                random: StdRng::seed_from_u64(7),
                waiting: BinaryHeap::new(),
                order: 0,
                begin: Instant::now(),
            };
            let stop = Arc::clone(&wires.stop);
            wires.threads.push(std::thread::spawn(move || {
                tun::hurry();
                wire.run(&stop);
            }));
        }
        wires
    }

    /// What befalls packets from now on.
    pub(crate) fn befall(&self, fates: &BTreeMap<String, Fates>) {
        self.fates.lock().unwrap().extend(fates.clone());
        self.ports.lock().unwrap().clear();
    }

    /// Since the last change.
    pub(crate) fn ports(&self) -> Ports {
        self.ports.lock().unwrap().clone()
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// When, in which order, out of which end, what.
type Late = (Instant, u64, usize, Vec<u8>);

struct Wire {
    link: String,
    /// Left and right.
    ends: [File; 2],
    fates: Arc<Mutex<BTreeMap<String, Fates>>>,
    ports: Arc<Mutex<Ports>>,
    random: StdRng,
    waiting: BinaryHeap<Reverse<Late>>,
    order: u64,
    begin: Instant,
}

impl Wire {
    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 65536];
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while self.waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                let Some(Reverse((_, _, end, packet))) = self.waiting.pop() else { break };
                let _refused = (&self.ends[end]).write(&packet);
            }
            let fates = self.fates.lock().unwrap().get(&self.link).cloned().unwrap_or_default();
            let stalled = (self.begin.elapsed().as_millis() / STALL.as_millis()) % 2 == 1;
            let open: Vec<usize> = [&fates.there, &fates.back]
                .iter()
                .enumerate()
                .filter(|(_, fate)| !(fate.stalls && stalled))
                .map(|(end, _)| end)
                .collect();
            let most = Duration::from_millis(20);
            let next =
                self.waiting.peek().map_or(most, |Reverse((at, ..))| at.saturating_duration_since(now));
            let timeout = Timespec { tv_sec: 0, tv_nsec: next.min(most).as_nanos() as i64 };
            let mut polled: Vec<PollFd<'_>> =
                open.iter().map(|end| PollFd::new(&self.ends[*end], PollFlags::IN)).collect();
            let _signal = poll(&mut polled, Some(&timeout));
            drop(polled);
            for end in open {
                let fate = if end == 0 { &fates.there } else { &fates.back };
                while let Ok(length) = (&self.ends[end]).read(&mut buffer) {
                    self.take(end, fate, &buffer[..length]);
                }
            }
        }
    }

    fn take(&mut self, end: usize, fate: &Fate, bytes: &[u8]) {
        let packet = Packet::parse(bytes);
        let kind = packet.as_ref().and_then(Packet::kind);
        let swallowed = kind.is_some_and(|kind| fate.swallows.iter().any(|one| one == kind))
            || fate.larger.is_some_and(|most| bytes.len() > most)
            || fate.loss > 0.0 && self.random.random_bool(fate.loss);
        if let Some(packet) = packet.filter(|_| end == 0 && kind == Some("udp")) {
            let flow = (packet.source_port().unwrap_or(0), packet.port().unwrap_or(0));
            let mut ports = self.ports.lock().unwrap();
            let (passed, lost) = ports.entry(flow).or_default();
            *(if swallowed { lost } else { passed }) += 1;
        }
        if !swallowed {
            self.order += 1;
            let at = Instant::now() + Duration::from_secs_f64(fate.delay / 1e3);
            self.waiting.push(Reverse((at, self.order, 1 - end, bytes.to_vec())));
        }
    }
}
