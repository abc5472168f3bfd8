//! The configuration: one YAML file, composed of what each part owns.

use std::net::SocketAddr;
use std::path::PathBuf;

use ao_common::telemetry;
use serde::Deserialize;

use crate::{control, fanout, identity, ingest, journal, sink, up};

/// The whole file. An empty one works: the embedded store and the console, and nothing else to install.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This aggregator's name [default: the host's name].
    pub name: String,
    /// Folder for the journals.
    pub data_dir: PathBuf,
    /// Our own log lines.
    pub log: telemetry::Config,
    /// Admin doors, API and console.
    pub http: Http,
    /// Where agents connect.
    pub ingest: ingest::Config,
    /// Who they are: the CA and enrolment.
    pub identity: identity::Config,
    /// What is kept, and how much of it.
    pub journal: journal::Config,
    /// What the nodes are told.
    pub control: control::Config,
    /// Where the data goes.
    pub sinks: sink::Config,
    /// How it gets there.
    pub fanout: fanout::Config,
    /// Which nodes are up.
    pub up: up::Config,
}

/// Section `http`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Admin doors, API and the console.
    pub listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8800)) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: ao_common::process::host_name(),
            data_dir: "data/aggregator".into(),
            log: telemetry::Config::default(),
            http: Http::default(),
            ingest: ingest::Config::default(),
            identity: identity::Config::default(),
            journal: journal::Config::default(),
            control: control::Config::default(),
            sinks: sink::Config::default(),
            fanout: fanout::Config::default(),
            up: up::Config::default(),
        }
    }
}
