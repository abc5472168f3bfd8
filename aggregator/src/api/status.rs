//! What the fan-out tells about its sinks. It implements [`Fanout`]; where there is none, [`NoFanout`] stands in.

use serde::Serialize;

/// A cheap handle on the state of all sinks.
pub trait Fanout: Send + Sync + 'static {
    /// One entry per sink that is configured.
    fn sinks(&self) -> Vec<Sink>;
}

/// No sinks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFanout;

impl Fanout for NoFanout {
    fn sinks(&self) -> Vec<Sink> {
        Vec::new()
    }
}

/// How a sink is doing.
#[derive(Clone, Debug, Serialize)]
pub struct Sink {
    /// "prometheus", "loki", "tempo", "embedded".
    pub name: String,
    /// The classes that it takes: "metrics", "logs", ...
    pub classes: Vec<&'static str>,
    /// See [`Mood`].
    pub state: Mood,
    /// What the backend or the connection said last; empty where all is well.
    pub why: String,
    /// Journal bytes between its cursor and the end.
    pub behind_bytes: u64,
}

/// In how far a sink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// Takes what it is given.
    Delivering,
    /// Failed just now and is tried again.
    Retrying,
    /// Refuses us as we are set up; a person must act.
    Held,
}
