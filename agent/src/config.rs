//! The configuration: one YAML file, composed of what each part owns.

use std::net::SocketAddr;
use std::path::PathBuf;

use ao_common::telemetry;
use ao_common::units::Size;
use serde::Deserialize;

use crate::context::Roots;
use crate::{
    batch, collector, container, enrich, latency, logs, mesh, net, otlp, path, pipeline, rules, spool,
    streams, uplink,
};

/// The whole file. An empty one works.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The `cluster` label.
    pub cluster: String,
    /// Folder for the spool and the agent's state.
    pub data_dir: PathBuf,
    /// Where the host's /proc, /sys and / are.
    pub host: Roots,
    /// Our own log lines.
    pub log: telemetry::Config,
    /// `/metrics /healthz /readyz /log-level`.
    pub admin: Admin,
    /// Where the data goes.
    pub aggregator: uplink::Config,
    /// Host metrics.
    pub collectors: collector::Config,
    /// Metrics of containers, pods and services.
    pub containers: container::Config,
    /// Log files.
    pub logs: logs::Config,
    /// How the network is probed.
    pub net: net::Config,
    /// Round trips.
    pub latency: latency::Config,
    /// Hop-by-hop paths.
    pub path: path::Config,
    /// What two agents measure together.
    pub mesh: mesh::Config,
    /// Spans from the node's applications.
    pub otlp: otlp::Config,
    /// Labels from the directives.
    pub enrich: enrich::Config,
    /// What is done to each log line.
    pub pipeline: pipeline::Config,
    /// What every line counts for.
    pub rules: rules::Config,
    /// How many streams of lines there may be.
    pub streams: streams::Config,
    /// When a frame is closed.
    pub batch: batch::Config,
    /// What waits for the aggregator.
    pub spool: spool::Config,
}

/// Section `admin`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address.
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8810)) }
    }
}

impl Config {
    /// What the file's form alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the key, what is wrong and what may stand there.
    pub fn check(&self) -> Result<(), String> {
        if self.aggregator.addresses.is_empty() {
            return Err(
                "aggregator.addresses is empty: name at least one, such as https://127.0.0.1:4417".to_owned()
            );
        }
        let schemes = ["https://", "http://"];
        for address in &self.aggregator.addresses {
            let host = schemes.iter().find_map(|scheme| address.strip_prefix(scheme)).unwrap_or_default();
            if host.is_empty() || !host.contains(':') {
                return Err(format!(
                    "aggregator.addresses: {address:?} is not an address such as https://127.0.0.1:4417"
                ));
            }
        }
        if !(0.0..=1.0).contains(&self.aggregator.backlog_share) {
            return Err("aggregator.backlog_share must be from 0 to 1".to_owned());
        }
        let plain = self.aggregator.addresses.iter().filter(|address| address.starts_with("http://")).count();
        if plain != 0 && plain != self.aggregator.addresses.len() {
            return Err(
                "aggregator.addresses: either all are https:// or, in a lab, all are http://".to_owned()
            );
        }
        self.collectors.collectors(None).map_err(|error| error.to_string())?;
        self.latency.check()?;
        self.logs.check().map_err(|error| error.to_string())?;
        self.path.check()?;
        self.otlp.check()?;
        self.containers.check()?;
        self.rules.check()?;
        self.streams.check()?;
        self.mesh.check()?;
        let most = Size::mib(4);
        if self.batch.bytes > most || self.batch.bytes.0 == 0 || self.batch.lines == 0 {
            return Err(format!("batch: bytes must be from 1B to {most}, and lines at least 1"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "default".to_owned(),
            data_dir: "data/agent".into(),
            host: Roots::default(),
            log: telemetry::Config::default(),
            admin: Admin::default(),
            aggregator: uplink::Config::default(),
            collectors: collector::Config::default(),
            containers: container::Config::default(),
            logs: logs::Config::default(),
            net: net::Config::default(),
            latency: latency::Config::default(),
            path: path::Config::default(),
            mesh: mesh::Config::default(),
            otlp: otlp::Config::default(),
            enrich: enrich::Config::default(),
            pipeline: pipeline::Config::default(),
            rules: rules::Config::default(),
            streams: streams::Config::default(),
            batch: batch::Config::default(),
            spool: spool::Config::default(),
        }
    }
}
