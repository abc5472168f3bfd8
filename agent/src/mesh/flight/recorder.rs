//! Which troubles are recorded: those of the mesh's cells and those that other sources saw, within the limits; and what
//! became of each. One that begins while its way is being recorded is seen in a part of that alone: it waits, and is
//! recorded next where it lasts.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock;
use ao_proto::model::MetricType::Counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fly::fly;
use super::limits::{Limits, What};
use super::names::Question;
use super::subject::{Base, Flight, Flown, Peered};
use super::usual::{self, Usual};
use super::walk::{Hop, Walks};
use super::witness::Witness;
use crate::event::{Event, MetricSet};
use crate::mesh::cell::RECENT_LOST;
use crate::mesh::config::Config;
use crate::mesh::export::{JOB, SOURCE};
use crate::mesh::flows::{Answer, Flows};
use crate::mesh::grid::{Grid, Struck};
use crate::trouble::{Alarm, Trouble};

/// Recordings at a time: a peer that dies is seen by many, and each needs but one look.
const FLIGHTS: usize = 4;
/// Answers that a recording has not read yet.
const UNREAD: usize = 64;
/// Troubles that wait for the end of a recording.
const WAITING: usize = 64;
/// What a trouble counts as that is not recorded.
const NOT: &str = "not_recorded";

/// What has ended.
pub(crate) struct Ended(End);

enum End {
    /// A recording, of a cell or not.
    Flight(What, Option<u64>, io::Result<Flown>),
    /// A walk to a peer that was well.
    Walk(IpAddr, Vec<Hop>),
}

/// A recording.
struct UnderWay {
    what: What,
    began: Instant,
    answers: mpsc::Sender<Answer>,
    /// Who has seen the trouble; `None` once that one says that it is over.
    witness: Option<Witness>,
}

/// See the module.
pub(crate) struct Recorder {
    base: Base,
    limits: Limits,
    flights: JoinSet<(What, Option<u64>, io::Result<Flown>)>,
    under_way: Vec<UnderWay>,
    /// Troubles that came while there was no room, or too late for what is recorded of their way.
    waiting: Vec<Witness>,
    /// A trouble has begun so long before it is noticed.
    noticed: Duration,
    /// At most one.
    walks: JoinSet<(IpAddr, Vec<Hop>)>,
    /// Keeps what is usual, and ends with this.
    _background: JoinSet<()>,
    /// By verdict, since the start.
    counts: BTreeMap<&'static str, u64>,
    ready: Vec<Event>,
}

impl Recorder {
    pub(crate) fn new(config: &Config, base: Base) -> Self {
        let mut background = JoinSet::new();
        background.spawn(base.usual.background().clone().keep());
        Self {
            base,
            _background: background,
            limits: Limits::new(config.recordings_per_way, config.recordings_per_node),
            flights: JoinSet::new(),
            under_way: Vec::new(),
            waiting: Vec::new(),
            noticed: config.interval.0 * RECENT_LOST as u32 + config.timeout.0,
            walks: JoinSet::new(),
            counts: BTreeMap::new(),
            ready: Vec::new(),
        }
    }

    /// What is known of the ways when all is well, and those who walk them now.
    pub(crate) fn ways(&self) -> (Usual, Walks) {
        (self.base.usual.clone(), self.base.walks.clone())
    }

    /// As whom the peers know this node.
    pub(crate) fn come_from(&mut self, own: Option<IpAddr>) {
        self.base.own = own;
    }

    /// An answer to nothing that the grid has asked.
    pub(crate) fn answered(&self, answer: &Answer) {
        for one in &self.under_way {
            // One that does not read has lost it.
            let _lost = one.answers.try_send(*answer);
        }
    }

    /// The way of a cell has got worse.
    pub(crate) fn cell(&mut self, grid: &mut Grid, flows: &mut Flows, cell: u64, trouble: Trouble) {
        self.heard(grid, flows, Witness::Cell(cell, trouble));
    }

    /// Another source has seen trouble, or its end.
    pub(crate) fn alarm(&mut self, grid: &mut Grid, flows: &mut Flows, alarm: Alarm) {
        let over = alarm.turn.over;
        let witness = Witness::Source(alarm);
        if !over {
            return self.heard(grid, flows, witness);
        }
        for one in &mut self.under_way {
            one.witness.take_if(|begun| begun.is_same(&witness));
        }
        for begun in self.waiting.extract_if(.., |begun| begun.is_same(&witness)).collect::<Vec<_>>() {
            self.not_recorded(grid, &begun);
        }
    }

    /// Records it now, later, or not.
    fn heard(&mut self, grid: &mut Grid, flows: &mut Flows, witness: Witness) {
        let Some((what, cell)) = witness.subject(grid) else { return };
        let now = Instant::now();
        let same = self.under_way.iter().find(|one| one.what == what);
        let is_late = match same {
            Some(one) => now.duration_since(one.began) >= self.noticed,
            None => self.flights.len() >= FLIGHTS,
        };
        // Of the others nobody says when they are over.
        let waits = is_late && matches!(witness.trouble(), Trouble::Loss | Trouble::Latency | Trouble::Name);
        if waits && self.waiting.len() < WAITING {
            self.waits(grid, witness);
        } else if is_late || same.is_some() || !self.limits.allow(what, now) {
            self.not_recorded(grid, &witness);
        } else if let Err(error) = self.begin(grid, flows, (what, cell), witness) {
            self.failed(grid, cell, &error);
        }
    }

