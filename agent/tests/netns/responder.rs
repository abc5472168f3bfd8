//! The network in user space: a thread behind a TUN device that answers as the routers and targets of a scenario would.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::scenario::{Hop, Scenario, Spread};
use crate::tun;
use crate::wire::Packet;

/// The device that `lab.rs` makes.
pub(crate) const DEVICE: &str = "net0";

/// So many packets have lost their share exactly.
const DECK: usize = 20;

/// What may befall a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Chance {
    Loss,
    Silence,
}

/// A running network.
pub(crate) struct Responder {
    ways: Arc<Mutex<Vec<Vec<String>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub(crate) fn start(scenario: &Scenario) -> Self {
        let file = tun::open(DEVICE).unwrap();
        let ways = Arc::new(Mutex::new(split(&scenario.ways)));
        let stop = Arc::<AtomicBool>::default();
        let mut network = Network {
            hops: scenario.hops.clone(),
            ways: Arc::clone(&ways),
            spread: scenario.spread,
            random: StdRng::seed_from_u64(7),
            packets: 0,
            decks: HashMap::new(),
            free_at: HashMap::new(),
            empty_at: Instant::now(),
            begin: Instant::now(),
        };
        let ends = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            tun::hurry();
            network.run(&file, &ends);
        });
        Self { ways, stop, thread: Some(thread) }
    }

    /// Other ways from now on.
    pub(crate) fn lead(&self, ways: &[String]) {
        *self.ways.lock().unwrap() = split(ways);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn split(ways: &[String]) -> Vec<Vec<String>> {
    ways.iter().map(|way| way.split_whitespace().map(str::to_owned).collect()).collect()
}

struct Network {
    hops: std::collections::BTreeMap<String, Hop>,
    ways: Arc<Mutex<Vec<Vec<String>>>>,
    spread: Spread,
    random: StdRng,
    packets: u64,
    /// What befalls the next packets of a hop and TTL.
    decks: HashMap<(String, u8, Chance), Vec<bool>>,
    /// When a router with a limit answers again.
    free_at: HashMap<String, Instant>,
    /// When there was last nothing to read: what is read now came later.
    empty_at: Instant,
    begin: Instant,
}

impl Network {
    fn run(&mut self, mut file: &File, stop: &AtomicBool) {
        let mut waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
        let (mut buffer, mut order) = (vec![0; 65536], 0);
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                let Some(Reverse((_, _, packet))) = waiting.pop() else { break };
                let _refused = file.write(&packet);
            }
            let next = waiting
                .peek()
                .map_or(Duration::from_millis(50), |Reverse((at, ..))| at.saturating_duration_since(now));
            let timeout =
                Timespec { tv_sec: 0, tv_nsec: next.min(Duration::from_millis(50)).as_nanos() as i64 };
            let _signal = poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout));
            while let Ok(length) = file.read(&mut buffer) {
                let Some(packet) = Packet::parse(&buffer[..length]) else { continue };
                for (delay, answer) in self.pass(&packet) {
                    order += 1;
                    waiting.push(Reverse((Instant::now() + delay, order, answer)));
                }
            }
            self.empty_at = Instant::now();
        }
    }

    /// What comes back of a packet, and when.
    fn pass(&mut self, packet: &Packet) -> Vec<(Duration, Vec<u8>)> {
        let Some(kind) = packet.kind() else { return Vec::new() };
        let way = self.way(packet);
        let mut delay = 0.0;
        for (at, name) in way.iter().enumerate() {
            let hop = self.hops[name].clone();
            delay += hop.delay + hop.jitter * self.random.random::<f64>();
            if self.draw((name.clone(), packet.ttl, Chance::Loss), hop.loss)
                || packet.port().is_some_and(|port| hop.drops.contains(&port))
            {
                return Vec::new();
            }
            let address = if packet.dest.is_ipv4() { &hop.v4 } else { &hop.v6 };
            let Ok(address) = address.parse() else { return Vec::new() };
            let last = at + 1 == way.len();
            if !last && usize::from(packet.ttl) > at + 1 {
                if hop.blocks.iter().any(|blocked| blocked == kind) {
                    return Vec::new();
                }
                continue;
            }
            if last && packet.dest != address {
                return Vec::new();
            }
            if !self.speaks(name, &hop, packet.ttl) {
                return Vec::new();
            }
            let delay = Duration::from_secs_f64(delay / 1e3);
            let answer = if last { packet.answer(address) } else { packet.expired(address, &hop.labels) };
            let mut answers = if hop.lies { packet.lies(address) } else { Vec::new() };
            answers.push(answer.clone());
            if hop.doubles {
                answers.push(answer);
            }
            return answers.into_iter().map(|answer| (delay, answer)).collect();
        }
        Vec::new()
    }

    /// A packet that was read late may have come as early as the last look, and counts from then on.
    fn speaks(&mut self, name: &str, hop: &Hop, ttl: u8) -> bool {
        if let Some(limit) = hop.limit {
            if self.free_at.get(name).is_some_and(|free_at| *free_at > Instant::now()) {
                return false;
            }
            self.free_at.insert(name.to_owned(), self.empty_at + Duration::from_secs_f64(1.0 / limit));
        }
        !self.draw((name.to_owned(), ttl, Chance::Silence), hop.silence)
    }

    /// Whether it befalls the next packet: in any order, but exactly the share of each [`DECK`] packets of one TTL.
    fn draw(&mut self, of: (String, u8, Chance), share: f64) -> bool {
        let deck = self.decks.entry(of).or_default();
        if deck.is_empty() {
            deck.extend((0..DECK).map(|card| (card as f64) < share * DECK as f64));
            deck.shuffle(&mut self.random);
        }
        deck.pop().unwrap_or_default()
    }

    fn way(&mut self, packet: &Packet) -> Vec<String> {
        let ways = self.ways.lock().unwrap();
        self.packets += 1;
        let number = match self.spread {
            Spread::Flow => packet.flow(0),
            Spread::Packet => self.packets,
            Spread::Rotating => packet.flow(self.begin.elapsed().as_secs() + 1),
        };
        ways[(number % ways.len() as u64) as usize].clone()
    }
}
