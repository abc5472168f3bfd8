//! The table of sinks.

pub mod api;
