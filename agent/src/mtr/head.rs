//! What a report says of itself.

use std::net::IpAddr;

/// From where to where, and how.
#[derive(Debug)]
pub(super) struct Head {
    /// This host.
    pub(super) source: String,
    /// As typed.
    pub(super) target: String,
    pub(super) address: IpAddr,
    /// Cycles.
    pub(super) tests: u64,
    /// Bytes of a probe.
    pub(super) size: u32,
    pub(super) tos: u8,
}
