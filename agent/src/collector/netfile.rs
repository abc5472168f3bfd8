//! Files of /proc/net, as the host sees them.

use std::path::PathBuf;

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
