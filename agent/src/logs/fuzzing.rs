//! What the fuzz targets reach of this room.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::api::Stream;
use super::lines::Lines;
use super::{cri, names, plain};
use crate::glob::Pattern;

/// Lines of a file, cut at a length that the first byte gives, as a container runtime's and as plain text.
pub(crate) fn lines(data: &[u8]) {
    let Some((max, bytes)) = data.split_first() else { return };
    let (mut containers, mut plain) = (cri::Decoder::default(), plain::Decoder::default());
    let mut taken = 0;
    for piece in Lines::new(bytes, usize::from(*max), true) {
        taken += piece.raw;
        let (record, _) = containers.record(&piece, 1);
        assert!(
            record.text.len() <= piece.text.len() && matches!(record.stream, Stream::Stdout | Stream::Stderr)
        );
        assert!(plain.record(&piece, 1).text.len() <= piece.text.len());
    }
    assert_eq!(taken, bytes.len(), "every byte belongs to a piece");
}

/// A pattern on the first line, a path on the second.
pub(crate) fn glob(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (pattern, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let path = Path::new(OsStr::from_bytes(path));
    let _of_pods = cri::pod_of(Path::new("/var/log/pods"), path);
    let _rotated = names::logs_of(path).count();
    if let Ok(pattern) = Pattern::parse(Path::new(OsStr::from_bytes(pattern)))
        && pattern.matches(path)
        && let Some(folder) = path.parent()
    {
        assert!(pattern.reaches_into(folder), "a file that is wanted lies in a folder that is watched");
    }
}
