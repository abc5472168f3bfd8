//! Bytes and time per sample and per log line, with all that crosses the wire: keyframes, the sealed envelope, the
//! protobuf message and gRPC's five bytes. Peers are counted without their HTTP headers.
//!
//! | room | what it holds |
//! |---|---|
//! | `replay` | a recording as the agent's batcher would send it |
//! | `remote` | the same samples by remote write 1.0 |
//! | `lines` | log lines, and the same ones by OTLP |
//! | `corpus` | the log lines: made from a seed |

pub(crate) mod corpus;
pub(crate) mod lines;
mod remote;
mod replay;

use std::error::Error;
use std::path::Path;

use ao_agent::record::Recording;
use ao_proto::v1::{AgentMessage, agent_message};
use bytes::Bytes;
use prost::Message as _;

use crate::api::Row;

/// Upper bounds of a recording and of its text: it is ours, but memory is bounded everywhere.
const MAX_TEXT: usize = 64 << 20;

pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for name in ["idle", "loaded"] {
        let recording = recording(name)?;
        let replay = replay::run(&recording)?;
        rows.extend(metric_rows(name, &replay)?);
    }
    rows.extend(lines::run()?);
    Ok(rows)
}

fn metric_rows(name: &str, ours: &replay::Outcome) -> Result<Vec<Row>, Box<dyn Error>> {
    const PEER: &str = "remote write 1.0 + snappy";
    let (encode_ns, decode_ns) = replay::time(ours)?;
    let (peer_encode_ns, peer_decode_ns) = remote::time(&ours.rounds)?;
    let peer_bytes = remote::bytes(&ours.rounds)?;
    let samples = ours.samples as f64;
    let per_sample = |n: f64| n / samples;
    let changing = ours.changing as f64 / ours.comparable.max(1) as f64;
    let size = format!("{} series every 15 s, {} rounds", ours.largest, ours.rounds.len());
    Ok(vec![
        Row::new(
            format!("wire.bytes_per_sample_{name}"),
            format!("{name} node, {size}, {} keyframes and all framing included", ours.keyframes),
            per_sample(ours.bytes as f64),
            "bytes",
        )
        .beside(PEER, per_sample(peer_bytes as f64)),
        Row::new(
            format!("wire.keyframe_bytes_per_series_{name}"),
            format!("{name} node, one keyframe, sealed"),
            ours.keyframe_bytes as f64 / ours.keyframe_series.max(1) as f64,
            "bytes",
        ),
        Row::new(
            format!("wire.changing_share_{name}"),
            format!("{name} node, samples that differ from the round before"),
            changing,
            "share",
        ),
        Row::new(
            format!("wire.ns_per_sample_encode_{name}"),
            format!("{name} node, one frame: differences, zstd, seal"),
            encode_ns,
            "ns",
        )
        .beside(PEER, peer_encode_ns),
        Row::new(
            format!("wire.ns_per_sample_decode_{name}"),
            format!("{name} node, one frame: open, zstd, values"),
            decode_ns,
            "ns",
        )
        .beside(PEER, peer_decode_ns),
    ])
}

/// A recording of tests/fixtures/recordings.
fn recording(name: &str) -> Result<Recording, Box<dyn Error>> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recordings").join(format!("{name}.txt.zst"));
    let bytes = std::fs::read(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let text = zstd::bulk::decompress(&bytes, MAX_TEXT)?;
    Ok(Recording::read(std::str::from_utf8(&text)?)?)
}

/// Bytes of a gRPC message of the stream.
fn message_bytes(message: agent_message::Message) -> usize {
    /// Compressed flag and length.
    const GRPC_PREFIX: usize = 5;
    GRPC_PREFIX + AgentMessage { message: Some(message) }.encoded_len()
}

pub(crate) fn frame_bytes(sealed: &Bytes) -> usize {
    message_bytes(agent_message::Message::Frame(sealed.clone()))
}

fn keyframe_bytes(sealed: &Bytes) -> usize {
    message_bytes(agent_message::Message::Keyframe(sealed.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the recorded hours, as the agent would send them.
    /// Guarantees: every round comes back bit by bit, and a sample stays within the bytes that the wire was designed for.
    #[test]
    fn bytes_per_sample() {
        for (name, most) in [("idle", 1.5), ("loaded", 2.0)] {
            let recording = recording(name).unwrap();
            assert!(recording.snapshots.len() >= 240, "{name}");
            let outcome = replay::run(&recording).unwrap();
            let bytes = outcome.bytes as f64 / outcome.samples as f64;
            assert!(bytes <= most, "{name}: {bytes} bytes per sample");
        }
    }
}
