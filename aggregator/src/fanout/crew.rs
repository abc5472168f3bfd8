//! Makes the workers of a sink and class: the fresh one, the one of the backlog, and the late one. Each has a cursor and
//! files of its own; what they share is how much of the time each may take.

use std::path::PathBuf;
use std::sync::Arc;

use ao_common::health::Health;
use ao_common::journal::{Cursor, Journal, Position};
use ao_common::shutdown::Tasks;
use ao_proto::v1::Class;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::check::Ahead;
use super::config::Config;
use super::counts::Counts;
use super::dead_letter::DeadLetters;
use super::decode::Keyframes;
use super::deliver::{Courier, Patience};
use super::error::FanoutError;
use super::intent::Intent;
use super::late;
use super::metrics::Metrics;
use super::opening::{self, Lost, Owed};
use super::ranges::Ranges;
use super::report::Report;
use super::share::Share;
use super::status::{State, Statuses};
use super::tally::Tally;
use super::worker::Worker;
use crate::journal::{CLASSES, queue};
use crate::ledger::{Ledger, class_name};
use crate::sink::api::{DropReason, Lane, Sink};

/// What all workers are made of.
pub(super) struct Crew<'a> {
    pub(super) config: &'a Config,
    /// For their files.
    pub(super) dir: PathBuf,
    pub(super) journal: &'a Journal,
    pub(super) ledger: &'a Ledger,
    pub(super) health: &'a Health,
    pub(super) metrics: Metrics,
    pub(super) keyframes: Keyframes,
    pub(super) statuses: Statuses,
    pub(super) shutdown: CancellationToken,
}

/// What the workers of one sink and class have in common.
struct Team<'a> {
    sink: &'a Arc<dyn Sink>,
    class: Class,
    arrivals: &'a Arc<Arrivals>,
    /// Of all of the sink's workers.
    well: &'a watch::Sender<()>,
    share: Arc<Share>,
    ranges: Arc<Ranges>,
}

/// What they go on with.
struct Ready<'a> {
    team: Team<'a>,
    owed: Vec<Owed>,
    fresh_cursor: Cursor,
    backlog_cursor: Cursor,
    /// `None` where the sink is new here.
    fresh_counts: Option<Counts>,
    backlog_counts: Counts,
    late_counts: Counts,
}

