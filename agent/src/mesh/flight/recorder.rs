//! Which troubles are recorded: those of the mesh's cells and those that other sources saw, within the limits; and what
//! became of each.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

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
use crate::event::{Event, MetricSet};
use crate::mesh::config::Config;
use crate::mesh::export::{JOB, SOURCE};
use crate::mesh::flows::{Answer, Flows};
use crate::mesh::grid::{Grid, Struck};
use crate::trouble::{Alarm, Trouble};

/// Recordings at a time: a peer that dies is seen by many, and each needs but one look.
const FLIGHTS: usize = 4;
/// Answers that a recording has not read yet.
const UNREAD: usize = 64;
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

/// See the module.
pub(crate) struct Recorder {
    base: Base,
    limits: Limits,
    flights: JoinSet<(What, Option<u64>, io::Result<Flown>)>,
    under_way: Vec<(What, mpsc::Sender<Answer>)>,
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
        for (_, reader) in &self.under_way {
            // One that does not read has lost it.
            let _lost = reader.try_send(*answer);
        }
    }

    /// The way of a cell has got worse.
    pub(crate) fn cell(&mut self, grid: &mut Grid, flows: &mut Flows, cell: u64, trouble: Trouble) {
        let Some(struck) = grid.struck(cell) else { return };
        let (what, host) = (What::Way(struck.peer.ip()), struck.peer.node.clone());
        if !self.may_begin(what) {
            self.count(NOT);
            grid.judged(cell, NOT);
            return;
        }
        let Struck { peer, place, baseline } = struck;
        let (sender, answers) = mpsc::channel(UNREAD);
        // The echoes go as the cell's do: another port may take another path.
        let socket = match flows.socket(place, peer.address) {
            Ok(socket) => Arc::clone(socket),
            Err(error) => return self.failed(grid, Some(cell), &error),
        };
        let address = Some(peer.ip());
        let peered = Some(Peered { peer, socket, answers, baseline });
        self.begin(what, Some(cell), sender, Flight { trouble, host, address, peered, question: None });
    }

    /// Another source has seen trouble.
    pub(crate) fn alarm(&mut self, grid: &mut Grid, flows: &mut Flows, alarm: Alarm) {
        let Alarm { trouble, host, address, server } = alarm;
        let question = (trouble == Trouble::Name).then(|| Question { name: host.clone(), address, server });
        let what = match (&question, address) {
            (Some(_), _) => What::Names,
            (None, Some(address)) => match grid.at(address) {
                Some(cell) => return self.cell(grid, flows, cell, trouble),
                None => What::Way(address),
            },
            (None, None) => return,
        };
        if !self.may_begin(what) {
            self.count(NOT);
            return;
        }
        let (sender, _) = mpsc::channel(1);
        self.begin(what, None, sender, Flight { trouble, host, address, peered: None, question });
    }

    fn may_begin(&mut self, what: What) -> bool {
        let busy = self.flights.len() >= FLIGHTS || self.under_way.iter().any(|(one, _)| *one == what);
        !busy && self.limits.allow(what, Instant::now())
    }

    fn begin(&mut self, what: What, cell: Option<u64>, answers: mpsc::Sender<Answer>, flight: Flight) {
        tracing::info!(
            target_host = flight.host,
            trouble = flight.trouble.name(),
            "a trouble is being recorded"
        );
        self.under_way.push((what, answers));
        let base = self.base.clone();
        self.flights.spawn(async move { (what, cell, fly(base, flight).await) });
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

    /// Takes it in.
    pub(crate) fn landed(&mut self, grid: &mut Grid, Ended(ended): Ended) {
        match ended {
            End::Flight(what, cell, flown) => {
                self.under_way.retain(|(one, _)| *one != what);
                match flown {
                    Ok(Flown { verdict, events }) => {
                        self.count(verdict);
                        if let Some(cell) = cell {
                            grid.judged(cell, verdict);
                        }
                        self.ready.extend(events);
                    }
                    Err(error) => self.failed(grid, cell, &error),
                }
            }
            End::Walk(peer, hops) => {
                if grid.well().any(|well| well == peer) {
                    self.base.usual.learn(peer, hops);
                }
            }
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
