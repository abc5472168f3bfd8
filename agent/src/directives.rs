//! The directives that this node holds: kept on disk, so that it works on without an aggregator.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_proto::v1::Directives;
use prost::Message;
use tokio::sync::watch;
use tracing::warn;

/// File in the data folder.
const FILE: &str = "directives.pb";

/// Reads those kept; empty ones where there are none, or where they are damaged (the aggregator sends them again,
/// since empty ones have version 0).
pub fn load(data_dir: &Path) -> Directives {
    let path = data_dir.join(FILE);
    let kept = match std::fs::read(&path) {
        Ok(bytes) => Directives::decode(bytes.as_slice()).map_err(|e| e.to_string()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Directives::default(),
        Err(e) => Err(e.to_string()),
    };
    kept.unwrap_or_else(|error| {
        warn!(path = %path.display(), error, "cannot read the directives kept; waiting for new ones");
        Directives::default()
    })
}

/// Keeps every new version, until the sender is gone.
pub async fn keep(data_dir: PathBuf, mut directives: watch::Receiver<Arc<Directives>>) {
    while directives.changed().await.is_ok() {
        let bytes = directives.borrow_and_update().encode_to_vec();
        let (fresh, path) = (data_dir.join("directives.new"), data_dir.join(FILE));
        let written = async {
            tokio::fs::write(&fresh, bytes).await?;
            tokio::fs::rename(&fresh, &path).await
        };
        if let Err(error) = written.await {
            warn!(path = %path.display(), %error, "cannot keep the directives; a restart will wait for new ones");
        }
    }
}
