//! `/api/v1/poll`: what one view of the console shows, and the head of the page with it, in one answer.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::params::{ApiError, Params};
use super::state::{About, Answer, ApiState};
use super::{host, latency, ledger, logs, mesh, missing, nodes, overview, paths, topology, traces};
use crate::sink::embedded::now_ms;

const PARAMS: [&str; 8] = ["view", "node", "minutes", "q", "level", "limit", "after", "id"];

/// The answer; of the views only the one asked for is there.
#[derive(Debug, Serialize)]
pub struct Poll {
    /// Our clock, milliseconds: ages are counted from it.
    pub now_ms: i64,
    /// Who answers.
    pub about: About,
    /// Names and states of all nodes.
    pub nodes: Vec<(std::sync::Arc<str>, &'static str)>,
    /// Warnings on the overview.
    pub faults: usize,
    /// What the view shows.
    pub view: View,
}

/// What a view shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Everything at a glance.
    Overview(Box<overview::Overview>),
    /// One node; `None` where none has reported.
    Host(Option<Box<host::Host>>),
    /// Lines.
    Logs(logs::Page),
    /// Targets.
    Latency(latency::Latency),
    /// Paths.
    Path(paths::Paths),
    /// Who sees whom.
    Mesh(mesh::Mesh),
    /// The graph of all paths.
    Map(topology::Topology),
    /// Traces.
    Traces(traces::Traces),
    /// The balance.
    Ledger(ledger::Balance),
}

/// Answers.
///
/// # Errors
/// Where a parameter is not known or out of bounds.
pub async fn get(State(state): State<ApiState>, params: Params) -> Answer<Poll> {
    let params = params.only(&PARAMS)?;
    let (now, minutes, node) = (now_ms(), params.minutes()?, params.text("node"));
    let all = nodes::of(&state.store, now, false);
    let faults = missing::of(&state.store, &all, now).iter().filter(|missing| missing.fault).count();
    let nodes = all.iter().map(|node| (node.name.clone(), node.state)).collect();
    let view = match params.required("view")? {
        "overview" => View::Overview(Box::new(overview::of(&state, now))),
        "host" => View::Host(match state.node(node) {
            Ok(node) => Some(Box::new(host::of(&state.store, &node, now, minutes)?)),
            Err(_) => None,
        }),
        "logs" => View::Logs(logs::of(&state.store, &params)?),
        "latency" => View::Latency(latency::of(&state.store, node, now, minutes)),
        "path" => View::Path(paths::of(&state.store, node, now, minutes)),
        "mesh" => View::Mesh(mesh::of(&state.store, node, now, minutes)),
        "map" => View::Map(topology::answer(state.store.clone(), node.to_owned(), now).await),
        "traces" => View::Traces(traces::of(&state.store, &params)?),
        "ledger" => View::Ledger(ledger::of(&state, node)),
        other => {
            return Err(ApiError::Bad(format!(
                "view is overview, host, logs, latency, path, mesh, map, traces or ledger, not {other:?}"
            )));
        }
    };
    Ok(Json(Poll { now_ms: now, about: About::clone(&state.about), nodes, faults, view }))
}
