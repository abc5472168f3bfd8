//! What a recording is of, and what it has seen.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::blame::Echoes;
use super::course::Course;
use super::look::OtherEnd;
use super::names::{Asked, Question};
use super::usual::Usual;
use super::walk::{Hop, Walks};
use crate::context::Node;
use crate::event::Event;
use crate::mesh::baseline::Baseline;
use crate::mesh::cell::Peer;
use crate::mesh::flows::Answer;
use crate::net::{Datagram, Prober};
use crate::trouble::Trouble;

/// What all recordings of a node share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) node: Arc<Node>,
    pub(crate) prober: Arc<Prober>,
    /// The address from which the peers expect us.
    pub(crate) own: Option<IpAddr>,
    /// Time between two echoes when nothing is wrong.
    pub(crate) interval: Duration,
    pub(crate) usual: Usual,
    pub(crate) walks: Walks,
}

/// One recording.
pub(super) struct Flight {
    pub(super) trouble: Trouble,
    /// The target as people know it.
    pub(super) host: String,
    pub(super) address: Option<IpAddr>,
    /// Where there is an agent at the other end.
    pub(super) peered: Option<Peered>,
    /// Where names are the trouble.
    pub(super) question: Option<Question>,
}

/// A peer, and how its cell's echoes go.
pub(super) struct Peered {
    pub(super) peer: Peer,
    pub(super) socket: Arc<Datagram>,
    pub(super) answers: mpsc::Receiver<Answer>,
    pub(super) baseline: Baseline,
}

/// What a recording gives.
pub(super) struct Flown {
    pub(super) verdict: &'static str,
    pub(super) events: Vec<Event>,
    /// The way was good at first and bad in the end.
    pub(super) turned_bad: bool,
}

/// What was seen beside the counters of this end.
#[derive(Default)]
pub(super) struct Evidence {
    pub(super) forward: Vec<Hop>,
    pub(super) echoes: Echoes,
    pub(super) course: Course,
    pub(super) there: OtherEnd,
    pub(super) names: Option<Asked>,
}
