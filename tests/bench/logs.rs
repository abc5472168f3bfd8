//! Logs: what the agent's process takes to read lines, and what they weigh on the wire.
//!
//! | room | what it holds |
//! |---|---|
//! | `storm` | as many lines as a core reads |
//! | `steady` | 10,000 lines a second, and 1,000 files that nobody writes to |
//! | `weight` | bytes on the wire, beside OTLP |

mod steady;
mod storm;
mod weight;

use std::error::Error;

use crate::api::Row;

/// The agent's sections beside `logs`: nothing else is read.
const LOGS_ALONE: &str =
    "collectors: {interval: 1h}\ncontainers: {enabled: false}\nlatency: {targets: []}\npath: {targets: []}";

/// All figures.
///
/// # Errors
/// Where a process cannot be started, or lines do not come back as they were.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = weight::run()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        rows.push(storm::run().await?);
        rows.extend(steady::run().await?);
        Ok(rows)
    })
}
