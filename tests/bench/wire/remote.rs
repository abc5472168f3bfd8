//! The same samples by remote write 1.0: a request per round with all labels, snappy, no metadata and no HTTP headers.

use std::error::Error;

use ao_proto::remote::{Label, Sample, TimeSeries, WriteRequest};
use prost::Message as _;

use super::replay::{REPEATS, Round, repeat};
use crate::api::best_ns;

/// Bytes of all requests.
pub(super) fn bytes(rounds: &[Round]) -> Result<usize, Box<dyn Error>> {
    let mut bytes = 0;
    for round in rounds {
        bytes += encode(&request(round))?.len();
    }
    Ok(bytes)
}

/// Nanoseconds per sample to encode and to decode. The sender has its labels as strings at hand: only what every
/// request needs is timed.
pub(super) fn time(rounds: &[Round]) -> Result<(f64, f64), Box<dyn Error>> {
    let round = rounds.get(rounds.len() * 9 / 10).ok_or("the recording is empty")?;
    let request = request(round);
    let encoded = encode(&request)?;
    let samples = round.samples.len().max(1) as f64;
    let encode = best_ns(|| repeat(|| encode(&request))) / REPEATS / samples;
    let decode = best_ns(|| repeat(|| decode(&encoded))) / REPEATS / samples;
    Ok((encode, decode))
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
