//! Log lines in our frames, and the same batches by OTLP, compressed as ours are.

use std::error::Error;

use ao_proto::frame::{FrameError, compress, open, seal};
use ao_proto::logs::LogFrame;
use ao_proto::model::Labels;
use ao_proto::v1::{Class, FileRange, FrameHeader};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::{corpus, frame_bytes};
use crate::api::{Row, best_ns};

/// What a node of a thousand lines a second sends each second.
const LINES: usize = 1_000;
const BATCHES: usize = 40;
pub(crate) const PEER: &str = "OTLP logs + zstd";

pub(super) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let batches = corpus::batches(&corpus::APPS, BATCHES, LINES, usize::MAX);
    let requests: Vec<ExportLogsServiceRequest> = batches.iter().map(request).collect();
    let lines: usize = batches.iter().map(|batch| batch.entries.len()).sum();
    let text: usize = batches.iter().map(|batch| batch.text.len()).sum();
    let sealed: Vec<Bytes> = batches.iter().map(round_trip).collect::<Result<_, _>>()?;
    let theirs = requests.iter().map(encode).collect::<Vec<_>>();
    let decode = |bytes: &Vec<u8>, request: &ExportLogsServiceRequest| -> Result<_, Box<dyn Error>> {
        let raw = zstd::bulk::decompress(bytes, request.encoded_len())?;
        Ok(ExportLogsServiceRequest::decode(&*raw)?)
    };
    let per_line = |n: f64| n / lines as f64;
    let bytes: usize = sealed.iter().map(frame_bytes).sum();
    let what = format!("{LINES} lines of {} bytes in {} streams", text / lines, batches[0].streams.len());
    Ok(vec![
        Row::new(
            "wire.bytes_per_line",
            format!("{what}, all framing included"),
            per_line(bytes as f64),
            "bytes",
        )
        .beside(PEER, per_line(theirs.iter().map(Vec::len).sum::<usize>() as f64)),
        Row::new(
            "wire.ns_per_line_columns",
            format!("{what}: the columns alone, no zstd"),
            per_line(best_ns(|| batches.iter().map(|batch| batch.encode().len()).sum::<usize>())),
            "ns",
        )
        .beside(PEER, per_line(best_ns(|| requests.iter().map(|r| r.encode_to_vec().len()).sum::<usize>()))),
        Row::new(
            "wire.ns_per_line_encode",
            format!("{what}: columns, zstd, seal"),
            per_line(best_ns(|| batches.iter().map(|batch| seal_lines(batch).len()).sum::<usize>())),
            "ns",
        )
        .beside(PEER, per_line(best_ns(|| requests.iter().map(|r| encode(r).len()).sum::<usize>()))),
        Row::new(
            "wire.ns_per_line_decode",
            format!("{what}: open, zstd, lines"),
            per_line(best_ns(|| sealed.iter().filter(|sealed| open_lines(sealed).is_ok()).count())),
            "ns",
        )
        .beside(
            PEER,
            per_line(best_ns(|| theirs.iter().zip(&requests).filter(|(b, r)| decode(b, r).is_ok()).count())),
        ),
    ])
}

/// A sealed frame that was opened again.
///
/// # Errors
/// Where the lines did not come back as they were.
pub(crate) fn round_trip(batch: &LogFrame) -> Result<Bytes, Box<dyn Error>> {
    let sealed = seal_lines(batch);
    if open_lines(&sealed)? != *batch {
        return Err("a batch of lines did not come back as it was".into());
    }
    Ok(sealed)
}

fn seal_lines(batch: &LogFrame) -> Bytes {
    let raw = batch.encode();
    // Each stream is a file: where it was read from goes along.
    let file = |i: usize| {
        let id = (i as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        FileRange { file: id.to_le_bytes().to_vec(), start: 4_711_000, end: 4_725_000 }
    };
    let first = batch.entries.first().map_or(0, |entry| entry.at_ns) / 1_000_000;
    let last = batch.entries.last().map_or(0, |entry| entry.at_ns) / 1_000_000;
    let header = FrameHeader {
        agent: file(77).file,
        epoch: 0x9e37_79b9_7f4a_7c15,
        sequence: 300,
        class: Class::Logs.into(),
        source: "logs".to_owned(),
        records: batch.entries.len() as u64,
        bytes: batch.text.len() as u64,
        first_ms: first,
        span_ms: last.abs_diff(first),
        raw_bytes: raw.len() as u64,
        files: (0..batch.streams.len()).map(file).collect(),
        ..FrameHeader::default()
    };
    seal(&header, &compress(&raw))
}

fn open_lines(sealed: &Bytes) -> Result<LogFrame, FrameError> {
    LogFrame::decode(&open(sealed)?.decompress()?)
}

/// What OTLP over gRPC sends, compressed as our frames are.
pub(crate) fn encode(request: &ExportLogsServiceRequest) -> Vec<u8> {
    compress(&request.encode_to_vec())
}

/// A resource per stream, its labels and what its lines share as attributes; records with time and body alone.
pub(crate) fn request(batch: &LogFrame) -> ExportLogsServiceRequest {
    let resource = |labels: &Labels, shared: Option<&Labels>| {
        let attributes =
            labels.iter().chain(shared.into_iter().flat_map(Labels::iter)).map(attribute).collect();
        Resource { attributes, ..Resource::default() }
    };
    let mut resources: Vec<ResourceLogs> = batch
        .streams
        .iter()
        .enumerate()
        .map(|(number, labels)| ResourceLogs {
            resource: Some(resource(labels, batch.shared.get(number))),
            scope_logs: vec![ScopeLogs::default()],
            ..ResourceLogs::default()
        })
        .collect();
    for (entry, line, _) in batch.iter() {
        resources[entry.stream as usize].scope_logs[0].log_records.push(LogRecord {
            time_unix_nano: entry.at_ns as u64,
            body: Some(text(line)),
            ..LogRecord::default()
        });
    }
    ExportLogsServiceRequest { resource_logs: resources }
}

fn attribute((name, value): (&str, &str)) -> KeyValue {
    KeyValue { key: String::from(name), value: Some(text(value)), ..KeyValue::default() }
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}
