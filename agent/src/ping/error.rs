//! Why nothing was pinged, and what the process ends with.

use std::io;

use thiserror::Error;

use crate::net::{self, OpenError};

/// fping's exit codes (fping(8)).
pub mod exit {
    /// All hosts answered.
    pub const ALL: u8 = 0;
    /// Some did not.
    pub const SOME: u8 = 1;
    /// A name has no address.
    pub const NO_ADDRESS: u8 = 2;
    /// The command line is wrong.
    pub const USAGE: u8 = 3;
    /// The system refuses.
    pub const SYSTEM: u8 = 4;
}

/// Why nothing was pinged.
#[derive(Debug, Error)]
pub enum PingError {
    /// The options contradict each other or are out of range.
    #[error("{0}")]
    Usage(String),
    /// The list of hosts.
    #[error("cannot read the hosts from {file}: {source}")]
    Hosts {
        /// Its file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// No way to probe.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The prober has ended.
    #[error(transparent)]
    Stopped(#[from] net::Stopped),
    /// The output is closed.
    #[error("cannot write the results: {0}")]
    Write(#[from] io::Error),
}

impl PingError {
    /// What the process ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            _ => exit::SYSTEM,
        }
    }
}
