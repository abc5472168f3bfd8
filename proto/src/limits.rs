//! Every size and count that both ends must agree on, each with its reason. Checked before memory is spent.

/// Version of the wire; a peer that speaks another one is told so in Welcome and may go on only if it is older.
pub const WIRE_VERSION: u32 = 1;

/// Largest sealed frame or keyframe. One gRPC message each; a batch is closed long before (1 MiB raw).
pub const MAX_SEALED_BYTES: usize = 4 << 20;

/// Largest payload once decompressed: a bomb stops here.
pub const MAX_RAW_BYTES: usize = 16 << 20;

/// Largest gRPC message: a sealed frame and its envelope.
pub const MAX_MESSAGE_BYTES: usize = MAX_SEALED_BYTES + (64 << 10);

/// A stream's first message: a hello with [`MAX_EPOCHS`] epochs. What greets with more is no agent.
pub const MAX_GREETING_BYTES: usize = 64 << 10;

/// Epochs that a hello may name, and that frames of one stream may have: an agent keeps 64 per queue.
pub const MAX_EPOCHS: usize = 1 << 10;

/// Ranges of sequences remembered of one epoch and lane: a hole is left by what an agent shed and by a time with another
/// aggregator. Beyond it the lowest are forgotten: what they named is long acknowledged.
pub const MAX_RANGES: usize = 256;

/// Ranges named in one welcome (20 bytes each); beyond it the lowest of each epoch are left out, which costs bytes sent
/// in vain and no double.
pub const MAX_WELCOME_RANGES: usize = 1 << 15;

/// Streams that one agent may have open in one lane: after a break the old one may linger until its connection is known
/// to be dead.
pub const MAX_STREAMS_PER_LANE: usize = 2;

/// Names of sources (families) of one agent, and the bytes of each: both ends keep counts for every one.
pub const MAX_SOURCES: usize = 32;
/// See [`MAX_SOURCES`].
pub const MAX_SOURCE_BYTES: usize = 64;

/// Bytes of a node's, a cluster's and a build's name (RFC 1123 names are no longer).
pub const MAX_NAME_BYTES: usize = 253;

/// Series of one keyframe: a node with 5,000 containers stays below it.
pub const MAX_SERIES: usize = 1 << 20;

/// Metric families of one keyframe.
pub const MAX_FAMILIES: usize = 1 << 16;

/// Labels of all series of a keyframe together: 32 bytes of memory each.
pub const MAX_ROW_LABELS: usize = 1 << 22;

/// Labels of all streams of a log frame together: [`MAX_STREAMS`] with 16 each, where every line of a batch has a stream
/// of its own. Every sink has them in memory while it sends the frame.
pub const MAX_STREAM_LABELS: usize = 1 << 20;

/// Symbols of one keyframe or log frame: names, values, help texts, each once.
pub const MAX_SYMBOLS: usize = 1 << 20;

/// Label shapes (sets of names) of one keyframe or log frame.
pub const MAX_SHAPES: usize = 1 << 16;

/// Exemplars of one frame.
pub const MAX_EXEMPLARS: usize = 1 << 16;

/// Labels of one series or stream.
pub const MAX_LABELS: usize = 64;

/// Bytes of a label's name, and of its value (Prometheus and Loki refuse longer ones by default at 2,048).
pub const MAX_LABEL_NAME_BYTES: usize = 1024;
/// See [`MAX_LABEL_NAME_BYTES`].
pub const MAX_LABEL_VALUE_BYTES: usize = 2048;

/// Streams of one log frame.
pub const MAX_STREAMS: usize = 1 << 16;

/// Records (samples, lines, spans) of one frame.
pub const MAX_RECORDS: usize = 1 << 20;

/// Bytes in memory that an OTLP request or a frame of spans may have once decoded: a request of 4 MiB full of the
/// shortest attributes that applications set has some 24 MiB, and one of empty spans over 600.
pub const MAX_SPANS_DECODED_BYTES: usize = 64 << 20;

/// Pairs of structured metadata in one log frame.
pub const MAX_METADATA: usize = 1 << 20;

/// A frame's header: [`MAX_FILES`] files of some 40 bytes, and what else stands there.
pub const MAX_HEADER_BYTES: usize = 256 << 10;

/// Files named in one frame's header.
pub const MAX_FILES: usize = 1 << 12;
