//! The newest plan, for everybody who pushes it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::control::plan::Plan;

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
