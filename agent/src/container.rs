//! The figures of containers, pods and services, read from the cgroup files, under cAdvisor's names, labels and units.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | a part's row in the table, where its samples go, its errors |
//! | `config`, `rounds`, `stats` | the section; a round: a survey, then all groups, with a deadline; what is counted and said |
//! | `survey`, `tree`, `path`, `names` | which cgroups there are, what they are, and what they are called |
//! | `hierarchy`, `reader`, `files` | where the files are (v1, v2, both), and how they are read |
//! | `processes`, `carriers` | which process of a pod tells its network, and under whose labels |
//! | `group`, `cgroup` | what is read together; what is remembered of each |
//! | `table` | the parts, in order |
//! | `spec`, `cpu`, `memory`, `io`, `pids`, `pressure`, `network`, `machine` | one part each: a source of the kernel with its families |
//!
//! Neither the host's process ids nor a runtime's socket is needed. A pod's own cgroup gives series without
//! `container`; a sandbox has its image and no `container` either, as with cAdvisor and containerd, so that
//! `container!=""` chooses what people run, under every runtime.

mod api;

mod cpu;
mod io;
mod machine;
mod memory;
mod network;
mod pids;
mod pressure;
mod spec;
mod table;

mod carriers;
mod cgroup;
mod config;
mod files;
pub(crate) mod fuzzing;
mod group;
mod hierarchy;
mod names;
mod path;
mod processes;
mod reader;
mod rounds;
mod stats;
mod survey;
mod tree;

use std::sync::Arc;

use ao_common::admin::SharedRegistry;
use ao_proto::v1::Directives;
use tokio::task::JoinError;

use crate::context::Context;
pub use config::{Config, Job};
pub use rounds::Containers;

/// The name of the source: in the ledger, and for `ao-agent collect --collector`.
pub const NAME: &str = "container";

/// Reads all cgroups in every interval until shutdown; what could not be read is counted in `registry`.
///
/// # Errors
/// Only where a thread could not be used.
pub async fn run(config: Config, ctx: Context, registry: SharedRegistry) -> Result<(), JoinError> {
    if !config.enabled {
        ctx.shutdown.cancelled().await;
        return Ok(());
    }
    let interval = config.interval.0;
    let containers = Containers::new(config, ctx.node.roots.clone());
    containers.register(&registry);
    let skipped = crate::rounds::skipped(&registry, NAME);
    let directives = ctx.directives.clone();
    let round = move |containers: &mut Containers, at_ms| {
        let known: Arc<Directives> = Arc::clone(&directives.borrow());
        containers.round(&known, at_ms)
    };
    crate::rounds::run(containers, interval, &ctx, skipped, round).await
}

#[cfg(test)]
mod tests;
