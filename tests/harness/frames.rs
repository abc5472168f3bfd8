//! Sealed frames, as an agent's spool would hold them, put into an aggregator's journal.

use std::error::Error;

use ao_common::journal::{Append, Journal};
use ao_proto::frame::{compress, seal};
use ao_proto::logs::LogFrame;
use ao_proto::queue::{self, Lane};
use ao_proto::v1::{Class, FrameHeader};

/// Appends lines of one agent to their queue, and waits until they are durable.
///
/// # Errors
/// Where the journal refuses them.
pub async fn append_lines(journal: &Journal, lane: Lane, lines: &LogFrame) -> Result<(), Box<dyn Error>> {
    let raw = lines.encode();
    let header = FrameHeader {
        agent: vec![1; 16],
        class: Class::Logs.into(),
        lane: lane.number(),
        source: "logs".to_owned(),
        records: lines.entries.len() as u64,
        bytes: lines.text.len() as u64,
        raw_bytes: raw.len() as u64,
        ..FrameHeader::default()
    };
    let queue = queue::number(header.class, header.lane).ok_or("every class has both lanes")?;
    let append = Append { frame: seal(&header, &compress(&raw)), keyframe: None };
    journal.append(queue, vec![append]).await?.durable().await?;
    Ok(())
}
