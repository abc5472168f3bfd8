//! What the fuzz targets reach of this room.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::{FromRequestParts, State};
use tokio::runtime::{Builder, Runtime};

use super::params::Params;
use super::state::ApiState;
use super::{logs, poll, series, traces, verify};
use crate::sink::embedded::{Config, Store};
use crate::verify::Verifier;

struct Ground {
    runtime: Runtime,
    state: ApiState,
}

static GROUND: LazyLock<Option<Ground>> = LazyLock::new(|| {
    let state = ApiState {
        store: Store::new(&Config::default()),
        ledger: <_>::default(),
        nodes: <_>::default(),
        fanout: Arc::new(crate::fanout::Statuses::default()),
        verifier: Verifier::new(<_>::default()),
        about: <_>::default(),
    };
    Builder::new_current_thread().build().ok().map(|runtime| Ground { runtime, state })
});

/// The query of a request on the first line, for every view that takes parameters; the wish for a canary on the rest.
pub(crate) fn request(data: &[u8]) {
    let Some(Ground { runtime, state }) = &*GROUND else { return };
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let query = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let wish = serde_json::from_slice::<verify::Wish>(halves.next().unwrap_or_default());
    let Ok(request) = http::Request::builder().uri(format!("/?{query}")).body(()) else { return };
    let mut parts = request.into_parts().0;
    runtime.block_on(async {
        let Ok(params) = Params::from_request_parts(&mut parts, &()).await else { return };
        assert!(
            params.minutes().is_ok_and(|minutes| (1..=30).contains(&minutes)) || params.minutes().is_err()
        );
        // An error is an answer.
        let _node = state.node(params.text("node"));
        let _logs = logs::of(&state.store, &params);
        let _traces = traces::of(&state.store, &params);
        let _series = series::of(&state.store, &params);
        let _view = poll::get(State(state.clone()), params).await;
        if let Ok(wish) = wish {
            assert!(verify::post(State(state.clone()), Ok(Json(wish))).await.is_err(), "nobody is connected");
        }
    });
}