    /// Until a recording ends.
    fn waits(&mut self, grid: &mut Grid, witness: Witness) {
        match self.waiting.iter().position(|one| one.is_same(&witness)) {
            Some(at) => {
                let before = std::mem::replace(&mut self.waiting[at], witness);
                self.not_recorded(grid, &before);
            }
            None => self.waiting.push(witness),
        }
    }

    fn begin(
        &mut self,
        grid: &Grid,
        flows: &mut Flows,
        (what, cell): (What, Option<u64>),
        witness: Witness,
    ) -> io::Result<()> {
        let (sender, answers) = mpsc::channel(UNREAD);
        let trouble = witness.trouble();
        let flight = match (cell.and_then(|cell| grid.struck(cell)), &witness) {
            (Some(Struck { peer, place, baseline }), _) => {
                // The echoes go as the cell's do: another port may take another path.
                let socket = Arc::clone(flows.socket(place, peer.address)?);
                let (host, address) = (peer.node.clone(), Some(peer.ip()));
                let peered = Some(Peered { peer, socket, answers, baseline });
                Flight { trouble, host, address, peered, question: None }
            }
            (None, Witness::Source(alarm)) => {
                let Alarm { host, address, server, .. } = alarm.clone();
                let question =
                    (what == What::Names).then(|| Question { name: host.clone(), address, server });
                Flight { trouble, host, address, peered: None, question }
            }
            // The peer has gone meanwhile.
            (None, Witness::Cell(..)) => return Ok(()),
        };
        tracing::info!(target_host = flight.host, trouble = trouble.name(), "a trouble is being recorded");
        let began = Instant::now();
        self.under_way.push(UnderWay { what, began, answers: sender, witness: Some(witness) });
        let base = self.base.clone();
        self.flights.spawn(async move { (what, cell, fly(base, flight).await) });
        Ok(())
    }

    /// Looks at a peer that is well, where that is due.
    pub(crate) fn look_around(&mut self, grid: &Grid) {
        if !self.walks.is_empty() || !self.under_way.is_empty() {
            return;
        }
        if let Some(peer) = self.base.usual.due(grid.well()) {
            self.walks.spawn(usual::walk(Arc::clone(&self.base.prober), self.base.own, peer));
        }
    }

    /// The peers are others.
    pub(crate) fn keep(&self, grid: &Grid) {
        let addresses = grid.addresses();
        self.base.usual.keep(|peer| addresses.contains(peer));
    }

    /// Waits until something has ended.
    pub(crate) async fn next(&mut self) -> Ended {
        tokio::select! {
            Some(Ok((what, cell, flown))) = self.flights.join_next() => Ended(End::Flight(what, cell, flown)),
            Some(Ok((peer, hops))) = self.walks.join_next() => Ended(End::Walk(peer, hops)),
            else => std::future::pending().await,
        }
    }

    /// Takes it in, and begins what has waited for it.
    pub(crate) fn landed(&mut self, grid: &mut Grid, flows: &mut Flows, Ended(ended): Ended) {
        match ended {
            End::Flight(what, cell, flown) => {
                let at = self.under_way.iter().position(|one| one.what == what);
                let witness = at.and_then(|at| self.under_way.swap_remove(at).witness);
                match flown {
                    Ok(Flown { verdict, events, turned_bad }) => {
                        self.count(verdict);
                        if let Some(cell) = cell {
                            grid.judged(cell, verdict);
                        }
                        self.ready.extend(events);
                        let mut others = self.waiting.iter().filter_map(|one| one.subject(grid));
                        if turned_bad && !others.any(|(one, _)| one == what) {
                            // A witness says nothing of what gets worse while it is bad.
                            let cell = || cell.map(|cell| Witness::Cell(cell, Trouble::Loss));
                            let witness = witness.map(|witness| witness.of(Trouble::Loss)).or_else(cell);
                            self.waiting.extend(witness);
                        }
                    }
                    Err(error) => self.failed(grid, cell, &error),
                }
                for witness in std::mem::take(&mut self.waiting) {
                    if witness.may_see(grid) {
                        self.heard(grid, flows, witness);
                    } else {
                        self.not_recorded(grid, &witness);
                    }
                }
            }
            End::Walk(peer, hops) => {
                if grid.well().any(|well| well == peer) {
                    self.base.usual.learn(peer, hops);
                }
            }
        }
    }

    fn not_recorded(&mut self, grid: &mut Grid, witness: &Witness) {
        self.count(NOT);
        if let Some((_, Some(cell))) = witness.subject(grid) {
            grid.judged(cell, NOT);
        }
    }

    fn failed(&mut self, grid: &mut Grid, cell: Option<u64>, error: &io::Error) {
        tracing::warn!(%error, "a way that got worse cannot be looked at");
        self.count(NOT);
        if let Some(cell) = cell {
            grid.judged(cell, NOT);
        }
    }

    fn count(&mut self, verdict: &'static str) {
        *self.counts.entry(verdict).or_default() += 1;
    }

    /// What there is to hand on.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.ready)
    }

    /// Whether there was any trouble yet.
    pub(crate) fn has_counted(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Hands on the counts.
    pub(crate) fn export(&mut self) {
        let mut set = MetricSet::new(SOURCE, JOB, clock::now_ms());
        let help = "Troubles of ways and names that this node has seen, by who was to blame";
        let family = set.family("netmesh_recordings_total", Counter, help);
        for (verdict, count) in &self.counts {
            set.push(family, &[("verdict", verdict)], *count as f64);
        }
        self.ready.push(Event::Metrics(set));
    }
}

#[cfg(test)]
mod tests;
