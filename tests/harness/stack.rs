//! An aggregator and an agent as processes, with their configurations and folders.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::eventually::eventually;
use crate::process::Process;
use crate::prometheus::get;
use crate::workspace::{binary, free_addresses};

/// Name of the agent's node.
pub const NODE: &str = "node-under-test";

/// One aggregator and one agent; killed when dropped.
pub struct Stack {
    /// Where agents connect.
    pub ingest: SocketAddr,
    /// The aggregator's HTTP doors.
    pub http: SocketAddr,
    /// The agent's HTTP doors.
    pub admin: SocketAddr,
    /// The agent's OTLP receiver.
    pub otlp: SocketAddr,
    /// Neither encryption nor identities, where a test speaks the protocol by itself.
    pub plaintext: bool,
    /// The agent's section `aggregator.tls`, where it is not the aggregator's own bootstrap file.
    pub tls: Option<String>,
    /// Where the agent believes the aggregator to be, where that is not `ingest`.
    pub uplink: Option<SocketAddr>,
    /// More of the agent's section `logs`, as `name: value, `.
    pub logs: String,
    /// What the processes find in their environment: whose (`ao-agent`, `ao-aggregator`), name, value.
    pub environment: Vec<(&'static str, &'static str, PathBuf)>,
    /// The agent's node.
    pub node: String,
    /// The one core that the agent may use, by its number.
    pub agent_core: Option<usize>,
    aggregator: Option<Process>,
    agent: Option<Process>,
    // Last, so that a failed test can still show its logs.
    folder: Folder,
}

enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl Stack {
    /// Nothing runs yet. Folders for logs are there.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn new() -> Self {
        Self::within(Folder::Temporary(tempfile::tempdir().expect("a folder can be made")))
    }

    /// The same in a folder that stays.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn keeping(folder: &Path) -> Self {
        Self::within(Folder::Kept(folder.to_owned()))
    }

    fn within(folder: Folder) -> Self {
        let [ingest, http, admin, otlp] = free_addresses();
        let environment = Vec::new();
        let stack = Self {
            folder,
            ingest,
            http,
            admin,
            otlp,
            plaintext: false,
            tls: None,
            uplink: None,
            logs: String::new(),
            environment,
            node: NODE.to_owned(),
            agent_core: None,
            aggregator: None,
            agent: None,
        };
        for name in ["pods", "files"] {
            std::fs::create_dir_all(stack.folder().join(name)).expect("a folder can be made");
        }
        stack
    }

    /// The same without encryption and identities.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn plaintext() -> Self {
        Self { plaintext: true, ..Self::new() }
    }

    /// Everything lies here.
    pub fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(folder) => folder,
        }
    }

    /// Where a process of this name keeps its state.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}-data"))
    }

    /// In place of /var/log/pods.
    pub fn pods(&self) -> PathBuf {
        self.folder().join("pods")
    }

    /// Plain files: `*.log` in it are read.
    pub fn files(&self) -> PathBuf {
        self.folder().join("files")
    }

    /// Starts the aggregator; `sinks` is that section of its YAML, `more` any others.
    ///
    /// # Panics
    /// Where its doors do not open.
    pub async fn start_aggregator(&mut self, sinks: &str, more: &str) {
        let yaml = format!(
            "name: aggregator-under-test\nhttp: {{listen: \"{}\"}}\ningest: {{listen: \"{}\", plaintext: {}}}\n\
             sinks: {sinks}\n{more}\n",
            self.http, self.ingest, self.plaintext
        );
        self.aggregator = Some(self.launch("ao-aggregator", &yaml, &[]));
        self.answers("aggregator", self.http).await;
    }

    /// Starts the agent; `more` are further sections of its YAML (`collectors`, `latency`, ...).
    ///
    /// # Panics
    /// Where its doors do not open.
    pub async fn start_agent(&mut self, more: &str) {
        let scheme = if self.plaintext { "http" } else { "https" };
        let bootstrap = self.folder().join("ao-aggregator-data/identity/bootstrap");
        let tls = self.tls.clone().unwrap_or_else(|| format!("{{bootstrap_file: {bootstrap:?}}}"));
        let yaml = format!(
            "cluster: test\nadmin: {{listen: \"{}\"}}\naggregator: {{addresses: [\"{scheme}://{}\"], retry: 500ms, tls: {tls}}}\n\
             otlp: {{grpc: \"{}\"}}\nlogs: {{{}pods: {:?}, docker: null, host: null, journal: {{folders: null}}, files: [{{path: {:?}}}]}}\n{more}\n",
            self.admin,
            self.uplink.unwrap_or(self.ingest),
            self.otlp,
            self.logs,
            self.pods(),
            self.files().join("*.log"),
        );
        self.agent = Some(self.launch("ao-agent", &yaml, &["--node", &self.node]));
        self.answers("agent", self.admin).await;
    }

    /// Starts the aggregator again as it was.
    ///
    /// # Panics
    /// Where its doors do not open.
    pub async fn restart_aggregator(&mut self) {
        self.relaunch_aggregator();
        self.answers("aggregator", self.http).await;
    }

    /// Starts the agent again as it was.
    ///
    /// # Panics
    /// Where its doors do not open.
    pub async fn restart_agent(&mut self) {
        self.relaunch_agent();
        self.answers("agent", self.admin).await;
    }

    /// Starts the aggregator again, and does not wait for its doors.
    pub fn relaunch_aggregator(&mut self) {
        self.aggregator = Some(self.relaunch("ao-aggregator", &[]));
    }

    /// Starts the agent again, and does not wait for its doors.
    pub fn relaunch_agent(&mut self) {
        self.agent = Some(self.relaunch("ao-agent", &["--node", &self.node]));
    }

    /// The aggregator's process.
    ///
    /// # Panics
    /// Where it was not started.
    pub fn aggregator(&mut self) -> &mut Process {
        self.aggregator.as_mut().expect("the aggregator was started")
    }

    /// The agent's process.
    ///
    /// # Panics
    /// Where it was not started.
    pub fn agent(&mut self) -> &mut Process {
        self.agent.as_mut().expect("the agent was started")
    }

    /// Sum of one of the aggregator's own metrics over all series whose text contains `labels`.
    ///
    /// # Errors
    /// Where the aggregator does not answer.
    pub async fn aggregator_metric(&self, name: &str, labels: &str) -> Result<f64, String> {
        metric(self.http, name, labels).await
    }

    /// The same of the agent's.
    ///
    /// # Errors
    /// Where the agent does not answer.
    pub async fn agent_metric(&self, name: &str, labels: &str) -> Result<f64, String> {
        metric(self.admin, name, labels).await
    }

    fn launch(&self, name: &str, yaml: &str, args: &[&str]) -> Process {
        std::fs::write(self.folder().join(format!("{name}.yaml")), yaml).expect("a file can be written");
        self.relaunch(name, args)
    }

    fn relaunch(&self, name: &str, args: &[&str]) -> Process {
        let mut command = match self.agent_core.filter(|_| name == "ao-agent") {
            // Takes the process's place, so that its id is the agent's.
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(binary(name));
                command
            }
            None => Command::new(binary(name)),
        };
        command.arg("--config").arg(self.folder().join(format!("{name}.yaml"))).args(args);
        command.arg("--data-dir").arg(self.data(name));
        let own = self.environment.iter().filter(|(whose, ..)| *whose == name);
        command.envs(own.map(|(_, name, value)| (name, value)));
        Process::start(name, self.folder(), &mut command)
    }

    async fn answers(&self, name: &str, address: SocketAddr) {
        let url = format!("http://{address}/healthz");
        eventually(&format!("the {name} answers"), Duration::from_secs(20), async || get(&url).await).await;
    }
}

/// Sum over the lines of a text exposition that begin with `name` and contain `labels`.
///
/// # Errors
/// Where nobody answers.
pub async fn metric(address: SocketAddr, name: &str, labels: &str) -> Result<f64, String> {
    let (_, text) = get(&format!("http://{address}/metrics")).await?;
    Ok(values(&text, name, labels).sum())
}

/// The values of a family's lines in a text exposition that contain `labels`.
pub fn values(text: &str, name: &str, labels: &str) -> impl Iterator<Item = f64> {
    let is_it = move |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
    text.lines().filter(is_it).filter_map(value)
}
