//! `ao-aggregator journal`: what lies in the journals, and damaged ones made clean.

use std::io::Write;
use std::path::Path;

use ao_common::journal::{About, CommandError, command};
use ao_proto::frame;
use ao_proto::queue::QUEUES;
use bytes::Bytes;

pub use ao_common::journal::Args;

/// Runs the command on the journals under `data_dir`.
///
/// # Errors
/// See [`CommandError`].
pub fn run(args: &Args, data_dir: &Path, out: impl Write) -> Result<(), CommandError> {
    command(*args, &data_dir.join("journal"), &QUEUES.map(|queue| queue.name()), about, out)
}

/// What a frame's header says.
fn about(sealed: &Bytes) -> Option<About> {
    let header = frame::open(sealed).ok()?.header;
    Some(About {
        agent: header.agent.iter().map(|byte| format!("{byte:02x}")).collect(),
        source: header.source,
        records: header.records,
        bytes: header.bytes,
        first_ms: header.first_ms,
        last_ms: header.first_ms.saturating_add_unsigned(header.span_ms),
    })
}

#[cfg(test)]
mod tests {
    use ao_common::journal::Append;
    use ao_proto::v1::FrameHeader;

    use super::*;
    use crate::journal;
    use crate::ledger::Ledger;

    /// Scenario: two frames of an agent are in a journal that a sink reads; then a byte of the first one flips.
    /// Guarantees: whose they are and what the sink owes is shown; the damage fails the inspection; a repair cures it.
    #[tokio::test]
    async fn a_journal_is_shown_and_repaired() {
        let dir = tempfile::tempdir().expect("a folder");
        let opened = journal::open(dir.path(), &<_>::default(), &Ledger::default(), &["loki"]);
        let log = opened.expect("opened").0;
        let cursor = log.cursor(0, "loki").expect("a cursor");
        for sequence in 1..=2 {
            let header = FrameHeader {
                agent: vec![7; 16],
                sequence,
                source: "own".to_owned(),
                records: 5,
                ..<_>::default()
            };
            let append = Append { frame: frame::seal(&header, b"data"), keyframe: None };
            log.append(0, vec![append]).await.expect("taken").durable().await.expect("written");
        }
        drop(cursor);
        log.close().await;
        let said = |args: Args| {
            let mut out = Vec::new();
            let done = run(&args, dir.path(), &mut out);
            (String::from_utf8(out).expect("text"), done.is_ok())
        };
        let (json, is_well) = said(Args::Inspect { json: true });
        assert!(is_well && json.contains(&"07".repeat(16)), "{json}");
        let (text, is_well) = said(Args::Inspect { json: false });
        assert!(
            is_well && text.contains("2 frames, 10 records") && text.contains("cursor loki: at"),
            "{text}"
        );
        let name = format!("{}/{:016x}.seg", QUEUES[0].name(), 1);
        let path = dir.path().join("journal").join(name);
        let mut content = std::fs::read(&path).expect("a segment");
        let at = content.windows(4).position(|bytes| bytes == b"data").expect("a payload");
        content[at] ^= 1;
        std::fs::write(&path, &content).expect("written");
        assert!(!said(Args::Inspect { json: false }).1);
        assert!(said(Args::Repair { dry_run: false, json: false }).1);
        let (text, is_well) = said(Args::Inspect { json: false });
        assert!(is_well && text.contains("1 frame,"), "{text}");
    }
}
