//! Makes the workers of a sink and class: the fresh one, the one of the backlog, and the late one. Each has a cursor and
//! files of its own; what they share is how much of the time each may take.

use std::path::PathBuf;
use std::sync::Arc;

use ao_common::health::Health;
use ao_common::journal::{Journal, Position};
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
use super::opening;
use super::ranges::Ranges;
use super::report::Report;
use super::share::Share;
use super::status::{State, Statuses};
use super::tally::Tally;
use super::worker::Worker;
use crate::journal::{CLASSES, queue};
use crate::ledger::{Ledger, class_name};
use crate::sink::api::{Lane, Sink};

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

    /// Starts the workers of a sink and class. `well` is that of all of the sink's workers.
    ///
    /// # Errors
    /// Where a cursor or a file cannot be used.
    pub(super) fn spawn(
        &self,
        sink: &Arc<dyn Sink>,
        class: Class,
        (arrivals, well): (&Arc<Arrivals>, &watch::Sender<()>),
        tasks: &mut Tasks,
    ) -> Result<(), FanoutError> {
        let ranges = Ranges::find(self.journal, number(class, Lane::Fresh), sink.name())?;
        let team = Team {
            sink,
            class,
            arrivals,
            well,
            share: Arc::new(Share::new(self.config.backlog_share)),
            ranges: Arc::new(ranges),
        };
        let is_new = opening::is_new(&self.dir, &team.name(Lane::Fresh));
        for lane in [Lane::Fresh, Lane::Backlog] {
            let cursor = self.journal.cursor(number(class, lane), sink.name())?;
            let (mut worker, intent, mut counts) = self.worker(&team, lane, cursor.position())?;
            if is_new && lane == Lane::Fresh {
                let backlog = self.journal.cursor(number(class, Lane::Backlog), sink.name())?.position();
                let positions = [
                    (number(class, Lane::Fresh), cursor.position()),
                    (number(class, Lane::Backlog), backlog),
                ];
                let earlier = opening::tally(self.journal, self.ledger, (sink.name(), class), positions)?;
                counts.append(Position::default(), &[&earlier])?;
                for ((account, entry), count) in earlier {
                    self.ledger.add_to(account, entry, count);
                }
            }
            worker.take_place(cursor, intent, counts);
            tasks.spawn(format!("sink {}", team.name(lane)), worker.run());
        }
        if sink.policy().fresh_first || team.ranges.first().is_some() {
            // Where no range is left all that was counted is done.
            let done = Position { segment: u64::MAX, offset: u64::MAX };
            let (worker, intent, counts) =
                self.worker(&team, Lane::Late, team.ranges.first().unwrap_or(done))?;
            let drains = late::run(worker, team.ranges.clone(), intent, counts);
            tasks.spawn(format!("sink {}", team.name(Lane::Late)), drains);
        }
        Ok(())
    }

    /// A worker that has no place yet, and its files: what is counted in them up to a position is done.
    fn worker(
        &self,
        team: &Team<'_>,
        lane: Lane,
        done: Position,
    ) -> Result<(Worker, Intent, Counts), FanoutError> {
        let (sink, class, name) = (team.sink.name(), class_name(team.class.into()), team.name(lane));
        let counts = Counts::open(&self.dir, &name, sink, done)?;
        for ((account, entry), count) in counts.total() {
            self.ledger.add_to(account.clone(), *entry, *count);
        }
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
        Ok((worker, Intent::new(&self.dir, &name), counts))
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
