//! What the answers are made from.

use std::sync::Arc;

use axum::Json;
use serde::Serialize;

use super::params::ApiError;
use super::status::Fanout;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::sink::embedded::Store;
use crate::verify::Verifier;

/// What the answers are made from. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The recent past.
    pub store: Store,
    /// What became of every record.
    pub ledger: Ledger,
    /// Which agents there are, by their nodes' names.
    pub nodes: Nodes,
    /// How the sinks are doing.
    pub fanout: Arc<dyn Fanout>,
    /// Lets canaries out.
    pub verifier: Verifier,
    /// Who answers.
    pub about: Arc<About>,
}

/// Who answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// This aggregator's name.
    pub aggregator: String,
    /// Its build.
    pub version: String,
    /// When it started, milliseconds; a change tells the console that it was restarted.
    pub started_ms: i64,
}

/// A JSON answer, or a sentence about what is wrong with the request.
pub type Answer<T> = Result<Json<T>, ApiError>;

impl ApiState {
    /// The node asked for, or the first one where none is named.
    ///
    /// # Errors
    /// Where no node has reported yet.
    pub fn node(&self, name: &str) -> Result<String, ApiError> {
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        let first = self.store.nodes().all().into_iter().next();
        first
            .map(|node| node.name.to_string())
            .ok_or_else(|| ApiError::Missing("no node has reported yet".to_owned()))
    }
}
