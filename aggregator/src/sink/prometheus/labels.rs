//! Which series the receiver's data model knows: a series with a name that it refuses would take the request with it.
//! Found out once per keyframe.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ao_proto::metrics::Keyframe;
use ao_proto::model::Labels;

/// Keyframes that are remembered; each is one agent's, for 10 to 20 minutes.
const MAX_KNOWN: usize = 4_096;

/// Invalid series by keyframe.
#[derive(Default)]
pub(super) struct Validity {
    known: Mutex<HashMap<usize, Known>>,
}

struct Known {
    /// Keeps the address from being given to another keyframe.
    keyframe: Weak<Keyframe>,
    invalid: Arc<[u32]>,
}

impl Validity {
    /// Numbers of the series that must not be sent, ascending; `on_new` is called for a keyframe not seen before.
    pub(super) fn invalid(&self, keyframe: &Arc<Keyframe>, on_new: impl FnOnce()) -> Arc<[u32]> {
        let address = Arc::as_ptr(keyframe) as usize;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&address) {
            return found.invalid.clone();
        }
        on_new();
        if known.len() >= MAX_KNOWN {
            known.retain(|_, one| one.keyframe.strong_count() > 0);
        }
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let series = keyframe.series.iter().enumerate();
        let invalid: Arc<[u32]> =
            series.filter(|(_, series)| !is_valid(&series.labels)).map(|(number, _)| number as u32).collect();
        known.insert(address, Known { keyframe: Arc::downgrade(keyframe), invalid: invalid.clone() });
        invalid
    }
}

/// The classic data model (prometheus/common model/labels.go and metric.go, `LegacyValidation`), which every receiver
/// knows; the UTF-8 one of Prometheus 3 is refused by all that are older.
fn is_valid(labels: &Labels) -> bool {
    let name = labels.get("__name__").unwrap_or_default();
    is_name(name, true) && labels.iter().all(|(name, _)| is_name(name, false))
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, in metric names with `:`.
fn is_name(name: &str, colons: bool) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names as they are, and as they must not be.
    /// Guarantees: a metric may have colons, a label not; neither may be empty, begin with a digit or leave ASCII.
    #[test]
    fn names() {
        let check = |name: &str, label: &str, valid: bool| {
            let labels = Labels::from_pairs([("__name__", name), (label, "v")]);
            assert_eq!(is_valid(&labels), valid, "{name} {label}");
        };
        check("up", "job", true);
        check("job:up:sum", "_x9", true);
        check("", "job", false);
        check("9up", "job", false);
        check("up.total", "job", false);
        check("up", "a:b", false);
        check("up", "service.name", false);
        check("up", "gr\u{f6}\u{df}e", false);
    }
}
