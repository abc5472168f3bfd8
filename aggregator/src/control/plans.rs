//! The newest plan and mesh, for everybody who pushes them.

use std::sync::Arc;

use ao_proto::v1::Directives;
use tokio::sync::watch;

use crate::control::mesh::Mesh;
use crate::control::plan::Plan;

/// The newest of both, for everybody. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plans(Arc<watch::Sender<Orders>>);

/// What nodes are told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    plan: Arc<Plan>,
    mesh: Arc<Mesh>,
}

impl Orders {
    /// What one node is told.
    pub fn for_node(&self, cluster: &str, node: &str) -> Directives {
        self.plan.for_node(cluster, node, &self.mesh)
    }
}

impl Default for Plans {
    fn default() -> Self {
        Self(Arc::new(watch::channel(Orders::default()).0))
    }
}

impl Plans {
    /// Wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<Orders> {
        self.0.subscribe()
    }

    /// Replaces the plan; the same content wakes nobody.
    pub fn publish(&self, plan: Plan) -> bool {
        self.0.send_if_modified(|orders| replace(&mut orders.plan, plan))
    }

    /// Replaces the mesh; the same content wakes nobody.
    pub fn publish_mesh(&self, mesh: Mesh) -> bool {
        self.0.send_if_modified(|orders| replace(&mut orders.mesh, mesh))
    }
}

fn replace<T: PartialEq>(held: &mut Arc<T>, new: T) -> bool {
    let changed = **held != new;
    if changed {
        *held = Arc::new(new);
    }
    changed
}
