//! What stands in requests of Prometheus' remote write 1.0.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use ao_proto::remote::WriteRequest;
use prost::Message as _;

use crate::capture::{Answer, Passed};

/// Keeps the requests with samples (metadata comes again as it pleases), and finds samples that came in requests of other
/// bytes: all of them as text. A request that was refused brought none.
pub fn doubles(passed: &mut Vec<Passed>) -> Vec<String> {
    let mut first = HashMap::<(u64, i64), usize>::new();
    let mut found = Vec::new();
    let mut kept: Vec<Passed> = Vec::new();
    for one in passed.drain(..) {
        let request = match decode(&one.body) {
            Ok(request) if request.timeseries.is_empty() => continue,
            Ok(request) => request,
            Err(why) => {
                found.push(why);
                continue;
            }
        };
        for series in request.timeseries.iter().filter(|_| one.answer != Answer::Refused) {
            let labels: Vec<_> = series.labels.iter().map(|label| (&label.name, &label.value)).collect();
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&labels);
            for sample in &series.samples {
                let by = *first.entry((hash, sample.timestamp)).or_insert(kept.len());
                if kept.get(by).is_some_and(|other| other.body != one.body) {
                    found.push(format!("in requests of other bytes: {labels:?} at {}", sample.timestamp));
                }
            }
        }
        kept.push(one);
    }
    *passed = kept;
    found
}

fn decode(body: &[u8]) -> Result<WriteRequest, String> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| format!("not snappy: {e}"))?;
    WriteRequest::decode(raw.as_slice()).map_err(|e| format!("not a WriteRequest: {e}"))
}
