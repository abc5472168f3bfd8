//! The one place where our processes ask for the time. Wall time is boot time (`CLOCK_BOOTTIME`, which nobody can set)
//! plus an anchor, so that a step of the system's wall clock moves nothing by itself (see [`Anchor`]).
//!
//! | room | what it holds |
//! |---|---|
//! | `anchor` | when the anchor moves: a state machine that reads no clock |
//! | `now` | the process's clock |
//! | `kept` | the anchor on disk, for the next process |
//! | `source` | reads the system's clocks, or a test's in their place |
//!
//! A process has one clock, as a machine has: [`now_ns`] and its like are free functions. The system's clock is looked
//! at by whoever asks for the time, at most every 50 ms; a step is thus known before the next stamp.

mod anchor;
mod kept;
mod now;
mod source;

pub use self::anchor::{Anchor, Seen, Stretch};
pub use self::kept::{KeepError, Kept};
pub use self::now::{
    boot_ns, kernel_ns, look, now, now_ms, now_ns, steps, system_anchor_ns, system_ns, system_time,
};
