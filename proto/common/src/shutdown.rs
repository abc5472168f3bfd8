//! A signal, then a drain with a deadline.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice to stop: 128 + SIGINT.
pub const EXIT_IMPATIENT: i32 = 130;

/// A token that SIGINT or SIGTERM cancels. The second signal ends the process at once.
///
/// # Errors
/// Where the system does not let us handle signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if first {
                tracing::info!(signal = name, "stopping; a second signal ends at once");
                cancelled.cancel();
            } else {
                tracing::warn!(signal = name, "second signal: ending without a drain");
                std::process::exit(EXIT_IMPATIENT);
            }
        }
    });
    Ok(token)
}

/// The named tasks of a process: watched while it runs, drained when it stops.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, String>,
    roll: Roll,
}

/// Which tasks of a process run: all that were ever started, of all its [`Tasks`]. Cheap to clone; a collector of
/// `ao_task_up{task}`.
#[derive(Clone, Debug, Default)]
pub struct Roll(Arc<Mutex<BTreeMap<String, bool>>>);

impl Roll {
    fn set(&self, task: &str, up: bool) {
        self.lock().insert(task.to_owned(), up);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        // What is inside is valid after any panic: single assignments only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Roll {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "1 while a long-lived task runs, 0 once it has ended";
        let mut family = encoder.encode_descriptor("ao_task_up", help, None, MetricType::Gauge)?;
        for (task, up) in self.lock().iter() {
            let gauge = ConstGauge::new(i64::from(*up));
            gauge.encode(family.encode_family(&[("task", task.as_str())])?)?;
        }
        Ok(())
    }
}

/// Strikes a task off the roll, however it ends.
struct Struck {
    roll: Roll,
    task: String,
}

impl Drop for Struck {
    fn drop(&mut self) {
        self.roll.set(&self.task, false);
    }
}

/// A task that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// What it panicked with, if it did.
    pub panic: Option<String>,
}

impl Tasks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet; those to come stand on the roll.
    pub fn on(roll: &Roll) -> Self {
        Self { roll: roll.clone(), ..Self::default() }
    }

    /// Starts a task under a name.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, task);
    }

    /// The same on another runtime.
    pub fn spawn_on(
        &mut self,
        runtime: &Handle,
        name: impl Into<String>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let name = name.into();
        self.roll.set(&name, true);
        let struck = Struck { roll: self.roll.clone(), task: name.clone() };
        let task = async move {
            let _struck = struck;
            task.await;
        };
        let id = self.running.spawn_on(task, runtime).id();
        self.names.insert(id, name);
    }

    /// Waits for the next task that ends; `None` when there is none left. Safe to drop while waiting.
    pub async fn next_ended(&mut self) -> Option<Ended> {
        let ended = self.running.join_next_with_id().await?;
        let (id, panic) = match ended {
            Ok((id, ())) => (id, None),
            Err(err) => (err.id(), panic_text(err)),
        };
        let name = self.names.remove(&id).unwrap_or_else(|| "unnamed".to_owned());
        Some(Ended { name, panic })
    }

    /// Waits until all have ended, at most this long; what has not is aborted, logged and returned by name.
    pub async fn drain(mut self, deadline: Duration) -> Vec<String> {
        let all_ended = async {
            while let Some(ended) = self.next_ended().await {
                if let Some(panic) = ended.panic {
                    tracing::error!(task = ended.name, panic, "panicked while stopping");
                }
            }
        };
        if tokio::time::timeout(deadline, all_ended).await.is_ok() {
            return Vec::new();
        }
        let mut late: Vec<String> = self.names.into_values().collect();
        late.sort();
        tracing::warn!(tasks = late.join(", "), ?deadline, "did not end in time and was cut off");
        late
    }
}

fn panic_text(err: JoinError) -> Option<String> {
    let payload = err.try_into_panic().ok()?;
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Some(text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "no message".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one task ends when told, one never does.
    /// Guarantees: the drain takes the deadline and names the second only.
    #[tokio::test(start_paused = true)]
    async fn names_the_late() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new();
        tasks.spawn("prompt", stop.clone().cancelled_owned());
        tasks.spawn("stubborn", std::future::pending());
        stop.cancel();
        let begin = tokio::time::Instant::now();
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, ["stubborn"]);
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
    }

    /// Scenario: a task panics.
    /// Guarantees: its end is reported with its name and the message; the metric says so of it, and not of another one.
    #[tokio::test]
    async fn reports_a_panic() {
        let roll = Roll::default();
        let mut tasks = Tasks::on(&roll);
        tasks.spawn("strong", std::future::pending());
        tasks.spawn("weak", async { panic!("out of luck") });
        let ended = tasks.next_ended().await.unwrap();
        assert_eq!((ended.name.as_str(), ended.panic.as_deref()), ("weak", Some("out of luck")));
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(roll));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("ao_task_up{task=\"strong\"} 1\nao_task_up{task=\"weak\"} 0\n"), "{text}");
        drop(tasks);
    }

    /// Scenario: SIGTERM arrives.
    /// Guarantees: the token is cancelled and the process lives on to drain.
    #[tokio::test]
    async fn a_signal_cancels() {
        let token = on_signal().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        tokio::time::timeout(Duration::from_secs(10), token.cancelled()).await.unwrap();
    }
}
