//! The command line: where the configuration is. Everything else stands in the YAML file.

use std::path::PathBuf;

use clap::Parser;

/// Takes the streams of all agents, keeps them durably and hands them to Prometheus, Loki, Tempo and its own console.
#[derive(Debug, Parser)]
#[command(name = "ao-aggregator", version, about, long_about = None)]
pub struct Cli {
    /// YAML file; without one the defaults hold.
    #[arg(long, short, env = "AO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for the journals; wins over the file's data_dir.
    #[arg(long, env = "AO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check_config: bool,
}
