//! The agent and its aggregator, alone with the client's network.

use std::error::Error;
use std::fmt::Write as _;
use std::process::{Child, Stdio};

use ao_tests::workspace::binary;
use tempfile::TempDir;

use super::world::{CLIENT, World};
use super::{INTERVAL, TARGETS, target};
use crate::api::cpu_seconds;
use crate::netns::Children;

/// The aggregator's doors, within the client's namespace.
const HTTP: &str = "127.0.0.1:8800";
const INGEST: &str = "127.0.0.1:4417";

/// Both processes; ended when dropped.
pub(super) struct Ours {
    agent: u32,
    _running: Children,
    _folder: TempDir,
}

/// What the aggregator has got.
pub(super) struct Shown {
    /// Of all targets together.
    pub(super) hops: usize,
    /// Share of all probes to them.
    pub(super) loss: f64,
}

impl Ours {
    pub(super) fn start(world: &World) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let data = |name: &str| folder.path().join(format!("{name}-data"));
        let aggregator = format!(
            "data_dir: {:?}\nhttp: {{listen: \"{HTTP}\"}}\ningest: {{listen: \"{INGEST}\", plaintext: true}}\n",
            data("aggregator")
        );
        let mut agent = format!(
            "data_dir: {:?}\naggregator: {{addresses: [\"http://{INGEST}\"]}}\n\
             logs: {{pods: {:?}, docker: null, host: null, journal: {{folders: null}}}}\n\
             latency: {{targets: []}}\ncontainers: {{enabled: false}}\ncollectors: {{interval: 1h}}\n\
             path:\n  interval: {}s\n  queries: 1\n  flows: 1\n  names: false\n  targets:\n",
            data("agent"),
            folder.path().join("pods"),
            INTERVAL.as_secs()
        );
        for n in 1..=TARGETS {
            writeln!(agent, "    - {}", target(n))?;
        }
        let mut running = Children(Vec::new());
        for (program, yaml) in [("ao-aggregator", aggregator), ("ao-agent", agent)] {
            let config = folder.path().join(format!("{program}.yaml"));
            std::fs::write(&config, yaml)?;
            let log = std::fs::File::create(folder.path().join(format!("{program}.log")))?;
            let mut command = world.spaces.command(CLIENT, &binary(program));
            command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(log);
            running.0.push(command.spawn()?);
        }
        let agent = running.0.last().map(Child::id).ok_or("nothing was started")?;
        Ok(Self { agent, _running: running, _folder: folder })
    }

    /// Seconds of the agent so far.
    pub(super) fn cpu(&self) -> Result<f64, Box<dyn Error>> {
        cpu_seconds(self.agent)
    }

    /// # Errors
    /// Where a target is missing.
    pub(super) fn shown(&self, world: &World) -> Result<Shown, Box<dyn Error>> {
        let text = world.spaces.get(CLIENT, HTTP, "/api/v1/paths")?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let paths = answer["paths"].as_array().ok_or_else(|| format!("no paths in {text}"))?;
        if paths.len() != usize::from(TARGETS) {
            return Err(format!("only {} of {TARGETS} targets were traced", paths.len()).into());
        }
        let hops: Vec<_> = paths.iter().flat_map(|path| path["hops"].as_array()).flatten().collect();
        let (mut sent, mut lost) = (0.0, 0.0);
        for hop in &hops {
            let probes = hop["snt"].as_f64().unwrap_or(0.0);
            sent += probes;
            lost += probes * hop["loss"].as_f64().unwrap_or(100.0) / 100.0;
        }
        Ok(Shown { hops: hops.len(), loss: lost / f64::max(sent, 1.0) })
    }
}
