//! What crosses the wire between agent and aggregator.

use std::sync::LazyLock;

use ao_proto::frame;
use ao_proto::logs::LogFrame;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::v1::{AgentMessage, AggregatorMessage, Directives, EnrollRequest, EnrollResponse};
use bytes::Bytes;
use prost::Message;

/// A sealed frame; the checksum is put right, so that what lies behind it is reached.
pub fn envelope(data: &[u8]) {
    let check = |sealed: Vec<u8>| {
        let Ok(opened) = frame::open(&Bytes::from(sealed)) else { return };
        if let Ok(raw) = opened.decompress() {
            assert_eq!(raw.len() as u64, opened.header.raw_bytes, "the size is what the header says");
        }
    };
    check(data.to_vec());
    if let Some(end) = data.len().checked_sub(4) {
        let crc = crc32c::crc32c(&data[..end]);
        check([&data[..end], &crc.to_le_bytes()].concat());
    }
}

/// A keyframe's payload.
pub fn keyframe(data: &[u8]) {
    let counted = Keyframe::count_series(data);
    let decoded = Keyframe::decode(data);
    assert_eq!(Keyframe::check(data), decoded.as_ref().map(|keyframe| keyframe.id).map_err(Clone::clone));
    if let Ok(decoded) = decoded {
        assert_eq!(counted, Ok(decoded.series.len()));
        let again = Keyframe::decode(&decoded.encode()).expect("what we encode can be decoded");
        assert!(bits(&again.values) == bits(&decoded.values) && again.series == decoded.series);
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The keyframe that samples are decoded with.
pub(crate) static KEYFRAME: LazyLock<Keyframe> = LazyLock::new(|| crate::seeds::keyframe(40));

/// A metrics frame's payload.
pub fn samples(data: &[u8]) {
    let checked = MetricsFrame::check(data, KEYFRAME.id, KEYFRAME.series.len());
    if let Ok(decoded) = MetricsFrame::decode(data, &KEYFRAME) {
        assert_eq!(checked, Ok(()), "what can be decoded passes the check");
        let mut again = Vec::new();
        decoded.encode(&KEYFRAME, &mut again);
        let again = MetricsFrame::decode(&again, &KEYFRAME).expect("what we encode can be decoded");
        assert_eq!(bits(&again.values), bits(&decoded.values));
    }
}

/// A log frame's payload.
pub fn log_frame(data: &[u8]) {
    let decoded = LogFrame::decode(data);
    assert_eq!(LogFrame::check(data), decoded.as_ref().map(|_| ()).map_err(Clone::clone));
    if let Ok(decoded) = decoded {
        assert_eq!(decoded.iter().count(), decoded.entries.len());
        assert_eq!(LogFrame::decode(&decoded.encode()), Ok(decoded));
    }
}

/// gRPC messages both ways.
pub fn messages(data: &[u8]) {
    let _up = AgentMessage::decode(data);
    let _down = AggregatorMessage::decode(data);
    let _enrolment = (EnrollRequest::decode(data), EnrollResponse::decode(data));
    if let Ok(directives) = Directives::decode(data) {
        assert_eq!(Directives::decode(&*directives.encode_to_vec()), Ok(directives));
    }
}
