//! What the end-to-end tests stand on: the real binaries, the real Prometheus, and servers that hold Loki's and
//! Tempo's protocols by their official message definitions.
//!
//! | room | what it holds |
//! |---|---|
//! | [`eventually`](mod@eventually) | wait for a condition with a deadline |
//! | [`process`] | a child process with a log file; killed when dropped |
//! | [`stack`] | an aggregator and an agent as processes, with their configurations |
//! | [`prometheus`] | the real Prometheus, and PromQL |
//! | [`loki`], [`tempo`] | servers that decode, record, and answer by script |
//! | [`script`] | the script |
//! | [`workspace`] | where binaries, tools and reports lie |

pub mod eventually;
pub mod loki;
pub mod process;
pub mod prometheus;
pub mod script;
pub mod stack;
pub mod tempo;
pub mod workspace;
