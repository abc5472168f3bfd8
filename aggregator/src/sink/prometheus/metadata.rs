//! Type, help and unit of the metric families. Remote write 1.0 carries them beside the samples; they are sent when new
//! ones are known and again once in a while, in a request of their own, so that requests with samples stay the same
//! bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ao_proto::metrics::Keyframe;
use ao_proto::model::{Family, MetricType};
use ao_proto::remote::metric_metadata::MetricType as Kind;
use ao_proto::remote::{MetricMetadata, WriteRequest};
use prost::Message;
use tokio::time::Instant;

/// Families that are remembered; further ones go without metadata.
const MAX_FAMILIES: usize = 20_000;
/// New families wait this long for others, so that the start of a fleet is one request and not a thousand.
const SETTLE: Duration = Duration::from_secs(5);
/// After a request that was not taken.
const RETRY: Duration = Duration::from_secs(60);

/// What is known, and when it is to be sent.
pub(super) struct Metadata {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    families: BTreeMap<Arc<str>, Family>,
    due: Option<Instant>,
}

impl Metadata {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Notes a keyframe's families.
    pub(super) fn learn(&self, keyframe: &Keyframe) {
        let mut state = self.lock();
        for family in &keyframe.families {
            let nothing =
                family.kind == MetricType::Unknown && family.help.is_empty() && family.unit.is_empty();
            let full = state.families.len() >= MAX_FAMILIES && !state.families.contains_key(&family.name);
            if nothing || full || state.families.get(&family.name) == Some(family) {
                continue;
            }
            // What only changed (agents of two versions take turns) waits for the next regular time.
            if state.families.insert(family.name.clone(), family.clone()).is_none() {
                let soon = Instant::now() + SETTLE;
                state.due = Some(state.due.map_or(soon, |due| due.min(soon)));
            }
        }
    }

    /// The request, if it is time for it.
    pub(super) fn due(&self, now: Instant) -> Option<Vec<u8>> {
        let mut state = self.lock();
        if state.due.is_none_or(|due| due > now) {
            return None;
        }
        state.due = Some(now + self.every);
        let metadata = state.families.values().map(metadata).collect();
        Some(WriteRequest { timeseries: Vec::new(), metadata }.encode_to_vec())
    }

    /// The request was not taken: again in a while, but sooner than usual.
    pub(super) fn failed(&self) {
        self.lock().due = Some(Instant::now() + RETRY.min(self.every));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn metadata(family: &Family) -> MetricMetadata {
    let kind = match family.kind {
        MetricType::Unknown => Kind::Unknown,
        MetricType::Counter => Kind::Counter,
        MetricType::Gauge => Kind::Gauge,
        MetricType::Histogram => Kind::Histogram,
        MetricType::Summary => Kind::Summary,
        MetricType::Info => Kind::Info,
    };
    MetricMetadata {
        r#type: kind.into(),
        metric_family_name: family.name.to_string(),
        help: family.help.to_string(),
        unit: family.unit.to_string(),
    }
}
