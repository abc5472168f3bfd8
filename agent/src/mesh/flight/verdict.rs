//! Whom a recording blames, and why.

use std::net::IpAddr;

use serde::Serialize;

/// Whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    SenderHost,
    ReceiverHost,
    Hop,
    NameService,
    Unknown,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SenderHost => "sender_host",
            Self::ReceiverHost => "receiver_host",
            Self::Hop => "hop",
            Self::NameService => "name_service",
            Self::Unknown => "unknown",
        }
    }
}

/// Whom, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Blame {
    pub(super) verdict: Verdict,
    /// A hop's address, or the name server's.
    pub(super) hop: Option<IpAddr>,
    /// Sentences without a stop.
    pub(super) evidence: Vec<String>,
}
