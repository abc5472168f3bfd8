//! All peers: what is due for which, and what became of it. No I/O.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ao_common::clock;
use ao_proto::v1;
use tokio::time::Instant;

use super::asker::{Asked, Asker, Purpose};
use super::baseline::Baseline;
use super::cell::{Cell, Echo, Peer};
use super::config::Config;
use super::export;
use super::flows::Answer;
use super::packet;
use super::sweep;
use super::tcp::Towards;
use crate::event::Event;
use crate::net::Agenda;
use crate::trouble::Trouble;

/// Headers of IP and UDP before our bytes.
const HEADERS_V4: u16 = 20 + 8;
const HEADERS_V6: u16 = 40 + 8;

/// What the next step is.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this.
    Ask(Question),
    /// Hand on the figures of a peer, with what TCP has seen on the way to this address.
    Export(u64, IpAddr),
}

/// A question to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) token: u64,
    pub(super) to: SocketAddr,
    /// Place of the source port.
    pub(super) port: usize,
    pub(super) bytes: usize,
    asked: Asked,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Echo,
    Port,
    Size,
    Round,
    Export,
}

/// What the flight recorder needs to know of a cell.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    pub(super) peer: Peer,
    /// Place of the source port that the echoes come from.
    pub(super) place: usize,
    pub(super) baseline: Baseline,
}

/// See the module.
pub(super) struct Grid {
    config: Config,
    cells: HashMap<u64, Cell>,
    agenda: Agenda<(u64, Task)>,
    asker: Asker,
    events: Vec<Event>,
    /// Cells whose way has just got worse.
    troubles: Vec<(u64, Trouble)>,
    next_id: u64,
}

