//! The same samples by remote write 1.0: a request per round with all labels, snappy, no metadata and no HTTP headers.

use std::error::Error;

use ao_proto::remote::{Label, Sample, TimeSeries, WriteRequest};
use prost::Message as _;

use super::replay::{self, REPEATS, Round, repeat};
use crate::api::best_ns;

/// What was sent.
pub(super) struct Outcome {
    pub(super) bytes: usize,
    /// Per sample.
    pub(super) encode_ns: f64,
    pub(super) decode_ns: f64,
}

pub(super) fn run(ours: &replay::Outcome) -> Result<Outcome, Box<dyn Error>> {
    let mut bytes = 0;
    for round in &ours.rounds {
        bytes += encode(&request(round))?.len();
    }
    let round = ours.rounds.get(ours.rounds.len() * 9 / 10).ok_or("the recording is empty")?;
    // The sender has its labels as strings at hand: only what every request needs is timed.
    let request = request(round);
    let encoded = encode(&request)?;
    let samples = round.samples.len().max(1) as f64;
    Ok(Outcome {
        bytes,
        encode_ns: best_ns(|| repeat(|| encode(&request))) / REPEATS / samples,
        decode_ns: best_ns(|| repeat(|| decode(&encoded))) / REPEATS / samples,
    })
}

fn request(round: &Round) -> WriteRequest {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    let series = round.samples.iter().map(|(labels, value)| TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: vec![Sample { value: *value, timestamp: round.at_ms }],
        exemplars: Vec::new(),
    });
    WriteRequest { timeseries: series.collect(), metadata: Vec::new() }
}

fn encode(request: &WriteRequest) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())
}

fn decode(encoded: &[u8]) -> Result<WriteRequest, Box<dyn Error>> {
    Ok(WriteRequest::decode(&*snap::raw::Decoder::new().decompress_vec(encoded)?)?)
}
