//! The agent: one per node.
//!
//! ```text
//! sources (collector, container, logs, latency, path, otlp)
//!   -> enrich -> pipeline -> rules -> batch -> spool ==gRPC==> aggregator
//!                                                    <== acks, directives ==
//! ```

pub mod cli;
pub mod config;

pub mod app;
pub mod collect;
pub mod convert;
pub mod mtr;
pub mod ping;
pub mod record;
pub mod tail;

#[doc(hidden)]
pub mod fuzzing;

pub mod canary;
pub mod collector;
pub mod container;
pub mod latency;
pub mod logs;
pub mod mesh;
pub mod otlp;
pub mod own;
pub mod path;

pub mod batch;
pub mod directives;
pub mod enrich;
pub mod identity;
pub mod pipeline;
pub mod rules;
pub mod spool;
pub mod streams;
pub mod uplink;

pub mod clock;
pub mod context;
pub mod event;
pub mod exposition;
mod footprint;
mod glob;
mod heap;
pub mod metrics;
pub mod net;
mod netlink;
mod rounds;
mod severity;
mod spans;
pub mod trouble;
