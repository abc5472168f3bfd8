//! The real binaries, end to end. One binary, since linking is what costs on small machines.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod bad_input;
mod clock;
mod console;
mod directives;
mod disk_full;
mod hostile;
mod identity;
mod lint;
mod logs;
mod mesh;
mod metrics;
mod outage;
mod parity;
mod restart;
mod rules;
mod run_local;
mod storm;
mod traces;
mod up;
mod verify;
mod weather;
mod windows;

use ao_tests::writer;
