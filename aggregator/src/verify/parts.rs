//! What a verification works with.

use crate::canaries::Canaries;
use crate::fanout::Statuses;
use crate::ledger::Ledger;
use crate::nodes::Nodes;

use super::place::Place;

/// See the module.
#[derive(Clone, Default)]
pub struct Parts {
    /// Where telemetry is looked for.
    pub places: Vec<Place>,
    /// Who is connected.
    pub nodes: Nodes,
    /// What became of records.
    pub ledger: Ledger,
    /// How the sinks are doing.
    pub statuses: Statuses,
    /// The way to the agents.
    pub canaries: Canaries,
}
