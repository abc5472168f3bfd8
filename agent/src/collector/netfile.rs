//! Files of /proc/net, as the host sees them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::api::CollectError;
use super::file::TextFile;
use crate::context::Roots;

/// The path and the text of /proc/net/`name`. That folder shows the reader's own network; the host's is that of its
/// first process. Where that one is hidden (hidepid) or absent, the reader's own has to do.
///
/// # Errors
/// [`CollectError::Io`] with the path.
pub(super) fn read<'a>(
    file: &'a mut TextFile,
    roots: &Roots,
    name: &str,
) -> Result<(PathBuf, &'a str), CollectError> {
    let mut path = roots.proc.join("1/net");
    path.push(name);
    if file.bytes(&path).is_err() {
        path = roots.proc.join("net");
        path.push(name);
        file.bytes(&path)?;
    }
    Ok((path, file.last()))
}

/// Netlink tells of the network that the asker is in, the files of the host's. The same network has the same files,
/// wherever /proc is mounted.
pub(super) fn is_own_network(roots: &Roots) -> bool {
    let number = |path: &Path| fs::metadata(path).map(|file| file.ino()).ok();
    let host = number(&roots.proc.join("1/net/tcp")).or_else(|| number(&roots.proc.join("net/tcp")));
    host.is_some() && host == number(Path::new("/proc/self/net/tcp"))
}
