//! What a sink is given, and what it answers.

use std::sync::Arc;

use ao_common::journal::Position;
use ao_proto::logs::LogFrame;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::v1::FrameHeader;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// One frame of the journal, decoded.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Who, what, how much.
    pub header: FrameHeader,
    /// Where the journal's next frame begins.
    pub end: Position,
    /// What is in it.
    pub telemetry: Telemetry,
}

/// The content of a frame.
#[derive(Clone, Debug)]
pub enum Telemetry {
    /// Samples; the keyframe is shared by the frames that name it.
    Metrics(Arc<Keyframe>, MetricsFrame),
    /// Lines.
    Logs(LogFrame),
    /// Spans.
    Spans(ExportTraceServiceRequest),
}
