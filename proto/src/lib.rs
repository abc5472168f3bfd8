//! What crosses the wire between agent and aggregator, and nothing else.
//!
//! | room | what it holds |
//! |---|---|
//! | [`class`] | metrics, spans, logs: in the order of their worth |
//! | [`queue`] | a class in a lane, fresh or backlog: what both ends keep apart |
//! | [`limits`] | every size and count that both ends must agree on |
//! | [`model`] | the telemetry itself: labels, families, series, log entries |
//! | [`frame`] | the sealed envelope: header, compressed payload, CRC |
//! | [`metrics`] | keyframes, and frames as differences to them |
//! | [`logs`] | log frames, column by column |
//! | [`spans`] | what an OTLP request weighs, before it is decoded |
//! | [`v1`] | the generated messages and the gRPC service |
//! | [`remote`], [`loki`] | the push messages of Prometheus and Loki |
//!
//! The payload of spans is an OTLP `ExportTraceServiceRequest`, passed through.

pub mod class;
pub mod limits;
pub mod model;
pub mod queue;

pub mod frame;
pub mod logs;
pub mod metrics;
pub mod spans;

mod columns;
mod symbols;

/// The messages and the service of `ao/v1/*.proto`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod v1 {
    tonic::include_proto!("ao.v1");
}

/// Prometheus remote write.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod remote {
    tonic::include_proto!("prometheus");
}

/// Loki push.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod loki {
    tonic::include_proto!("logproto");
}
