//! The command line: where the configuration is and who this node is. Everything else stands in the YAML file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Reads this node: host metrics, logs, latency, paths and traces; streams them to an aggregator.
#[derive(Debug, Parser)]
#[command(name = "ao-agent", version, about, long_about = None)]
pub struct Cli {
    /// YAML file; without one the defaults hold.
    #[arg(long, short, env = "AO_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// This node's name [default: the host's name].
    #[arg(long, env = "AO_NODE", global = true)]
    pub node: Option<String>,
    /// Folder for the spool and the agent's state; wins over the file's data_dir.
    #[arg(long, env = "AO_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check_config: bool,
    /// Without one: runs the agent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done beside running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints or serves the host's metrics as Prometheus text.
    Collect(crate::collect::Args),
    /// Prints what the pipeline makes of log lines, for those who write its stages.
    Tail(crate::tail::Args),
    /// Pings hosts like fping.
    Ping(crate::ping::Args),
    /// Shows the path to a host, hop by hop, like mtr.
    Mtr(crate::mtr::Args),
    /// Turns another tool's configuration into ours.
    #[command(subcommand)]
    Convert(crate::convert::Args),
    /// Prints the alerts of the section latency as rules for Prometheus, whose alerts Alertmanager takes.
    Alerts,
    /// Records the host's metrics at an interval, for benchmarks.
    Record(crate::record::Args),
    /// Shows what lies in the spool, or makes a damaged one clean.
    #[command(subcommand)]
    Journal(crate::spool::inspect::Args),
}
