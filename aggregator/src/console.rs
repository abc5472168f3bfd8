//! The console: one page and its few files, built into the binary, fed by [`crate::api`] and by nothing else. No build
//! step, no foreign resource: it works on a machine that reaches nothing but this aggregator.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::api::{self, ApiState};

#[cfg(test)]
mod tests;

/// Views that a listener may open on.
pub const VIEWS: [&str; 9] =
    ["overview", "host", "logs", "latency", "path", "mesh", "map", "traces", "ledger"];

const PAGE: &str = include_str!("console/index.html");
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// What stands in the page where the listener's own view goes.
const START: &str = "data-start=\"overview\"";

/// Everything besides the page: path below `/console/`, type, content.
const ASSETS: [(&str, &str, &str); 23] = [
    ("icon.svg", "image/svg+xml", include_str!("console/icon.svg")),
    ("base.css", CSS, include_str!("console/css/base.css")),
    ("parts.css", CSS, include_str!("console/css/parts.css")),
    ("views.css", CSS, include_str!("console/css/views.css")),
    ("app.js", JS, include_str!("console/js/app.js")),
    ("dom.js", JS, include_str!("console/js/dom.js")),
    ("format.js", JS, include_str!("console/js/format.js")),
    ("canvas.js", JS, include_str!("console/js/canvas.js")),
    ("chart.js", JS, include_str!("console/js/chart.js")),
    ("smoke.js", JS, include_str!("console/js/smoke.js")),
    ("spark.js", JS, include_str!("console/js/spark.js")),
    ("rows.js", JS, include_str!("console/js/rows.js")),
    ("overview.js", JS, include_str!("console/js/overview.js")),
    ("host.js", JS, include_str!("console/js/host.js")),
    ("logs.js", JS, include_str!("console/js/logs.js")),
    ("latency.js", JS, include_str!("console/js/latency.js")),
    ("path.js", JS, include_str!("console/js/path.js")),
    ("mesh.js", JS, include_str!("console/js/mesh.js")),
    ("map.js", JS, include_str!("console/js/map.js")),
    ("layout.js", JS, include_str!("console/js/layout.js")),
    ("traces.js", JS, include_str!("console/js/traces.js")),
    ("ledger.js", JS, include_str!("console/js/ledger.js")),
    ("canary.js", JS, include_str!("console/js/canary.js")),
];

/// Sent with every file. The policy lets the page load from this aggregator only, so that a hostile log line that
/// found a way into the page could still load and tell nothing.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // The files change with the binary, under the same names.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// The page at `/`, opening on `start_view` (one of [`VIEWS`], else the overview), its files at `/console/`, and the
/// answers at `/api/v1/`.
pub fn router(start_view: &str, state: ApiState) -> Router {
    let view = VIEWS.into_iter().find(|view| *view == start_view).unwrap_or("overview");
    let page = PAGE.replacen(START, &format!("data-start=\"{view}\""), 1);
    let mut router =
        api::router(state).route("/", get(move || async move { file("text/html; charset=utf-8", page) }));
    for (name, kind, content) in ASSETS {
        router = router.route(&format!("/console/{name}"), get(move || async move { file(kind, content) }));
    }
    router.route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
}

fn file(kind: &'static str, content: impl IntoResponse) -> impl IntoResponse {
    (HEADERS, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], content)
}
