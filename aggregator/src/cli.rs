//! The command line: where the configuration is, and what can be done beside running. Everything else stands in the YAML file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::identity;

/// Takes the streams of all agents, keeps them durably and hands them to Prometheus, Loki, Tempo and its own console.
#[derive(Debug, Parser)]
#[command(name = "ao-aggregator", version, about, long_about = None)]
pub struct Cli {
    /// YAML file; without one the defaults hold.
    #[arg(long, short, env = "AO_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Folder for the journals; wins over the file's data_dir.
    #[arg(long, env = "AO_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check_config: bool,
    /// Without one: runs the aggregator.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done beside running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lets a canary out at an agent, looks for it in every store, and checks the ledger.
    Verify(crate::verify::command::Args),
    /// Nodes' identities: who has enrolled, how a new host does, how a lost one is let back in.
    #[command(subcommand)]
    Identity(identity::Command),
    /// Shows what lies in the journals, or makes damaged ones clean.
    #[command(subcommand)]
    Journal(crate::journal::inspect::Args),
}
