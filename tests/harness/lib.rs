//! What the end-to-end tests stand on: the real binaries, the real Prometheus, and servers that hold Loki's and
//! Tempo's protocols by their official message definitions.
//!
//! | room | what it holds |
//! |---|---|
//! | [`browser`] | pages in a headless browser, where there is one |
//! | [`eventually`](mod@eventually) | wait for a condition with a deadline |
//! | [`process`] | a child process with a log file; killed when dropped |
//! | [`stack`] | an aggregator and an agent as processes, with their configurations |
//! | [`prometheus`] | the real Prometheus, and PromQL |
//! | [`loki`], [`tempo`] | servers that decode, record, and answer by script |
//! | [`script`] | the script |
//! | [`synthetic`] | a fleet that does not exist, for the console |
//! | [`workspace`] | where binaries, tools and reports lie |

pub mod browser;
pub mod eventually;
pub mod loki;
pub mod process;
pub mod prometheus;
pub mod script;
pub mod stack;
pub mod synthetic;
pub mod tempo;
pub mod workspace;
