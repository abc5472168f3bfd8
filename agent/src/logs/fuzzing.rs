//! What the fuzz targets reach of this room.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::tz::TimeZone;

use super::api::Stream;
use super::lines::Lines;
use super::unpack::Unpack;
use super::{cri, docker, journal, names, notes, plain, syslog};
use crate::glob::Pattern;

/// Lines of a file, cut at a length that the first byte gives, in every format.
pub(crate) fn lines(data: &[u8]) {
    let Some((max, bytes)) = data.split_first() else { return };
    let (mut containers, mut plain) = (cri::Decoder::default(), plain::Decoder::default());
    let (mut docker, mut syslog) = (docker::Decoder::default(), syslog::Decoder::default());
    let mut taken = 0;
    for piece in Lines::new(bytes, usize::from(*max), true) {
        taken += piece.raw;
        let (record, _) = containers.record(&piece, 1);
        assert!(
            record.text.len() <= piece.text.len() && matches!(record.stream, Stream::Stdout | Stream::Stderr)
        );
        assert!(plain.record(&piece, 1).text.len() <= piece.text.len());
        assert!(docker.record(&piece, 1).0.text.len() <= piece.text.len());
        let mut fields = [("", ""); 3];
        let now = i64::from(*max) << 55;
        assert_eq!(syslog.record(&piece, now, &TimeZone::UTC, &mut fields).0.text, piece.text);
    }
    assert_eq!(taken, bytes.len(), "every byte belongs to a piece");
}

/// A compressed file, read from where the first two bytes say.
pub(crate) fn packed(data: &[u8]) {
    let Some((from, bytes)) = data.split_first_chunk::<2>() else { return };
    let Ok(memory) = rustix::fs::memfd_create("packed", rustix::fs::MemfdFlags::empty()) else { return };
    let mut file = File::from(memory);
    let Ok(mut unpack) = file.write_all(bytes).and_then(|()| Unpack::new(&file)) else { return };
    let mut at = u64::from(u16::from_le_bytes(*from));
    let mut part = vec![0; 64 << 10];
    for _ in 0..16 {
        match unpack.read_at(&mut part, at) {
            Ok(0) | Err(_) => break,
            Ok(read) => at += read as u64,
        }
    }
    if let Some(size) = unpack.size() {
        assert!(matches!(unpack.read_at(&mut part, size), Ok(0)), "nothing is behind the end");
    }
}

/// A journal's file.
pub(crate) fn journal(data: &[u8]) {
    let entries = journal::fuzzing::file(data);
    assert!(entries <= data.len() / 64, "entries do not lie in each other");
}

/// What is noted of files.
pub(crate) fn noted(data: &[u8]) {
    let (known, begun) = notes::read(data);
    assert!(known.len() as u64 <= begun, "each was begun");
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
