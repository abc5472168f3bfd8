//! `ao-agent journal`: what lies in the spool, and a damaged one made clean.

use std::io::Write;
use std::path::Path;

use ao_common::journal::{About, CommandError, command};
use ao_proto::frame;
use ao_proto::queue::QUEUES;
use bytes::Bytes;

pub use ao_common::journal::Args;

/// Runs the command on the spool under `data_dir`.
///
/// # Errors
/// See [`CommandError`].
pub fn run(args: &Args, data_dir: &Path, out: impl Write) -> Result<(), CommandError> {
    command(*args, &data_dir.join("spool"), &QUEUES.map(|queue| queue.name()), about, out)
}

/// What a frame's header says. All frames are this agent's.
fn about(sealed: &Bytes) -> Option<About> {
    let header = frame::open(sealed).ok()?.header;
    Some(About {
        agent: String::new(),
        source: header.source,
        records: header.records,
        bytes: header.bytes,
        first_ms: header.first_ms,
        last_ms: header.first_ms.saturating_add_unsigned(header.span_ms),
    })
}

#[cfg(test)]
mod tests {
    use ao_common::journal::{Append, Class, Fold, Journal, Options};
    use ao_proto::frame::{compress, seal};
    use ao_proto::v1::FrameHeader;

    use super::*;

    struct Nothing;

    impl Fold for Nothing {
        fn restore(&mut self, _: &[u8]) {}
        fn apply(&mut self, _: &[u8]) {}
        fn shed(&mut self, _: &[u8], _: &[&str]) {}
        fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }
    }

    async fn filled(data_dir: &Path) {
        let classes = QUEUES.iter().map(|queue| Class { name: queue.name(), fold: Box::new(Nothing) });
        let options = Options {
            segment_bytes: 1 << 20,
            segment_age: std::time::Duration::from_secs(600),
            budget_bytes: 1 << 30,
        };
        let journal = Journal::open(&data_dir.join("spool"), classes.collect(), options).expect("opens");
        let _cursor = journal.cursor(0, "uplink").expect("a cursor");
        for sequence in 1..=3 {
            let header = FrameHeader {
                agent: vec![7; 16],
                sequence,
                source: "collector".to_owned(),
                records: 540,
                bytes: 8_640,
                first_ms: 1_700_000_000_000,
                raw_bytes: 4,
                ..FrameHeader::default()
            };
            let frame = seal(&header, &compress(b"data"));
            let stored = journal.append(0, vec![Append { frame, keyframe: None }]).await.expect("queued");
            stored.durable().await.expect("durable");
        }
        journal.close().await;
    }

    fn said(args: &Args, data_dir: &Path) -> (String, Option<String>) {
        let mut out = Vec::new();
        let done = run(args, data_dir, &mut out);
        (String::from_utf8(out).expect("text"), done.err().map(|error| error.to_string()))
    }

    /// Scenario: a spool of three frames is inspected, damaged in the middle of the second, inspected, repaired and
    /// inspected again, for people and as JSON.
    /// Guarantees: frames, records and what the uplink owes are shown; the damage fails the inspection and is named; a
    /// repair cures it.
    #[tokio::test]
    async fn a_spool_is_shown_and_repaired() {
        let dir = tempfile::tempdir().expect("a folder");
        let data_dir = dir.path();
        filled(data_dir).await;
        let (inspect, repair) = (Args::Inspect { json: false }, Args::Repair { dry_run: false, json: false });
        let (text, error) = said(&inspect, data_dir);
        assert_eq!(error, None, "{text}");
        assert!(text.contains("3 frames, 1620 records") && text.contains("cursor uplink: at"), "{text}");
        let (json, _) = said(&Args::Inspect { json: true }, data_dir);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["logs"][0]["cursors"][0]["frames"], 3);

        let path = data_dir.join("spool/metrics/0000000000000001.seg");
        let mut content = std::fs::read(&path).expect("a segment");
        let middle = content.len() / 2;
        content[middle] ^= 1;
        std::fs::write(&path, &content).expect("written");
        let (text, error) = said(&inspect, data_dir);
        assert!(text.contains("DAMAGE") && error.is_some_and(|error| error.contains("repair")), "{text}");
        let (text, error) = said(&repair, data_dir);
        assert!(text.contains("fenced in") && error.is_none(), "{text}");
        let (text, error) = said(&inspect, data_dir);
        assert!(text.contains("2 frames") && error.is_none(), "{text}");
        assert!(said(&repair, data_dir).0.contains("nothing is damaged"));
    }
}
