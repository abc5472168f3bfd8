//! What the fuzz targets reach of this room.

use serde_json::Value;

use super::place::{has_lines, has_samples, has_spans};

/// A store's answer to the question for a canary.
pub(crate) fn answer(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Value>(data) else { return };
    if has_lines(&answer) {
        assert!(has_samples(&answer), "a line is in some stream");
    }
    let _shown = has_spans(&answer);
}
