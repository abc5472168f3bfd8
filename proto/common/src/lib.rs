//! The kit that both services stand on. It knows nothing of what crosses the wire.
//!
//! | room | what it holds |
//! |---|---|
//! | [`units`] | `"15s"`, `"64MiB"` in configuration files |
//! | [`config`] | one YAML file into one typed configuration |
//! | [`secret`] | a password or token that is shown nowhere |
//! | [`telemetry`] | our own log lines, with a level that can be changed while running |
//! | [`repeated`] | log lines that others can cause without end |
//! | [`health`] | which parts are ready, and why not |
//! | [`process`] | the process's own CPU, memory and files as metrics |
//! | [`door`] | a listener that anybody may reach: how many connections, and which one goes |
//! | [`admin`] | `/metrics /healthz /readyz /log-level` |
//! | [`shutdown`] | a signal, then a drain with a deadline |
//! | [`backoff`] | full-jitter exponential waiting |
//! | [`tls`] | keys, certificates and the CA |
//! | [`clock`] | the time, which nobody can set |
//! | [`journal`] | the durable segment log with named cursors |

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod door;
pub mod health;
pub mod journal;
pub mod process;
pub mod repeated;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod units;
