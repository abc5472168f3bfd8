//! Every size and count that both ends must agree on, each with its reason. Checked before memory is spent.

/// Version of the wire; a peer that speaks another one is told so in Welcome and may go on only if it is older.
pub const WIRE_VERSION: u32 = 1;

/// Largest sealed frame or keyframe. One gRPC message each; a batch is closed long before (1 MiB raw).
pub const MAX_SEALED_BYTES: usize = 4 << 20;

/// Largest payload once decompressed: a bomb stops here.
pub const MAX_RAW_BYTES: usize = 16 << 20;

/// Largest gRPC message: a sealed frame and its envelope.
pub const MAX_MESSAGE_BYTES: usize = MAX_SEALED_BYTES + (64 << 10);

/// Series of one keyframe: a node with 5,000 containers stays below it.
pub const MAX_SERIES: usize = 1 << 20;

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

/// Files named in one frame's header.
pub const MAX_FILES: usize = 1 << 12;
