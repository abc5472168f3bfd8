//! Doors for the fuzz targets in tests/fuzz: each reads bytes from outside through code that is private otherwise.
//! Nothing else uses them.

use std::path::Path;

use ao_proto::frame;
use ao_proto::v1::FrameHeader;
use bytes::Bytes;

use crate::control::{Mesh, Plan};
use crate::{api, fanout, identity, ingest, journal, sink, verify};

/// Reads some bytes; panics where something is wrong.
pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: &[(&str, Target)] = &[
    ("content", content),
    ("answers", answers),
    ("loki_refused", sink::loki::fuzzing::refused),
    ("plan", plan),
    ("journal_state", journal::fuzzing::state),
    ("api_request", api::fuzzing::request),
    ("verify_answer", verify::fuzzing::answer),
];

/// A payload as ingest looks at it: a byte for the class (0 for a keyframe), one for the number of series, the raw bytes.
fn content(data: &[u8]) {
    let [class, series, raw @ ..] = data else { return };
    let header = FrameHeader {
        agent: vec![7; 16],
        class: i32::from(*class),
        keyframe: 42,
        raw_bytes: raw.len() as u64,
        ..FrameHeader::default()
    };
    let Ok(opened) = frame::open(&frame::seal(&header, &frame::compress(raw))) else { return };
    ingest::fuzzing::look(opened, usize::from(*series));
}

/// A status, a `Retry-After`, a body: two bytes, a line, the rest; then all of it as the details of a gRPC status.
fn answers(data: &[u8]) {
    let [high, low, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    let (after, body) = text.split_once('\n').unwrap_or((&text, ""));
    let status = u16::from_be_bytes([*high, *low]) % 600;
    let _answer = sink::answer::from_http(status, Some(after), body, 1_700_000_000);
    let code = tonic::Code::from_i32(i32::from(*low % 17));
    let details = Bytes::copy_from_slice(rest);
    let _refusal = sink::answer::from_grpc(&tonic::Status::with_details(code, body, details));
}

/// The YAML of what nodes are told.
fn plan(data: &[u8]) {
    if let Ok(plan) = ao_common::config::parse::<Plan>(&String::from_utf8_lossy(data), "fuzz") {
        let told = || plan.for_node("", "a", &Mesh::default());
        assert_eq!(told().version, told().version);
    }
}

/// The fan-out's files in a folder.
pub fn notes(dir: &Path) {
    fanout::fuzzing::notes(dir);
}

/// The note of what was received.
pub fn received(file: &Path) {
    journal::fuzzing::received(file);
}

/// The registry of nodes in a folder, `nodes.json` and `forget`.
pub fn registry(folder: &Path) {
    identity::fuzzing::nodes(folder);
}

/// The file `loki.newest` in a folder.
pub fn newest(dir: &Path) {
    sink::loki::fuzzing::newest(dir);
}
