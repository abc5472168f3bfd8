//! What each node is to know and do: planned here, pushed down the streams.
//!
//! | room | what it holds |
//! |---|---|
//! | `plan` | the plan, and what a node sees of it: pure |
//! | `mesh` | who measures whom: pure |
//! | `plans` | the newest plan and mesh, for everybody |
//! | `file` | a YAML file as the plan's source, read again when it changes |
//! | `members` | the nodes that there are, as the mesh's source |

mod file;
mod members;
mod mesh;
mod plan;
mod plans;

use std::path::PathBuf;

use serde::Deserialize;

pub use file::follow;
pub use members::follow_nodes;
pub use mesh::Mesh;
pub use plan::{Plan, PlanError};
pub use plans::Plans;

/// Section `control`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A file of directives (see `deploy/directives.example.yaml`); it is read again when it changes.
    pub directives: Option<PathBuf>,
    /// Nodes that measure the network between them.
    pub mesh: mesh::Config,
}
