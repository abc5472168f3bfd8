//! What flows meanwhile: numbered lines, numbered spans, and a counter that tells its own time.
//!
//! | room | what it holds |
//! |---|---|
//! | `lines` | containers' logs with rotation, and a plain file |
//! | `spans` | applications that export spans and note which were acknowledged |
//! | `counter` | a /proc whose counter of context switches is a clock |

pub mod counter;
pub mod lines;
pub mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What must be at the sinks in the end.
#[derive(Clone, Debug, Default)]
pub struct Owed {
    /// Lines written, by stream: numbers 0..n.
    pub lines: BTreeMap<String, u64>,
    /// Spans that our receiver has acknowledged.
    pub spans: BTreeSet<u64>,
    /// Spans sent, whose answer was an error or none: they may be there.
    pub unsure: BTreeSet<u64>,
}

/// Shared by all that make load.
#[derive(Clone, Default)]
pub struct Load {
    owed: Arc<Mutex<Owed>>,
    ends: Arc<AtomicBool>,
}

impl Load {
    /// What is owed up to now.
    pub fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody ends with what it has in hand.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Whether to go on.
    pub fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }
}
