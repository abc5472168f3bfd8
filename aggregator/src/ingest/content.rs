//! What a frame holds is looked at before it is taken: what no sink could read is refused while its agent still
//! listens, and counts it. The fan-out would drop it too, but then only the aggregator's ledger would know.
//!
//! | what | how |
//! |---|---|
//! | a keyframe | once, as it comes, without keeping its labels; its series are counted before |
//! | log lines | without keeping labels and metadata |
//! | spans | weighed, then decoded |
//! | samples | their columns against the number of their keyframe's series, without the values |

use std::sync::Arc;

use ao_proto::frame::{FrameError, Opened};
use ao_proto::limits::MAX_SPANS_DECODED_BYTES;
use ao_proto::logs::LogFrame;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::spans;
use ao_proto::v1::{Class, FrameHeader};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::sync::Semaphore;

/// Payloads of more than this are decoded a few at a time and aside: agents close their batches at it.
const LARGE: u64 = 1 << 20;
/// Large payloads looked at at one time: each takes up to [`ao_proto::limits::MAX_RAW_BYTES`], and some times as much
/// for what is read of it.
const AT_ONCE: usize = 2;

/// Why a keyframe or a frame is refused. Small: it goes to the agent.
pub(crate) type Reason = String;

/// Looks at what comes in. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    large: Arc<Semaphore>,
    max_series: usize,
}

impl Content {
    /// Keyframes have at most `max_series`.
    pub(crate) fn new(max_series: usize) -> Self {
        Self { large: Arc::new(Semaphore::new(AT_ONCE)), max_series }
    }

    /// The number of a keyframe's series.
    pub(crate) async fn keyframe(&self, opened: Opened) -> Result<usize, Reason> {
        let (id, max) = (opened.header.keyframe, self.max_series);
        self.look(opened, move |raw, _| {
            let series = Keyframe::count_series(raw).map_err(text)?;
            if series > max {
                return Err(format!("it has {series} series, of which ingest.max_series allows {max}"));
            }
            if Keyframe::check(raw).map_err(text)? != id {
                return Err("its header names another keyframe".to_owned());
            }
            Ok(series)
        })
        .await
    }

    /// Whether a frame, whose keyframe has this many series, can be read.
    pub(crate) async fn frame(&self, opened: Opened, series: usize) -> Result<(), Reason> {
        self.look(opened, move |raw, header| match Class::try_from(header.class) {
            Ok(Class::Metrics) => MetricsFrame::check(raw, header.keyframe, series).map_err(text),
            Ok(Class::Logs | Class::LogsLow) => LogFrame::check(raw).map_err(text),
            Ok(Class::Spans) => {
                spans::check(raw, MAX_SPANS_DECODED_BYTES).map_err(text)?;
                ExportTraceServiceRequest::decode(raw).map(drop).map_err(|error| error.to_string())
            }
            _ => Err(format!("class {} is not known to this aggregator", header.class)),
        })
        .await
    }

    async fn look<R: Send + 'static>(
        &self,
        opened: Opened,
        look: impl FnOnce(&[u8], &FrameHeader) -> Result<R, Reason> + Send + 'static,
    ) -> Result<R, Reason> {
        let large = opened.header.raw_bytes > LARGE;
        let work = move || look(&opened.decompress().map_err(text)?, &opened.header);
        if !large {
            return work();
        }
        // Never closed; and where the runtime ends, nobody hears of it.
        let _turn = self.large.acquire().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(looked) => looked,
            Err(_) => Err("it could not be looked at".to_owned()),
        }
    }
}

fn text(error: FrameError) -> Reason {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use ao_proto::frame::{compress, open, seal};
    use ao_proto::logs::LogEntry;
    use ao_proto::model::{Family, Labels, Series};

    use super::*;

    fn opened(header: FrameHeader, raw: &[u8]) -> Opened {
        let header = FrameHeader { agent: vec![7; 16], raw_bytes: raw.len() as u64, ..header };
        open(&seal(&header, &compress(raw))).expect("opens")
    }

    fn keyframe(series: usize) -> Keyframe {
        let one = |n: usize| Series { labels: Labels::from_pairs([("n", n.to_string())]), family: 0 };
        let families = vec![Family { name: "up".into(), ..Family::default() }];
        let series: Vec<Series> = (0..series).map(one).collect();
        Keyframe { id: 3, at_ms: 1, families, values: vec![0.5; series.len()], series }
    }

    fn header(class: Class, records: u64) -> FrameHeader {
        FrameHeader { class: class.into(), records, keyframe: 3, ..FrameHeader::default() }
    }

    /// Scenario: a good keyframe, one of more series than allowed, one that names another id, one of random bytes.
    /// Guarantees: the first is taken, the others are refused with a sentence.
    #[tokio::test]
    async fn keyframes() {
        let content = Content::new(10);
        let check = async |id: u64, raw: &[u8]| {
            let header = FrameHeader { keyframe: id, ..FrameHeader::default() };
            content.keyframe(opened(header, raw)).await
        };
        assert_eq!(check(3, &keyframe(10).encode()).await, Ok(10));
        assert!(check(3, &keyframe(11).encode()).await.is_err_and(|why| why.contains("11 series")));
        assert!(check(4, &keyframe(1).encode()).await.is_err_and(|why| why.contains("another keyframe")));
        assert!(check(3, &[0xff; 100]).await.is_err());
    }

    /// Scenario: a frame of 4 MiB with two million empty spans, which would take over 600 MiB decoded.
    /// Guarantees: refused with a sentence, before it is decoded.
    #[tokio::test]
    async fn a_bomb_of_spans() {
        let mut raw = [0x12, 0].repeat(2 << 20);
        for _ in 0..2 {
            let mut around = vec![0x12];
            prost::encode_length_delimiter(raw.len(), &mut around).expect("it grows");
            raw.splice(0..0, around);
        }
        raw[0] = 0x0a;
        let why = Content::new(10).frame(opened(header(Class::Spans, 1), &raw), 0).await;
        assert!(why.as_ref().is_err_and(|why| why.contains("decoded request")), "{why:?}");
    }

    /// Scenario: frames of each class, good and cut short.
    /// Guarantees: only the good ones are taken, small or large.
    #[tokio::test]
    async fn frames() {
        let content = Content::new(10);
        let mut samples = Vec::new();
        MetricsFrame { at_ms: 2, values: vec![1.5; 4], ..MetricsFrame::default() }
            .encode(&keyframe(4), &mut samples);
        let text = "x".repeat(2 << 20);
        let line = |len: usize| {
            let entries = vec![LogEntry { len: len as u32, ..LogEntry::default() }];
            LogFrame {
                streams: vec![Labels::default()],
                entries,
                text: text[..len].to_owned(),
                ..LogFrame::default()
            }
        };
        let spans = ExportTraceServiceRequest::default().encode_to_vec();
        for (class, records, raw) in [
            (Class::Metrics, 4, samples),
            (Class::Logs, 1, line(5).encode()),
            (Class::LogsLow, 1, line(2 << 20).encode()),
            (Class::Spans, 0, spans),
        ] {
            assert_eq!(content.frame(opened(header(class, records), &raw), 4).await, Ok(()), "{class:?}");
            let cut = raw.len().saturating_sub(1);
            if cut > 0 {
                assert!(
                    content.frame(opened(header(class, records), &raw[..cut]), 4).await.is_err(),
                    "{class:?}"
                );
            }
        }
    }
}
