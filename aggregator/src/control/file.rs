//! A YAML file as the plan's source, read again when it changes.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ao_common::health::Part;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::control::plan::Plan;
use crate::control::plans::Plans;

/// A mounted ConfigMap is swapped by a symbolic link in a folder above: its time is looked at, not a watch held.
const LOOK: Duration = Duration::from_secs(2);

/// Follows the file until the shutdown. A file that cannot be read leaves the plan before it in force and shows in
/// `/readyz`.
pub async fn follow(path: PathBuf, plans: Plans, health: Part, shutdown: CancellationToken) {
    let mut seen: Option<Option<SystemTime>> = None;
    loop {
        let changed = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        if seen != Some(changed) {
            seen = Some(changed);
            match Plan::load(&path) {
                Ok(plan) => {
                    if plans.publish(plan) {
                        info!(path = %path.display(), "directives are in force");
                    }
                    health.ready();
                }
                Err(error) => {
                    warn!(%error, "the directives before it stay in force");
                    health.not_ready(error.to_string());
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
