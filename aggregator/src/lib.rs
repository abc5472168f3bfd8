//! The aggregator: takes the streams of all agents, keeps them durably, hands them to the stores.
//!
//! ```text
//! ==gRPC==> ingest -> journal -> fanout (a worker per sink) -> sink: prometheus, loki, tempo, embedded
//! <== acks, directives == control                                                        |
//!                                                                        console <- api <-+
//! ```

pub mod cli;
pub mod config;

pub mod app;

#[doc(hidden)]
pub mod fuzzing;

pub mod api;
pub mod console;
pub mod control;

pub mod identity;
pub mod ingest;

pub mod fanout;
pub mod sink;
pub mod up;
pub mod verify;

pub mod canaries;
pub mod clock;
pub mod journal;
pub mod ledger;
pub mod metrics;
pub mod nodes;
