//! Round trips and paths through the network: the only room that opens raw sockets.
//!
//! One [`Prober`] per agent serves all sources. Behind it one task owns one socket per address family and matches
//! answers to probes; a source holds a [`Client`], hands it [`Probe`]s and gets exactly one final [`Report`] for each.
//!
//! | file | room |
//! |---|---|
//! | `api.rs` | probes, reports, modes: what a source sees |
//! | `prober.rs` | the handles, and choosing the best mode that the machine allows |
//! | `thread.rs` | where it all runs |
//! | `driver.rs` | the task: sends, receives, times out |
//! | `slots.rs` | probes under way: matching answers, telling doubles, late and foreign ones apart (no I/O) |
//! | `socket.rs` | one ICMP or UDP socket with kernel timestamps |
//! | `packet.rs` | building and parsing the packets (no I/O) |
//! | `crafted.rs` | UDP and TCP probes, whole with their IP headers (no I/O) |
//! | `extension.rs` | MPLS labels behind an ICMP error (no I/O) |
//! | `filter.rs` | what raw sockets are not woken for (no I/O) |
//! | `control.rs` | control messages and socket addresses as bytes (no I/O) |
//! | `sys.rs` | the system calls, the one place with `unsafe` |
//! | `datagram.rs` | UDP datagrams, and how long each lay in the socket |
//! | `tcp.rs` | round trips by TCP connect, where ICMP is denied |
//! | `target.rs`, `resolve.rs` | what to probe, and its address |
//! | `dns.rs` | questions to name servers |
//! | `budget.rs` | how often a router may be made to answer, whoever asks (no I/O) |
//! | `agenda.rs` | what is due when |

mod api;
mod prober;
mod thread;

mod crafted;
mod driver;
mod extension;
pub(crate) mod fuzzing;
mod packet;
mod slots;

mod control;
mod datagram;
mod filter;
mod socket;
mod sys;
mod tcp;

mod agenda;
mod budget;
mod dns;
mod resolve;
mod target;

pub use agenda::{Agenda, TICK};
pub(crate) use api::is_own_limit;
pub use api::{Capability, Counted, Label, Labels, Mode, Outcome, Probe, Report, SendError, Way};
pub(crate) use budget::{Budget, Grant, HURRY, PATIENCE, PAUSE, TURNS};
pub use datagram::{Arrival, Datagram, connect_udp, source_towards};
pub use dns::Dns;
#[cfg(test)]
pub(crate) use dns::code as dns_code;
pub use prober::{Client, Config, OpenError, Prober, Stopped};
pub use resolve::{GATEWAY, ResolveError, literal, name_of, resolve, unscoped};
pub use target::TargetSpec;
pub use tcp::{connect, round_trip as connect_round_trip};
pub use thread::Thread;

#[cfg(test)]
mod tests;