impl Grid {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            cells: HashMap::new(),
            agenda: Agenda::default(),
            asker: Asker::default(),
            events: Vec::new(),
            troubles: Vec::new(),
            next_id: 0,
        }
    }

    /// Makes the peers be those; the ones that stay keep all that is known of them.
    pub(super) fn apply(&mut self, told: &[v1::Peer], now: Instant) {
        let mut wanted: Vec<Peer> = told.iter().filter_map(Peer::of).collect();
        let events = &mut self.events;
        self.cells.retain(|_, cell| match wanted.iter().position(|peer| *peer == cell.peer) {
            Some(at) => {
                wanted.swap_remove(at);
                true
            }
            None => {
                events.push(Event::Metrics(export::ended(&cell.peer, clock::now_ms())));
                false
            }
        });
        for peer in wanted {
            self.next_id += 1;
            let id = self.next_id;
            self.cells.insert(id, Cell::new(peer, self.config.ports.into()));
            // A random phase each, so that neither the questions of many peers nor those of many nodes fall together.
            for task in [Task::Echo, Task::Port, Task::Size, Task::Round, Task::Export] {
                let period = self.period(task);
                self.agenda.add(now + period.mul_f64(rand::random()), (id, task));
            }
        }
    }

    /// The peers' addresses.
    pub(super) fn addresses(&self) -> HashSet<IpAddr> {
        self.cells.values().map(|cell| cell.peer.ip()).collect()
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.cells.is_empty()
    }

    pub(super) async fn wait(&self) {
        self.agenda.wait().await;
    }

    /// What there is to hand on.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whose way has got worse since the last call.
    pub(super) fn troubles(&mut self) -> Vec<(u64, Trouble)> {
        std::mem::take(&mut self.troubles)
    }

    /// The cell of a peer at this address.
    pub(super) fn at(&self, address: IpAddr) -> Option<u64> {
        self.cells.iter().find(|(_, cell)| cell.peer.ip() == address).map(|(id, _)| *id)
    }

    /// A cell, for the flight recorder.
    pub(super) fn struck(&self, id: u64) -> Option<Struck> {
        let cell = self.cells.get(&id)?;
        let (peer, place) = (cell.peer.clone(), cell.sweep.canonical());
        Some(Struck { peer, place, baseline: cell.baseline().clone() })
    }

    /// Whether the way of a cell is still bad.
    pub(super) fn is_in_trouble(&self, id: u64) -> bool {
        self.cells.get(&id).is_some_and(Cell::is_in_trouble)
    }

    /// Peers that answer as they should.
    pub(super) fn well(&self) -> impl Iterator<Item = IpAddr> {
        self.cells.values().filter(|cell| cell.is_well()).map(|cell| cell.peer.ip())
    }

    /// A way was looked at, with this verdict.
    pub(super) fn judged(&mut self, cell: u64, verdict: &'static str) {
        if let Some(cell) = self.cells.get_mut(&cell) {
            *cell.incidents.entry(verdict).or_default() += 1;
        }
    }

    fn period(&self, task: Task) -> Duration {
        match task {
            Task::Echo | Task::Size => self.config.interval.0,
            Task::Port => self.config.round.0 / (u32::from(self.config.ports) * sweep::TRIES),
            Task::Round => self.config.round.0,
            Task::Export => self.config.export.0.max(Duration::from_secs(1)),
        }
    }

    /// The next step that is due, if any. `port_number` tells a source port by its place, for people.
    pub(super) fn due(&mut self, now: Instant, port_number: impl Fn(usize, IpAddr) -> u16) -> Option<Due> {
        let (id, task) = self.agenda.due(now)?;
        let mut again = self.period(task);
        // A peer that is gone leaves its entries behind.
        let cell = self.cells.get_mut(&id)?;
        let ip = cell.peer.ip();
        let wanted = match task {
            Task::Echo => Some((Purpose::Echo, cell.sweep.canonical())),
            Task::Port => {
                let (place, ended) = cell.sweep.next();
                if ended {
                    let canonical = cell.sweep.canonical();
                    if cell.sweep.judge() {
                        let dead: Vec<u16> = cell.sweep.dead().map(|place| port_number(place, ip)).collect();
                        let event = export::ports_changed(&cell.peer, &dead, self.config.ports.into());
                        self.events.push(Event::Logs(event));
                        if !dead.is_empty() {
                            self.troubles.push((id, Trouble::DeadPorts));
                        }
                    }
                    if canonical != cell.sweep.canonical() {
                        cell.moved();
                    }
                }
                Some((Purpose::Port(place), place))
            }
            Task::Size => {
                let size = cell.mtu.size();
                if size.is_none() {
                    // Found: it is looked at again after a pause.
                    cell.mtu.again();
                    again = self.config.mtu.0.max(again);
                }
                // Towards a peer that answers nothing, no size can be found.
                size.filter(|_| cell.is_there).map(|size| (Purpose::Size(size), cell.sweep.canonical()))
            }
            Task::Round => {
                let anchor_ns = clock::system_anchor_ns();
                cell.round(anchor_ns, self.config.clocks_synchronised);
                None
            }
            Task::Export => None,
        };
        self.agenda.add(now + again, (id, task));
        if matches!(task, Task::Export) {
            return Some(Due::Export(id, ip));
        }
        let (purpose, port) = wanted?;
        let headers = if ip.is_ipv6() { HEADERS_V6 } else { HEADERS_V4 };
        let bytes = match purpose {
            Purpose::Size(size) => size.saturating_sub(headers).into(),
            Purpose::Echo | Purpose::Port(_) => packet::LEN,
        };
        let asked = Asked { cell: id, purpose, sent_ns: clock::boot_ns() };
        let token = self.asker.ask(asked)?;
        Some(Due::Ask(Question { token, to: cell.peer.address, port, bytes, asked }))
    }

    /// A question has not left.
    pub(super) fn unsent(&mut self, question: &Question, error: &io::Error) {
        self.asker.unsent(question.token);
        let Some(cell) = self.cells.get_mut(&question.asked.cell) else { return };
        match question.asked.purpose {
            Purpose::Size(size) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                let changed = cell.mtu.refused(size);
                self.mtu_changed(question.asked.cell, changed);
            }
            // No interface, no route, a firewall: nothing comes back either.
            _ if is_of_the_way(error) => self.lost(question.asked),
            Purpose::Echo => cell.unsent(),
            Purpose::Port(_) | Purpose::Size(_) => {}
        }
    }

    /// An answer has come; false where nothing was asked here that it answers.
    pub(super) fn answered(&mut self, answer: &Answer) -> bool {
        let Some(asked) = self.asker.answered(answer.token, &answer.times) else { return false };
        let Some(cell) = self.cells.get_mut(&asked.cell) else { return true };
        match asked.purpose {
            Purpose::Echo => {
                let (sent_ns, came_ns) = (asked.sent_ns, answer.came_ns.max(asked.sent_ns));
                let trouble = cell.echo(Echo { sent_ns, came_ns, times: answer.times });
                self.troubles.extend(trouble.map(|trouble| (asked.cell, trouble)));
            }
            Purpose::Port(place) => cell.sweep.result(place, true),
            Purpose::Size(size) => {
                let changed = cell.mtu.came(size);
                self.mtu_changed(asked.cell, changed);
            }
        }
        true
    }

    /// Looks through the questions that wait.
    pub(super) fn expire(&mut self, now_ns: i64) {
        for asked in self.asker.expired(now_ns, self.config.timeout.0) {
            self.lost(asked);
        }
    }

    fn lost(&mut self, asked: Asked) {
        let Some(cell) = self.cells.get_mut(&asked.cell) else { return };
        match asked.purpose {
            Purpose::Echo => {
                let trouble = cell.lost();
                self.troubles.extend(trouble.map(|trouble| (asked.cell, trouble)));
            }
            Purpose::Port(place) => cell.sweep.result(place, false),
            Purpose::Size(size) if cell.is_there => {
                let changed = cell.mtu.missed(size, cell.loss());
                self.mtu_changed(asked.cell, changed);
            }
            Purpose::Size(_) => {}
        }
    }

    /// The first size that is found is no change.
    fn mtu_changed(&mut self, cell: u64, changed: Option<(Option<u16>, u16)>) {
        if let (Some((Some(before), after)), Some(cell)) = (changed, self.cells.get(&cell)) {
            self.events.push(Event::Logs(export::mtu_changed(&cell.peer, before, after)));
        }
    }

    /// Hands on the figures of a peer.
    pub(super) fn export(&mut self, cell: u64, tcp: Option<Towards>) {
        if let Some(cell) = self.cells.get(&cell) {
            let set = export::metrics(cell, &self.config, tcp, clock::now_ms());
            self.events.push(Event::Metrics(set));
        }
    }
}

/// Whether the system has something against the way, and not too little room or no socket (ip(7), ip-route(8)).
fn is_of_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, InvalidInput, NetworkDown, NetworkUnreachable, PermissionDenied};
    matches!(
        error.kind(),
        NetworkUnreachable | HostUnreachable | NetworkDown | PermissionDenied | InvalidInput
    )
}

#[cfg(test)]
mod tests;
