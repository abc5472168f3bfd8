//! Rounds of all collectors: with which deadline, and what is said of those that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_common::admin::SharedRegistry;
use ao_proto::model::MetricType::Gauge;
use serde_yaml_ng::Value;
use tokio::task;

use super::api::{BuildError, CollectError, Collector, Entry};
use super::outcome::{Complaint, Failures, Outcome};
use crate::context::{Context, Roots};
use crate::event::{FamilyText, MetricSet, SampleText};
use crate::rounds::{self, Crew};

const SOURCE: &str = "collector";
const JOB: &str = "node-exporter";

/// A collector that takes longer does not hold up the others.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why the source ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A collector cannot be made from its section.
    #[error("collectors.{name}: {why}")]
    Build {
        /// The collector.
        name: &'static str,
        /// What is wrong.
        why: BuildError,
    },
    /// A name that is not in the table.
    #[error("there is no collector {name:?}; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// The thread of a round is gone.
    #[error("a round of the collectors ended early: {0}")]
    Round(#[from] task::JoinError),
}

/// Has the host read in every interval until shutdown.
///
/// # Errors
/// Only where a thread could not be used: no collector's failure ends the source.
pub(super) async fn run(
    collectors: Collectors,
    interval: Duration,
    ctx: Context,
    registry: SharedRegistry,
) -> Result<(), RunError> {
    collectors.failures.register(&registry);
    let skipped = rounds::skipped(&registry, SOURCE);
    let roots = Arc::new(ctx.node.roots.clone());
    let round = move |collectors: &mut Collectors, at_ms| vec![collectors.round(&roots, at_ms)];
    Ok(rounds::run(collectors, interval, &ctx, skipped, round).await?)
}

/// The collectors with what they remember from round to round.
pub struct Collectors {
    slots: Vec<Slot>,
    crew: Crew<Job>,
    deadline: Duration,
    failures: Failures,
    /// Sizes of the last round's set, so that the next one grows only once.
    sizes: (usize, usize, usize, usize),
}

/// One collector's place.
struct Slot {
    entry: &'static Entry,
    section: Option<Value>,
    /// Away while a round of it still runs.
    job: Option<Job>,
    complaint: Complaint,
}

/// One collector with its part of a round; crosses threads.
struct Job {
    slot: usize,
    collector: Box<dyn Collector + Send>,
    roots: Arc<Roots>,
    scratch: MetricSet,
    /// None: it panicked.
    result: Option<(Result<(), CollectError>, Duration)>,
}

fn work(job: &mut Job) {
    let begin = Instant::now();
    let result = job.collector.collect(&job.roots, &mut job.scratch);
    job.result = Some((result, begin.elapsed()));
}

