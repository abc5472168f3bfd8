//! One live key for each node's name. A name is taken while its certificate holds and its agent is here or was here
//! lately; then another key or another agent id is refused. The ways out for a host whose state folder was lost: its
//! old agent is away for `identity.takeover_after`, its old certificate expires, or a person says
//! `ao-aggregator identity forget NODE`. Each replica keeps its own list, so a double that speaks to another replica
//! is seen when one of the two fails over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_common::clock;
use ao_common::tls::name::NodeId;
use ao_common::tls::read::{Fingerprint, NodeCertificate};
use ao_common::tls::{TlsError, files, hex};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::identity::api::Refusal;

/// Nodes remembered; beyond it those longest unseen go.
const MOST: usize = 50_000;
/// Nodes whose certificate has ended are remembered this long, for people.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
const FILE: &str = "nodes.json";
/// Names to forget, a line each; written by the command, read by the process that runs.
const FORGET: &str = "forget";

/// How a node proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    /// The bootstrap token.
    Bootstrap,
    /// A service-account token.
    Kubernetes,
    /// A certificate that was signed elsewhere: by another replica.
    Certificate,
}

impl Proof {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Kubernetes => "kubernetes",
            Self::Certificate => "certificate",
        }
    }
}

/// One node, as the file has it. Times in seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) agent: String,
    pub(crate) key: String,
    pub(crate) proof: Proof,
    pub(crate) expires: u64,
    pub(crate) seen: u64,
    #[serde(skip)]
    open: u32,
}

/// Keys that no longer count, until their certificates end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Forgotten {
    key: String,
    until: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    nodes: Vec<Entry>,
    #[serde(default)]
    forgotten: Vec<Forgotten>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<(String, String), Entry>,
    forgotten: Vec<Forgotten>,
    changed: bool,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    started: u64,
    takeover_after: u64,
    /// Counts what was forgotten, so that open streams look.
    forgets: Arc<watch::Sender<u64>>,
}

