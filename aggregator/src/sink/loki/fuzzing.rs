//! What the fuzz targets reach of this room.

use std::path::Path;
use std::time::Duration;

use super::encode::{Entry, Stream};
use super::newest::Newest;
use super::refused;

/// The body of a refusal, to a request of two streams.
pub(crate) fn refused(data: &[u8]) {
    let entry =
        |at_ns, record: (usize, u32)| Entry { at_ns, line: "a line", metadata: &[], shared: None, record };
    let stream = |name: &str, records: std::ops::Range<u32>| Stream {
        selector: format!("{{app=\"{name}\"}}"),
        labels: 1,
        entries: records.map(|n| entry(i64::from(n), (0, n))).collect(),
    };
    let streams = [stream("a", 0..2), stream("b", 2..4)];
    if let refused::Verdict::Only(records) = refused::in_body(&String::from_utf8_lossy(data), &streams) {
        assert!(!records.is_empty() && records.len() <= 4);
    }
}

/// The newest times of streams in a folder.
pub(crate) fn newest(dir: &Path) {
    let newest = Newest::new(Duration::from_secs(3_600));
    if newest.keep_in(dir).is_ok() && newest.keep().is_ok() {
        let again = Newest::new(Duration::from_secs(3_600));
        assert!(again.keep_in(dir).is_ok(), "what was noted is read");
    }
}
