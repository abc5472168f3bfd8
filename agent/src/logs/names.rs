//! What rotated files are called: the log's own name with a number or a date behind it, `a.log.1`, `a.log-20260102`,
//! and the kubelet's `0.log.20260102-030405`; with another ending once they are compressed.

use std::path::{Path, PathBuf};

/// Endings of files that hold no lines to be read.
const PACKED: [&str; 6] = ["gz", "zst", "bz2", "xz", "lz4", "tmp"];

/// The names of logs of which this may be a rotated file; none for a file that is compressed.
pub(super) fn logs_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let packed = path.extension().is_some_and(|e| PACKED.iter().any(|p| e == *p));
    let ends = name.char_indices().filter(move |(at, c)| {
        !packed
            && *at > 0
            && matches!(c, '.' | '-')
            && name[at + 1..].starts_with(|c: char| c.is_ascii_digit())
    });
    ends.map(move |(at, _)| path.with_file_name(&name[..at]))
}

/// The same of a file that is compressed with gzip; none for any other.
pub(super) fn logs_of_packed(path: &Path) -> impl Iterator<Item = PathBuf> {
    let is_packed = path.extension().is_some_and(|e| e == "gz");
    is_packed.then(|| path.with_extension("")).into_iter().flat_map(|path| logs_of(&path).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names as logrotate and the kubelet make them, and others.
    /// Guarantees: the log's name is among those found; compressed files and plain names have none.
    #[test]
    fn names() {
        for (path, logs) in [
            ("/l/a.log.1", &["/l/a.log"][..]),
            ("/l/a.log-20260102", &["/l/a.log"]),
            ("/l/0.log.20260102-030405", &["/l/0.log", "/l/0.log.20260102"]),
            ("/l/a.log.2.gz", &[]),
            ("/l/a.log", &[]),
            ("/l/a.log.bak", &[]),
            ("/l/.1", &[]),
        ] {
            let packed: Vec<_> = logs_of_packed(Path::new(&format!("{path}.gz"))).collect();
            assert_eq!(packed, logs.iter().map(Path::new).collect::<Vec<_>>());
            assert_eq!(logs_of_packed(Path::new(path)).count(), usize::from(path.ends_with(".2.gz")));
            assert_eq!(
                logs_of(Path::new(path)).collect::<Vec<_>>(),
                logs.iter().map(Path::new).collect::<Vec<_>>()
            );
        }
    }
}