impl Registry {
    pub(crate) fn open(folder: &Path, takeover_after: Duration) -> Result<Self, TlsError> {
        let path = folder.join(FILE);
        let list = read(&path)?;
        let nodes = list.nodes.into_iter().map(|entry| ((entry.cluster.clone(), entry.node.clone()), entry));
        let state = State { nodes: nodes.collect(), forgotten: list.forgotten, changed: false };
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
            path,
            started: seconds(clock::system_time()),
            takeover_after: takeover_after.as_secs(),
            forgets: Arc::new(watch::channel(0).0),
        })
    }

    /// Gives the name to this key, until `expires`.
    pub(crate) fn claim(
        &self,
        id: &NodeId,
        key: &Fingerprint,
        proof: Proof,
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        self.check(&state, id, key, proof, seconds(now))?;
        self.take(&mut state, id, key, proof, seconds(expires), seconds(now));
        Ok(())
    }

    /// Begins a stream under a certificate that was checked.
    pub(crate) fn enter(&self, caller: &NodeCertificate, now: SystemTime) -> Result<(), Refusal> {
        let mut state = self.lock();
        let (id, key) = (&caller.id, &caller.key);
        self.check(&state, id, key, Proof::Certificate, seconds(now))?;
        self.take(&mut state, id, key, Proof::Certificate, seconds(caller.not_after), seconds(now));
        if let Some(entry) = state.nodes.get_mut(&name(id)) {
            entry.open += 1;
        }
        Ok(())
    }

    /// Changes whenever a node was forgotten.
    pub(crate) fn forgets(&self) -> watch::Receiver<u64> {
        self.forgets.subscribe()
    }

    /// The other end of [`Registry::enter`].
    pub(crate) fn leave(&self, id: &NodeId, key: &Fingerprint) {
        let now = seconds(clock::system_time());
        let mut state = self.lock();
        if let Some(entry) = state.nodes.get_mut(&name(id)).filter(|entry| entry.key == hex(key)) {
            entry.open = entry.open.saturating_sub(1);
            entry.seen = now;
            state.changed = true;
        }
    }

    pub(crate) fn is_forgotten(&self, key: &Fingerprint) -> bool {
        let key = hex(key);
        self.lock().forgotten.iter().any(|forgotten| forgotten.key == key)
    }

    fn check(
        &self,
        state: &State,
        id: &NodeId,
        key: &Fingerprint,
        proof: Proof,
        now: u64,
    ) -> Result<(), Refusal> {
        let key = hex(key);
        if state.forgotten.iter().any(|forgotten| forgotten.key == key) {
            return Err(Refusal::forgotten(id));
        }
        let Some(entry) = state.nodes.get(&name(id)) else { return Ok(()) };
        if (entry.key == key && entry.agent == hex(&id.agent)) || entry.expires <= now {
            return Ok(());
        }
        // Agents need a moment to come back after our own start.
        let away = now.saturating_sub(entry.seen.max(self.started));
        // A service-account token says by itself which node it is on.
        let enough = if proof == Proof::Kubernetes { 0 } else { self.takeover_after };
        if entry.open > 0 {
            let way = "stop the one that does not belong, or say `ao-aggregator identity forget NODE`";
            return Err(Refusal::doubled(id, way));
        }
        if away < enough {
            let left = enough - away;
            let way = format!(
                "if this is the same host with a new state folder, it may take the name in {left} s, \
                 or at once after `ao-aggregator identity forget {}`",
                id.node
            );
            return Err(Refusal::doubled(id, &way));
        }
        warn!(node = %id, "takes its name over with a new key: the old one was away for {away} s");
        Ok(())
    }

    fn take(&self, state: &mut State, id: &NodeId, key: &Fingerprint, proof: Proof, expires: u64, seen: u64) {
        let (key, agent) = (hex(key), hex(&id.agent));
        let held = state.nodes.get(&name(id)).filter(|entry| entry.key == key && entry.agent == agent);
        let entry = Entry {
            cluster: id.cluster.clone(),
            node: id.node.clone(),
            agent,
            key,
            // A stream says nothing new about the proof.
            proof: held.map_or(proof, |held| if proof == Proof::Certificate { held.proof } else { proof }),
            expires: held.map_or(expires, |held| expires.max(held.expires)),
            seen,
            open: held.map_or(0, |held| held.open),
        };
        state.nodes.insert(name(id), entry);
        state.changed = true;
    }

    /// How the holder of this key proved itself here.
    pub(crate) fn proof_of(&self, id: &NodeId, key: &Fingerprint) -> Option<Proof> {
        let state = self.lock();
        let entry = state.nodes.get(&name(id))?;
        (entry.key == hex(key) && entry.agent == hex(&id.agent)).then_some(entry.proof)
    }

    /// Forgets the nodes that the command named.
    pub(crate) fn forget_as_asked(&self, folder: &Path, now: SystemTime) -> Result<(), TlsError> {
        let path = folder.join(FORGET);
        if !path.exists() {
            return Ok(());
        }
        let asked = files::read_text(&path)?;
        // Gone before it is done: a second command may follow at once, and a line done twice does no harm.
        std::fs::remove_file(&path).map_err(|cause| TlsError::File {
            what: "remove",
            path: path.clone(),
            cause,
        })?;
        for wanted in asked.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.forget(wanted, seconds(now));
        }
        Ok(())
    }

    fn forget(&self, wanted: &str, now: u64) {
        let mut state = self.lock();
        let found: Vec<_> =
            state.nodes.iter().filter(|(_, entry)| entry.is(wanted)).map(|(at, _)| at.clone()).collect();
        for at in found {
            if let Some(entry) = state.nodes.remove(&at) {
                info!(node = entry.node, cluster = entry.cluster, "forgotten: its key no longer counts");
                if entry.expires > now {
                    state.forgotten.push(Forgotten { key: entry.key, until: entry.expires });
                }
            }
            state.changed = true;
        }
        drop(state);
        self.forgets.send_modify(|count| *count += 1);
    }

    /// Writes the list where it changed; drops what nobody needs any more.
    pub(crate) fn save(&self, now: SystemTime) -> Result<(), TlsError> {
        let now = seconds(now);
        let text = {
            let mut state = self.lock();
            let before = (state.nodes.len(), state.forgotten.len());
            state.forgotten.retain(|forgotten| forgotten.until > now);
            state.nodes.retain(|_, entry| entry.open > 0 || entry.expires + REMEMBERED.as_secs() > now);
            while state.nodes.len() > MOST {
                let unseen = state
                    .nodes
                    .iter()
                    .filter(|(_, entry)| entry.open == 0)
                    .min_by_key(|(_, entry)| entry.seen);
                let Some(at) = unseen.map(|(at, _)| at.clone()) else { break };
                state.nodes.remove(&at);
            }
            if !state.changed && before == (state.nodes.len(), state.forgotten.len()) {
                return Ok(());
            }
            state.changed = false;
            let list =
                List { nodes: state.nodes.values().cloned().collect(), forgotten: state.forgotten.clone() };
            serde_json::to_vec_pretty(&list).unwrap_or_default()
        };
        let written = files::write_private(&self.path, &text);
        if written.is_err() {
            self.lock().changed = true;
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether a person means this one: by node, or `cluster/node`.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        self.node == wanted || format!("{}/{}", self.cluster, self.node) == wanted
    }
}

/// The list as it lies on disk, for the command.
pub(crate) fn nodes(folder: &Path) -> Result<Vec<Entry>, TlsError> {
    Ok(read(&folder.join(FILE))?.nodes)
}

/// Asks the process that runs to forget a node.
pub(crate) fn ask_to_forget(folder: &Path, wanted: &str) -> Result<(), TlsError> {
    let path = folder.join(FORGET);
    let before = if path.exists() { files::read_text(&path)? } else { String::new() };
    files::write_private(&path, format!("{before}{wanted}\n").as_bytes())
}

fn read(path: &Path) -> Result<List, TlsError> {
    if !path.exists() {
        return Ok(List::default());
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|cause| TlsError::File { what: "read", path: path.to_owned(), cause })?;
    serde_json::from_str(&text).map_err(|error| {
        let cause = std::io::Error::other(format!(
            "it is damaged ({error}); remove it, nodes come back by themselves"
        ));
        TlsError::File { what: "read", path: path.to_owned(), cause }
    })
}

fn name(id: &NodeId) -> (String, String) {
    (id.cluster.clone(), id.node.clone())
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
