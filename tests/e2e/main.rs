//! The real binaries, end to end. One binary, since linking is what costs on small machines.

mod bad_input;
mod directives;
mod logs;
mod metrics;
mod restart;
mod traces;
mod weather;
mod writer;
