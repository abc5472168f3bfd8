//! `/api/v1/verify`: POST lets a canary out, `GET ?token=` says how far it has come.
//!
//! The POST takes JSON and nothing else: a page of another origin, open in the browser of somebody who can reach this
//! listener, cannot send that without being asked first (Fetch standard, "CORS-preflight fetch"), and we never consent.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;

use super::params::{ApiError, Params};
use super::state::{Answer, ApiState};
use crate::verify::{MAX_TIMEOUT, Report, StartError};

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// The node; empty for the first by name that is connected.
    pub node: String,
    /// How long the stores are asked; a minute by default.
    pub timeout_ms: Option<u64>,
}

/// Lets a canary out.
///
/// # Errors
/// Where there is nobody to let it out, or it is asked for too often.
pub async fn post(
    State(state): State<ApiState>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Report>), ApiError> {
    let Json(wish) = wish.map_err(|error| ApiError::Bad(error.body_text()))?;
    let timeout = Duration::from_millis(wish.timeout_ms.unwrap_or(60_000));
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err(ApiError::Bad(format!("timeout_ms is from 1 to {}", MAX_TIMEOUT.as_millis())));
    }
    match state.verifier.start(&wish.node, timeout) {
        Ok(report) => Ok((StatusCode::ACCEPTED, Json(report))),
        Err(busy @ StartError::Busy) => Err(ApiError::Busy(busy.to_string())),
        Err(error) => Err(ApiError::Missing(error.to_string())),
    }
}

/// How far it has come.
///
/// # Errors
/// Where the token is not known.
pub async fn get(State(state): State<ApiState>, params: Params) -> Answer<Report> {
    let params = params.only(&["token"])?;
    let report = state.verifier.report(params.required("token")?);
    report
        .map(Json)
        .ok_or_else(|| ApiError::Missing("no canary of that token is known (any more)".to_owned()))
}
