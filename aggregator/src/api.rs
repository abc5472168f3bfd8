//! The JSON answers that the console, and anybody with curl, reads: what the embedded store, the ledger and the
//! fan-out know. Read only, but for canaries (`verify`); every parameter is bounded; what is wrong with a request is
//! said in a sentence.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use crate::sink::embedded::now_ms;

pub(crate) mod fuzzing;
pub mod grid;
pub mod lookup;
pub mod params;
pub mod state;
pub mod status;

pub mod host;
pub mod latency;
pub mod ledger;
pub mod logs;
pub mod mesh;
pub mod missing;
pub mod nodes;
pub mod overview;
pub mod paths;
pub mod poll;
pub mod series;
pub mod topology;
pub mod traces;
pub mod verify;

use params::{ApiError, Params};
pub use state::{About, Answer, ApiState};

#[cfg(test)]
mod tests;

/// All paths below `/api/v1`.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/api/v1/poll", get(poll::get))
        .route("/api/v1/overview", get(get_overview))
        .route("/api/v1/nodes", get(get_nodes))
        .route("/api/v1/sinks", get(get_sinks))
        .route("/api/v1/host", get(get_host))
        .route("/api/v1/logs", get(get_logs))
        .route("/api/v1/latency", get(get_latency))
        .route("/api/v1/paths", get(get_paths))
        .route("/api/v1/mesh", get(get_mesh))
        .route("/api/v1/topology", get(get_topology))
        .route("/api/v1/traces", get(get_traces))
        .route("/api/v1/ledger", get(get_ledger))
        .route("/api/v1/series", get(get_series))
        .route("/api/v1/verify", get(verify::get).post(verify::post))
        .route("/api/{*rest}", get(unknown))
        .with_state(state)
}

async fn unknown() -> ApiError {
    ApiError::Missing("there is no such path; /api/v1/overview is a good place to begin".to_owned())
}

async fn get_overview(State(state): State<ApiState>, params: Params) -> Answer<overview::Overview> {
    params.only(&[])?;
    Ok(Json(overview::of(&state, now_ms())))
}

async fn get_nodes(State(state): State<ApiState>, params: Params) -> Answer<Vec<nodes::Node>> {
    params.only(&[])?;
    Ok(Json(nodes::of(&state.store, now_ms(), true)))
}

async fn get_sinks(State(state): State<ApiState>, params: Params) -> Answer<Vec<status::Sink>> {
    params.only(&[])?;
    Ok(Json(state.fanout.sinks()))
}

async fn get_host(State(state): State<ApiState>, params: Params) -> Answer<host::Host> {
    let params = params.only(&["node", "minutes"])?;
    let node = state.node(params.text("node"))?;
    host::of(&state.store, &node, now_ms(), params.minutes()?).map(Json)
}

async fn get_logs(State(state): State<ApiState>, params: Params) -> Answer<logs::Page> {
    logs::of(&state.store, &params.only(&["node", "q", "level", "limit", "after"])?).map(Json)
}

async fn get_latency(State(state): State<ApiState>, params: Params) -> Answer<latency::Latency> {
    let params = params.only(&["node", "minutes"])?;
    Ok(Json(latency::of(&state.store, params.text("node"), now_ms(), params.minutes()?)))
}

async fn get_paths(State(state): State<ApiState>, params: Params) -> Answer<paths::Paths> {
    let params = params.only(&["node", "minutes"])?;
    Ok(Json(paths::of(&state.store, params.text("node"), now_ms(), params.minutes()?)))
}

async fn get_mesh(State(state): State<ApiState>, params: Params) -> Answer<mesh::Mesh> {
    let params = params.only(&["node", "minutes"])?;
    Ok(Json(mesh::of(&state.store, params.text("node"), now_ms(), params.minutes()?)))
}

async fn get_topology(State(state): State<ApiState>, params: Params) -> Answer<topology::Topology> {
    let params = params.only(&["node"])?;
    Ok(Json(topology::answer(state.store, params.text("node").to_owned(), now_ms()).await))
}

async fn get_traces(State(state): State<ApiState>, params: Params) -> Answer<traces::Traces> {
    traces::of(&state.store, &params.only(&["node", "q", "limit", "id"])?).map(Json)
}

async fn get_ledger(State(state): State<ApiState>, params: Params) -> Answer<ledger::Balance> {
    let params = params.only(&["node"])?;
    Ok(Json(ledger::of(&state, params.text("node"))))
}

async fn get_series(State(state): State<ApiState>, params: Params) -> Answer<series::Found> {
    series::of(&state.store, &params.only(&["name", "node", "minutes", "limit"])?).map(Json)
}
