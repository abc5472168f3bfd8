//! `ao-aggregator identity ...`: what a person does with nodes' identities. Works on the data folder, beside the
//! process that runs.

use std::io::Write;
use std::path::Path;

use ao_common::clock;
use clap::Subcommand;

use crate::identity::api::FOLDER;
use crate::identity::bootstrap;
use crate::identity::registry::{self, seconds};

/// See the module.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Lists the nodes that have enrolled: name, proof, when seen, how long the certificate still holds.
    List,
    /// Prints the file that lets a new host enrol (secret): `... identity bootstrap > bootstrap`.
    Bootstrap,
    /// Forgets a node's key: its streams end, its certificate counts no more, and it may enrol with a new key.
    Forget {
        /// The node's name, or CLUSTER/NODE.
        node: String,
    },
}

/// Runs it.
///
/// # Errors
/// A sentence for the person.
pub fn run(command: &Command, data_dir: &Path, mut out: impl Write) -> Result<(), String> {
    let folder = data_dir.join(FOLDER);
    if !folder.is_dir() {
        return Err(format!(
            "{} is not there: name the aggregator's folder by --data-dir, or start it once",
            folder.display()
        ));
    }
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    match command {
        Command::List => {
            let now = seconds(clock::system_time());
            let line = |a: &str, b: &str, c: &str, d: &str, e: &str| {
                format!("{a:<40} {b:<12} {c:>10} {d:>10}  {e}\n")
            };
            let mut text = line("NODE", "PROOF", "SEEN", "HOLDS FOR", "KEY (SHA-256)");
            for entry in registry::nodes(&folder).map_err(|error| failed(&error))? {
                let name = format!("{}/{}", entry.cluster, entry.node);
                let seen = format!("{} s ago", now.saturating_sub(entry.seen));
                let holds = format!("{} s", entry.expires.saturating_sub(now));
                text +=
                    &line(&name, entry.proof.name(), &seen, &holds, &entry.key[..entry.key.len().min(16)]);
            }
            out.write_all(text.as_bytes()).map_err(|error| failed(&error))
        }
        Command::Bootstrap => {
            let text = bootstrap::file(&folder).map_err(|error| failed(&error))?;
            out.write_all(text.as_bytes()).map_err(|error| failed(&error))
        }
        Command::Forget { node } => {
            let nodes = registry::nodes(&folder).map_err(|error| failed(&error))?;
            if !nodes.iter().any(|entry| entry.is(node)) {
                return Err(format!(
                    "no node {node:?} has enrolled here; `identity list` names those that have"
                ));
            }
            registry::ask_to_forget(&folder, node).map_err(|error| failed(&error))?;
            writeln!(out, "{node} will be forgotten within seconds, or when the aggregator starts.")
                .map_err(|error| failed(&error))
        }
    }
}