impl Crew<'_> {
    /// Follows the classes' fresh queues, in the order of [`CLASSES`].
    pub(super) fn arrivals(&self, tasks: &mut Tasks) -> Vec<Arc<Arrivals>> {
        let follow = |class: &Class| {
            let durable = self.journal.durable(number(*class, Lane::Fresh));
            let now = *durable.borrow();
            let arrivals = Arrivals::new(now, self.config.late_after.0);
            let name = format!("arrivals {}", class_name((*class).into()));
            tasks.spawn(name, arrivals.clone().follow(durable, self.shutdown.clone()));
            arrivals
        };
        CLASSES.iter().map(follow).collect()
    }

    /// Starts the workers of a class, for these sinks; what belongs to all of a sink's workers is with each.
    ///
    /// # Errors
    /// Where a cursor or a file cannot be used.
    pub(super) fn spawn(
        &self,
        class: Class,
        arrivals: &Arc<Arrivals>,
        sinks: &[(&Arc<dyn Sink>, &watch::Sender<()>)],
        tasks: &mut Tasks,
    ) -> Result<(), FanoutError> {
        let ready = sinks.iter().map(|(sink, well)| self.ready(sink, class, arrivals, well));
        let ready: Vec<Ready<'_>> = ready.collect::<Result<_, _>>()?;
        let owed: Vec<_> = ready.iter().map(|ready| (ready.team.sink.name(), &*ready.owed)).collect();
        let lost = opening::lost(self.journal, self.ledger, class, &owed)?;
        for (ready, lost) in ready.into_iter().zip(lost) {
            self.start(ready, lost, tasks)?;
        }
        Ok(())
    }

    /// Opens what the workers of a sink and class go on with.
    fn ready<'a>(
        &self,
        sink: &'a Arc<dyn Sink>,
        class: Class,
        arrivals: &'a Arc<Arrivals>,
        well: &'a watch::Sender<()>,
    ) -> Result<Ready<'a>, FanoutError> {
        let (fresh, backlog) = (number(class, Lane::Fresh), number(class, Lane::Backlog));
        let team = Team {
            sink,
            class,
            arrivals,
            well,
            share: Arc::new(Share::new(self.config.backlog_share)),
            ranges: Arc::new(Ranges::find(self.journal, fresh, sink.name())?),
        };
        let fresh_cursor = self.journal.cursor(fresh, sink.name())?;
        let backlog_cursor = self.journal.cursor(backlog, sink.name())?;
        let mut owed = team.ranges.owed(fresh);
        owed.push((fresh, fresh_cursor.position(), None));
        owed.push((backlog, backlog_cursor.position(), None));
        // Where no range is left all that was counted is done.
        let done = Position { segment: u64::MAX, offset: u64::MAX };
        let late_counts = self.counts(&team, Lane::Late, team.ranges.first().unwrap_or(done))?;
        let backlog_counts = self.counts(&team, Lane::Backlog, backlog_cursor.position())?;
        let is_new = opening::is_new(&self.dir, &team.name(Lane::Fresh));
        let fresh_counts = || self.counts(&team, Lane::Fresh, fresh_cursor.position());
        let fresh_counts = (!is_new).then(fresh_counts).transpose()?;
        Ok(Ready { team, owed, fresh_cursor, backlog_cursor, fresh_counts, backlog_counts, late_counts })
    }

    fn start(&self, ready: Ready<'_>, lost: Lost, tasks: &mut Tasks) -> Result<(), FanoutError> {
        let Ready { team, fresh_cursor, backlog_cursor, fresh_counts, backlog_counts, late_counts, .. } =
            ready;
        let fresh_counts = self.fresh_counts(&team, fresh_counts, fresh_cursor.position(), lost)?;
        let workers =
            [(Lane::Fresh, fresh_cursor, fresh_counts), (Lane::Backlog, backlog_cursor, backlog_counts)];
        for (lane, cursor, counts) in workers {
            let (mut worker, intent) = self.worker(&team, lane);
            worker.take_place(cursor, intent, counts);
            tasks.spawn(format!("sink {}", team.name(lane)), worker.run());
        }
        if team.sink.policy().fresh_first || team.ranges.first().is_some() {
            let (worker, intent) = self.worker(&team, Lane::Late);
            let drains = late::run(worker, team.ranges.clone(), intent, late_counts);
            tasks.spawn(format!("sink {}", team.name(Lane::Late)), drains);
        }
        Ok(())
    }

    /// The counts of the fresh worker, with what will never come; a new sink has none yet, and gets both in one step.
    fn fresh_counts(
        &self,
        team: &Team<'_>,
        counts: Option<Counts>,
        position: Position,
        lost: Lost,
    ) -> Result<Counts, FanoutError> {
        let sink = team.sink.name();
        let Some(mut counts) = counts else {
            let earlier = opening::tally(lost, sink, DropReason::Earlier);
            Counts::begin(&self.dir, &team.name(Lane::Fresh), &earlier)?;
            return self.counts(team, Lane::Fresh, position);
        };
        let damaged = opening::tally(lost, sink, DropReason::Damaged);
        if !damaged.is_empty() {
            counts.append(Position::default(), &[&damaged])?;
        }
        for ((account, entry), count) in damaged {
            self.ledger.add_to(account, entry, count);
        }
        Ok(counts)
    }

    /// A worker's counts, which the ledger then has: all up to a position is done.
    fn counts(&self, team: &Team<'_>, lane: Lane, done: Position) -> Result<Counts, FanoutError> {
        let counts = Counts::open(&self.dir, &team.name(lane), team.sink.name(), done)?;
        for ((account, entry), count) in counts.total() {
            self.ledger.add_to(account.clone(), *entry, *count);
        }
        Ok(counts)
    }

    /// A worker that has no place yet, and its note of what was left out.
    fn worker(&self, team: &Team<'_>, lane: Lane) -> (Worker, Intent) {
        let (sink, class, name) = (team.sink.name(), class_name(team.class.into()), team.name(lane));
        let report = Report {
            sink,
            class,
            lane,
            ledger: self.ledger.clone(),
            metrics: self.metrics.of(sink, class, lane),
            status: self.statuses.add(sink, class, lane),
            health: self.health.part(&format!("sink {name}")),
            state: State::Ok,
            resent: Tally::new(),
        };
        let queue = number(team.class, lane);
        let courier = Courier {
            sink: team.sink.clone(),
            patience: self.patience(),
            report,
            shutdown: self.shutdown.clone(),
            well: team.well.clone(),
            waited: std::time::Duration::ZERO,
        };
        let leaves = lane == Lane::Fresh && team.sink.policy().fresh_first;
        let worker = Worker {
            courier,
            lane,
            share: team.share.clone(),
            ahead: Ahead { max_ahead: self.config.max_ahead.0, max_hold: self.config.max_hold.0 },
            journal: self.journal.clone(),
            queue,
            durable: self.journal.durable(queue),
            keyframes: self.keyframes.clone(),
            letters: Arc::new(DeadLetters::new(&self.dir, &name, self.config.dead_letters.0)),
            arrivals: leaves.then(|| team.arrivals.clone()),
            ranges: team.ranges.clone(),
            proven: false,
            position: Position::default(),
            end: None,
            desk: None,
        };
        (worker, Intent::new(&self.dir, &name))
    }

    fn patience(&self) -> Patience {
        Patience {
            retry_base: self.config.retry_base.0,
            retry_cap: self.config.retry_cap.0,
            held_every: self.config.held_every.0,
            drain: self.config.drain.0,
        }
    }
}

impl Team<'_> {
    /// Of a worker's files, its part of the readiness and its task: "loki-logs", "loki-logs-backlog".
    fn name(&self, lane: Lane) -> String {
        let (sink, class) = (self.sink.name(), class_name(self.class.into()));
        match lane {
            Lane::Fresh => format!("{sink}-{class}"),
            Lane::Backlog | Lane::Late => format!("{sink}-{class}-{}", lane.name()),
        }
    }
}

/// The queue that a worker reads: what is late was fresh once.
fn number(class: Class, lane: Lane) -> usize {
    let lane = match lane {
        Lane::Fresh | Lane::Late => queue::Lane::Fresh,
        Lane::Backlog => queue::Lane::Backlog,
    };
    // Every class has both.
    queue::number(class.into(), lane.number()).unwrap_or_default()
}
