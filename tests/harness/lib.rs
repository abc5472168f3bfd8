//! What the end-to-end tests stand on: the real binaries, the real Prometheus, and servers that hold Loki's and
//! Tempo's protocols by their official message definitions.
//!
//! | room | what it holds |
//! |---|---|
//! | [`browser`] | pages in a headless browser, where there is one |
//! | [`capture`] | the requests that pass a link, and their answers |
//! | [`eventually`](mod@eventually) | wait for a condition with a deadline |
//! | [`exposition`] | a page of metrics as a scraper gets it |
//! | [`frames`] | sealed frames in an aggregator's journal |
//! | [`process`] | a child process with a log file; killed when dropped |
//! | [`stack`] | an aggregator and an agent as processes, with their configurations |
//! | [`prometheus`] | the real Prometheus, and PromQL |
//! | [`quota`] | so much of a processor and no more |
//! | [`remote_write`] | samples in requests of Prometheus' protocol |
//! | [`link`] | a stretch of network that can be cut, stalled, slow or narrow |
//! | [`lives`] | a server of this process that dies and comes back |
//! | [`load`], [`verdict`] | numbered records of all signals, and what of them is where |
//! | [`loki`], [`tempo`] | servers that decode, record, and answer by script |
//! | [`script`] | the script |
//! | [`storm`] | numbered lines into rotating logs at a rate, and which of them came |
//! | [`synthetic`] | a fleet that does not exist, for the console |
//! | [`writer`] | log files as a kubelet and a program write them |
//! | [`workspace`] | where binaries, tools and reports lie |

pub mod browser;
pub mod capture;
pub mod eventually;
pub mod exposition;
pub mod frames;
pub mod link;
pub mod lives;
pub mod load;
pub mod loki;
pub mod process;
pub mod prometheus;
pub mod quota;
pub mod remote_write;
pub mod script;
pub mod stack;
pub mod storm;
pub mod synthetic;
pub mod tempo;
pub mod verdict;
pub mod workspace;
pub mod writer;
