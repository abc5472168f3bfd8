//! How the sinks are doing: the fan-out's workers (one per sink, class and lane), put together by sink.

use serde::Serialize;

use crate::fanout::{State, Status, Statuses};

/// A cheap handle on the state of all sinks.
pub trait Fanout: Send + Sync + 'static {
    /// One entry per sink that is configured.
    fn sinks(&self) -> Vec<Sink>;
}

impl Fanout for Statuses {
    fn sinks(&self) -> Vec<Sink> {
        let mut sinks: Vec<Sink> = Vec::new();
        for status in self.list() {
            match sinks.iter_mut().find(|sink| sink.name == status.sink) {
                Some(sink) => sink.add(&status),
                None => {
                    let mut sink = Sink { name: status.sink.to_owned(), ..Sink::default() };
                    sink.add(&status);
                    sinks.push(sink);
                }
            }
        }
        sinks
    }
}

impl Sink {
    /// The worst of its workers speaks for all of them.
    fn add(&mut self, status: &Status) {
        if !self.classes.contains(&status.class) {
            self.classes.push(status.class);
        }
        self.behind_bytes += status.lag_bytes;
        match self.lanes.iter_mut().find(|lane| lane.lane == status.lane) {
            Some(lane) => lane.behind_bytes += status.lag_bytes,
            None => self.lanes.push(Lane { lane: status.lane, behind_bytes: status.lag_bytes }),
        }
        self.last_success_ms = self.last_success_ms.max(status.last_success_ms);
        let (mood, why) = match &status.state {
            State::Ok => (Mood::Delivering, ""),
            State::Retrying { reason } => (Mood::Retrying, reason.as_str()),
            State::Held { reason } => (Mood::Held, reason.as_str()),
        };
        if mood > self.state {
            self.state = mood;
            self.why = why.to_owned();
        }
    }
}

/// How a sink is doing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sink {
    /// "prometheus", "loki", "tempo", "embedded".
    pub name: String,
    /// The classes that it takes: "metrics", "logs", ...
    pub classes: Vec<&'static str>,
    /// See [`Mood`].
    pub state: Mood,
    /// What the backend or the connection said last; empty where all is well.
    pub why: String,
    /// Journal bytes between its cursors and the end.
    pub behind_bytes: u64,
    /// The same by lane: a sink that is behind in its backlog alone is up to date.
    pub lanes: Vec<Lane>,
    /// When it last took something, milliseconds.
    pub last_success_ms: Option<i64>,
}

/// How far a sink is behind in one lane.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lane {
    /// "fresh", "backlog" or "late".
    pub lane: &'static str,
    /// See [`Sink::behind_bytes`].
    pub behind_bytes: u64,
}

/// In how far a sink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// Takes what it is given.
    #[default]
    Delivering,
    /// Failed just now and is tried again.
    Retrying,
    /// Refuses us as we are set up; a person must act.
    Held,
}
