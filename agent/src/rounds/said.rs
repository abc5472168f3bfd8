//! Counts in a test what is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::{Event, Level, Metadata, Subscriber, span};

/// A subscriber that counts, debug level aside.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<AtomicU32>);

impl Said {
    /// How much was said by now.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Subscriber for Said {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn event(&self, _event: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}
