//! The nodes by agent, in one small file: `{"<agent's id in hex>": {"node": ..., "cluster": ..., "seen_ms": ...}}`.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::reach::Reach;

/// More agents than one aggregator serves; the names of further ones are known only while they are connected.
const MAX_NAMES: usize = 20_000;
/// Between two attempts to write.
const RETRY: Duration = Duration::from_secs(10);

/// How far behind the time that is kept of an agent may be; a file of all nodes is not written at each frame.
const SEEN_MS: i64 = 300_000;

/// What is kept of an agent's node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(super) struct Known {
    pub(super) node: String,
    pub(super) cluster: String,
    /// When it last sent anything, milliseconds since 1970; 0 where nobody knows.
    pub(super) seen_ms: i64,
    /// Where it takes part in the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reach: Option<Reach>,
}

/// In the file; a name alone is of an earlier version.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Name(String),
    Known {
        node: String,
        #[serde(default)]
        cluster: String,
        #[serde(default)]
        seen_ms: i64,
        #[serde(default)]
        reach: Option<Reach>,
    },
}

impl From<Stored> for Known {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Name(node) => Self { node, ..Self::default() },
            Stored::Known { node, cluster, seen_ms, reach } => Self { node, cluster, seen_ms, reach },
        }
    }
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    path: PathBuf,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
    earlier_ms: i64,
    changed: Arc<Notify>,
}

impl Names {
    /// Those in the file; none where there is no file, or where it is damaged: agents greet again. Blocking.
    pub(super) fn load(path: &Path) -> Self {
        let known = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
        };
        let known = known.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error, "cannot read the nodes' names; agents will tell them");
            BTreeMap::new()
        });
        let newest_ms = known.values().map(|known: &Known| known.seen_ms).max().unwrap_or(0);
        let earlier_ms = newest_ms.saturating_sub(SEEN_MS);
        Self {
            path: path.to_owned(),
            known: Arc::new(Mutex::new(known)),
            earlier_ms,
            changed: Arc::default(),
        }
    }

    /// Whoever was there when an earlier process ended is kept as seen at this time or later, milliseconds since 1970.
    pub(super) fn earlier_ms(&self) -> i64 {
        self.earlier_ms
    }

    pub(super) fn get(&self, agent: &[u8; 16]) -> Option<String> {
        self.lock().get(&hex(agent)).map(|known| known.node.clone())
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<Known> {
        self.lock().values().cloned().collect()
    }

    /// An agent has told its node's name and, where `reach` is something, whether and how others reach it.
    pub(super) fn note(
        &self,
        agent: [u8; 16],
        node: &str,
        cluster: &str,
        reach: Option<Option<Reach>>,
        now_ms: i64,
    ) {
        let mut known = self.lock();
        let agent = hex(&agent);
        let held = known.get(&agent);
        let reach = reach.unwrap_or_else(|| held.and_then(|held| held.reach.clone()));
        let is_new =
            held.is_none_or(|held| held.node != node || held.cluster != cluster || held.reach != reach);
        if is_new && (known.len() < MAX_NAMES || known.contains_key(&agent)) {
            let new = Known { node: node.to_owned(), cluster: cluster.to_owned(), seen_ms: now_ms, reach };
            known.insert(agent, new);
            self.changed.notify_one();
        }
    }

    /// When agents last sent anything: written once in a while.
    pub(super) fn seen(&self, agents: impl Iterator<Item = ([u8; 16], i64)>) {
        let mut known = self.lock();
        let mut is_old = false;
        for (agent, seen_ms) in agents {
            if let Some(known) = known.get_mut(&hex(&agent))
                && seen_ms.saturating_sub(known.seen_ms) >= SEEN_MS
            {
                known.seen_ms = seen_ms;
                is_old = true;
            }
        }
        if is_old {
            self.changed.notify_one();
        }
    }

    /// Writes the file at every change, until the shutdown.
    pub(super) async fn keep(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = shutdown.cancelled() => return,
            }
            let names = self.clone();
            match tokio::task::spawn_blocking(move || names.write()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "cannot keep the nodes' names; trying again in {RETRY:?}");
                    self.changed.notify_one();
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = shutdown.cancelled() => return,
                    }
                }
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_string(&*self.lock()).map_err(io::Error::other)?;
        let new = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent's id as it is shown.
fn hex(agent: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(zone: &str) -> Reach {
        let address = std::net::Ipv4Addr::new(10, 0, 0, 1).into();
        Reach { address, port: 4418, zone: zone.to_owned(), synchronised: false }
    }

    /// Scenario: two agents tell their names, one of them a new one later; the process ends; the file is damaged.
    /// Guarantees: the next process knows the newest names and who is reached how; damage costs them until the agents greet, and no more.
    #[tokio::test]
    async fn names_outlive_the_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("nodes.json");
        let names = Names::load(&path);
        for (agent, node) in [(1, "web-1"), (2, "web-2"), (1, "web-one")] {
            let reach = (agent == 1).then(|| Some(reach(node)));
            names.note([agent; 16], node, "blue", reach, 7);
        }
        for lane in [None, Some(None)] {
            names.note([2; 16], "web-2", "blue", lane, 7);
        }
        names.seen([([1; 16], 8), ([2; 16], 7 + SEEN_MS)].into_iter());
        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(names.keep(shutdown.clone()));
        while !path.is_file() {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        keeping.await.expect("kept");
        let names = Names::load(&path);
        assert_eq!(names.get(&[1; 16]).as_deref(), Some("web-one"));
        assert_eq!(names.get(&[2; 16]).as_deref(), Some("web-2"));
        assert_eq!(names.get(&[3; 16]), None);
        let reached: Vec<_> = names.list().into_iter().map(|known| known.reach).collect();
        assert_eq!(reached, [Some(reach("web-one")), None]);
        let seen: Vec<_> = names.list().into_iter().map(|known| (known.cluster, known.seen_ms)).collect();
        assert_eq!(seen, [("blue".to_owned(), 7), ("blue".to_owned(), 7 + SEEN_MS)]);
        assert_eq!(names.earlier_ms(), 7);
        let old = format!("{{\"{}\": \"web-3\"}}", hex(&[3; 16]));
        std::fs::write(&path, old).expect("written");
        assert_eq!(Names::load(&path).get(&[3; 16]).as_deref(), Some("web-3"));
        std::fs::write(&path, "{").expect("written");
        assert_eq!(Names::load(&path).get(&[1; 16]), None);
    }
}
