//! What is the same for all sinks.

use ao_common::units::{Size, Span};
use serde::Deserialize;

/// `fanout` of the configuration: what is the same for all sinks.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The first wait after a failed request is up to this; each further one up to twice as much.
    pub retry_base: Span,
    /// No wait is longer than up to this, unless the backend asks for more.
    pub retry_cap: Span,
    /// Between attempts while a person must act (credentials, address, a full disk).
    pub held_every: Span,
    /// How long the request in flight may still take at the shutdown.
    pub drain: Span,
    /// Records further ahead of our clock wait until they no longer are.
    pub max_ahead: Span,
    /// Records further ahead of our clock are dropped{future}.
    pub max_hold: Span,
    /// While a sink has fresh data to take, what lies in the backlog, or was not taken in time, gets at most this share of
    /// the time (above 0, up to 1); otherwise all of it.
    pub backlog_share: f64,
    /// A sink that takes data again, but later than this after it came, gets what is new first and the older beside it.
    pub late_after: Span,
    /// Disk for each dead-letter file and its forerunner.
    pub dead_letters: Size,
    /// Memory for decoded keyframes.
    pub keyframes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retry_base: Span(std::time::Duration::from_millis(500)),
            retry_cap: Span::secs(30),
            held_every: Span::secs(30),
            drain: Span::secs(5),
            max_ahead: Span::secs(60),
            max_hold: Span::secs(600),
            backlog_share: 0.5,
            late_after: Span::secs(30),
            dead_letters: Size::mib(16),
            keyframes: Size::mib(256),
        }
    }
}