impl Collectors {
    /// Makes each of these from its section.
    ///
    /// # Errors
    /// Where one cannot be made.
    pub(super) fn build(
        chosen: impl IntoIterator<Item = (&'static Entry, Option<Value>)>,
        deadline: Duration,
    ) -> Result<Self, RunError> {
        let slots = chosen.into_iter().enumerate().map(|(slot, (entry, section))| {
            let job = Some(job(slot, entry, section.clone())?);
            Ok(Slot { entry, section, job, complaint: Complaint::default() })
        });
        let slots = slots.collect::<Result<Vec<_>, RunError>>()?;
        let failures = Failures::new(slots.iter().map(|slot| slot.entry.name));
        Ok(Self { slots, crew: Crew::new("collector", work), deadline, failures, sizes: (0, 0, 0, 0) })
    }

    /// One round. Blocks until all are read, or for the deadline; a collector that is not done by then goes on by
    /// itself, and is asked again once it has ended.
    pub fn round(&mut self, roots: &Arc<Roots>, at_ms: i64) -> MetricSet {
        let asked: Vec<Job> = self.slots.iter_mut().filter_map(|slot| slot.job.take()).collect();
        let fresh: Vec<usize> = asked.iter().map(|job| job.slot).collect();
        let prepare = |mut job: Job| {
            clear(&mut job.scratch);
            job.result = None;
            if *job.roots != **roots {
                job.roots = Arc::clone(roots);
            }
            job
        };
        let begin = Instant::now();
        let finished = self.crew.run(asked.into_iter().map(prepare).collect(), PATIENCE, self.deadline);
        let unbegun: Vec<usize> = finished.unbegun.iter().map(|job| job.slot).collect();
        for job in finished.done.into_iter().chain(finished.unbegun) {
            let slot = job.slot;
            self.slots[slot].job = Some(job);
        }
        let mut out = self.empty_set(at_ms);
        let mut outcomes = Vec::with_capacity(self.slots.len());
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let outcome = match &slot.job {
                // It comes from an earlier round: what it read is old. Or its turn did not come.
                Some(_) if !fresh.contains(&number) || unbegun.contains(&number) => Outcome::Late,
                Some(Job { result: Some((result, took)), scratch, .. }) => {
                    append(&mut out, scratch);
                    match result {
                        Ok(()) => Outcome::Good(*took),
                        Err(why) => Outcome::Failed(*took, why),
                    }
                }
                Some(_) => Outcome::Panicked,
                None => Outcome::Late,
            };
            slot.complaint.note(slot.entry.name, &outcome);
            self.failures.count(slot.entry.name, &outcome);
            outcomes.push((slot.entry.name, outcome.seconds(begin), outcome.is_good()));
            if matches!(outcome, Outcome::Panicked) {
                // What it remembers may be broken.
                slot.job = job(number, slot.entry, slot.section.clone()).ok();
            }
        }
        emit_outcomes(&outcomes, &mut out);
        self.sizes = (out.families.len(), out.samples.len(), out.labels.len(), out.arena.len());
        out
    }

    /// Those that have panicked in any round so far.
    #[cfg(test)]
    pub(super) fn panicked(&self) -> Vec<&'static str> {
        let names = self.slots.iter().map(|slot| slot.entry.name);
        names.filter(|name| self.failures.panics(name) > 0).collect()
    }

    fn empty_set(&self, at_ms: i64) -> MetricSet {
        let mut set = MetricSet::new(SOURCE, JOB, at_ms);
        set.families.reserve(self.sizes.0);
        set.samples.reserve(self.sizes.1);
        set.labels.reserve(self.sizes.2);
        set.arena.reserve(self.sizes.3);
        set
    }
}

fn job(slot: usize, entry: &'static Entry, section: Option<Value>) -> Result<Job, RunError> {
    let collector = (entry.build)(section).map_err(|why| RunError::Build { name: entry.name, why })?;
    let scratch = MetricSet::new(SOURCE, JOB, 0);
    Ok(Job { slot, collector, roots: Arc::default(), scratch, result: None })
}

fn emit_outcomes(outcomes: &[(&'static str, f64, bool)], out: &mut MetricSet) {
    let help = "How long a collector took for this round.";
    let duration = out.family("node_scrape_collector_duration_seconds", Gauge, help);
    for (name, seconds, _) in outcomes {
        out.push(duration, &[("collector", name)], *seconds);
    }
    let help = "Whether a collector could read everything.";
    let success = out.family("node_scrape_collector_success", Gauge, help);
    for (name, _, good) in outcomes {
        out.push(success, &[("collector", name)], f64::from(u8::from(*good)));
    }
}

fn clear(set: &mut MetricSet) {
    set.families.clear();
    set.samples.clear();
    set.labels.clear();
    set.arena.clear();
}

/// Appends another set, whose families are not in `out` yet.
fn append(out: &mut MetricSet, more: &MetricSet) {
    let (text, family, label) = (out.arena.len() as u32, out.families.len() as u32, out.labels.len() as u32);
    let shift = |range: &std::ops::Range<u32>, by: u32| range.start + by..range.end + by;
    out.arena.push_str(&more.arena);
    out.families.extend(more.families.iter().map(|f| FamilyText {
        name: shift(&f.name, text),
        help: shift(&f.help, text),
        kind: f.kind,
    }));
    out.labels.extend(more.labels.iter().map(|(name, value)| (shift(name, text), shift(value, text))));
    out.samples.extend(more.samples.iter().map(|sample| SampleText {
        family: sample.family + family,
        labels: shift(&sample.labels, label),
        ..sample.clone()
    }));
}

#[cfg(test)]
mod tests;
