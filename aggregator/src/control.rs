//! What each node is to know and do: planned here, pushed down the streams.
//!
//! | room | what it holds |
//! |---|---|
//! | `plan` | the plan, and what a node sees of it: pure |
//! | `file` | a YAML file as the plan's source, read again when it changes |

mod file;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::watch;

pub use file::follow;
pub use plan::{Plan, PlanError};

/// Section `control`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A file of directives (see `deploy/directives.example.yaml`); it is read again when it changes.
    pub directives: Option<PathBuf>,
}

/// The newest plan, for everybody. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plans(Arc<watch::Sender<Arc<Plan>>>);

impl Default for Plans {
    fn default() -> Self {
        Self(Arc::new(watch::channel(Arc::default()).0))
    }
}

impl Plans {
    /// Wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Plan>> {
        self.0.subscribe()
    }

    /// Replaces the plan; the same content wakes nobody.
    pub fn publish(&self, plan: Plan) -> bool {
        self.0.send_if_modified(|current| {
            let changed = **current != plan;
            if changed {
                *current = Arc::new(plan);
            }
            changed
        })
    }
}
