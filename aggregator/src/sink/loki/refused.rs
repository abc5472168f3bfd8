//! Loki's 400 mostly means "some entries were left out, the others are taken" (pkg/distributor validates entry by entry
//! and sends on what is good; pkg/ingester/stream.go stores what it can). Sending the request again in halves would
//! double the others, so the body is read for which ones were left out. Texts: pkg/validation/validate.go,
//! pkg/ingester/stream.go, pkg/chunkenc/interface.go.

use super::encode::{Entry, Stream};
use crate::sink::api::RecordRef;

/// What an error body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Just these were left out.
    Only(Vec<RecordRef>),
    /// Loki is not set up for what we send.
    Configuration,
    /// It does not say which; bisecting finds out.
    Unclear,
}

/// Whether an entry of a stream is one that was left out.
type LeftOut<'b> = dyn Fn(&Stream<'_>, &Entry<'_>) -> bool + 'b;

/// Reads the body of a 400 to a request of these streams.
pub(super) fn in_body(body: &str, streams: &[Stream<'_>]) -> Verdict {
    if body.contains("structured metadata, but this feature is disallowed") {
        return Verdict::Configuration;
    }
    let left_out: Option<Box<LeftOut<'_>>> = if let Some(limit) = number_after(body, "Max entry size '") {
        Some(Box::new(move |_, entry| entry.line.len() > limit))
    } else if let Some(oldest) = time_after(body, "oldest acceptable timestamp is: ") {
        // Both "timestamp too old" (for all streams) and "entry too far behind" (for the streams that are named).
        let behind = body.contains("too far behind");
        Some(Box::new(move |stream, entry| entry.at_ns < oldest && (!behind || names(body, stream))))
    } else if let Some(newest) = time_after(body, "has timestamp too new: ") {
        Some(Box::new(move |_, entry| entry.at_ns >= newest))
    } else if let Some(limit) = number_after(body, "label names; limit ") {
        // It names one stream, but all that have as many are left out.
        Some(Box::new(move |stream, _| stream.labels > limit))
    } else if is_about_a_stream(body) {
        Some(Box::new(|stream, _| names(body, stream)))
    } else {
        None
    };
    let Some(left_out) = left_out else { return Verdict::Unclear };
    let entries = streams.iter().flat_map(|stream| stream.entries.iter().map(move |entry| (stream, entry)));
    let mut refused: Vec<RecordRef> =
        entries.filter(|(stream, entry)| left_out(stream, entry)).map(|(_, entry)| entry.record).collect();
    refused.sort_unstable();
    // A body that fits none of what was sent was read wrongly.
    if refused.is_empty() { Verdict::Unclear } else { Verdict::Only(refused) }
}

/// Errors that hit every entry of a stream for its labels' sake.
fn is_about_a_stream(body: &str) -> bool {
    ["label name too long", "label value too long", "has duplicate label name"]
        .iter()
        .any(|text| body.contains(text))
}

/// Whether the body names the stream. Loki prints labels as it sorted them, which is as we send them.
fn names(body: &str, stream: &Stream<'_>) -> bool {
    body.contains(&stream.selector)
}

fn number_after(body: &str, words: &str) -> Option<usize> {
    let (_, rest) = body.split_once(words)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Nanoseconds of `2026-11-22T14:19:09Z` or `2026-11-22 14:19:09.5 +0000 UTC` (Go's RFC 3339 and `String`).
fn time_after(body: &str, words: &str) -> Option<i64> {
    let (_, rest) = body.split_once(words)?;
    let number = |from: usize, to: usize| rest.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let behind = rest.get(19..)?;
    let digits: String = match behind.strip_prefix('.') {
        Some(fraction) => fraction.chars().take_while(char::is_ascii_digit).take(9).collect(),
        None => String::new(),
    };
    let zone = &behind[if digits.is_empty() { 0 } else { digits.len() + 1 }..];
    // Loki prints UTC; another zone would need its offset, and guessing could drop what is good.
    if !zone.starts_with('Z') && !zone.starts_with(" +0000") {
        return None;
    }
    let nanos = format!("{digits:0<9}").parse::<i64>().ok()?;
    let days = crate::sink::answer::days_since_1970(year, month, day)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ao_proto::logs::{LogEntry, LogFrame};
    use ao_proto::model::Labels;

    use super::super::encode::streams;
    use super::*;
    use crate::sink::api::{Batch, Decoded, Part, Telemetry};

    /// 2024-01-01T00:00:00Z.
    const START: i64 = 1_704_067_200_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    /// Streams a and b with lines at 0, 1, 2 s, the last one of 300 bytes; records 0..3 and 3..6.
    fn batch() -> Batch {
        let mut frame = LogFrame::default();
        for name in ["a", "b"] {
            frame.streams.push(Labels::from_pairs([("app", name), ("node", "n1")]));
            for (second, len) in [(0, 5), (1, 5), (2, 300)] {
                let stream = frame.streams.len() as u32 - 1;
                frame.entries.push(LogEntry { stream, at_ns: START + second * SECOND, len, metadata: 0 });
                frame.text.push_str(&"x".repeat(len as usize));
            }
        }
        let telemetry = Telemetry::Logs(frame);
        let records = telemetry.records();
        let frame = Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry });
        Batch { parts: vec![Part { frame, records }], ..Batch::default() }
    }

    /// Scenario: the texts that Loki is known to answer with.
    /// Guarantees: exactly the entries that they speak of count as refused; an unknown text leads to a bisection.
    #[test]
    fn bodies() {
        let check = |body: &str, expect: Option<&[u32]>| {
            let batch = batch();
            let expect = match expect {
                Some(records) => Verdict::Only(records.iter().map(|record| (0, *record)).collect()),
                None => Verdict::Unclear,
            };
            assert_eq!(in_body(body, &streams(&batch)), expect, "{body}");
        };
        check(
            "Max entry size '256' bytes exceeded for stream '{app=\"a\", node=\"n1\"}' while adding an entry with \
             length '300' bytes",
            Some(&[2, 5]),
        );
        check(
            "entry for stream '{app=\"a\", node=\"n1\"}' has timestamp too old: 2024-01-01T00:00:00Z, oldest \
             acceptable timestamp is: 2024-01-01T00:00:01Z",
            Some(&[0, 3]),
        );
        check(
            "entry with timestamp 2024-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry \
             timestamp is: 2024-01-01T00:00:00Z, oldest acceptable timestamp is: 2024-01-01 00:00:01.5 +0000 UTC',\n\
             user 'fake', total ignored: 2 out of 3 for stream: {app=\"b\", node=\"n1\"}",
            Some(&[3, 4]),
        );
        check("entry for stream '{app=\"a\"}' has timestamp too new: 2024-01-01T00:00:02Z", Some(&[2, 5]));
        check("stream '{app=\"a\", node=\"n1\"}' has label value too long: 'x'", Some(&[0, 1, 2]));
        check("entry for stream '{app=\"c\"}' has 2 label names; limit 1", Some(&[0, 1, 2, 3, 4, 5]));
        check("entry for stream '{app=\"c\"}' has 2 label names; limit 2", None);
        check("stream '{app=\"c\"}' has label value too long: 'x'", None);
        check("couldn't parse push request: unexpected EOF", None);
        check("oldest acceptable timestamp is: 2024-01-01T00:00:01+02:00", None);
        check("oldest acceptable timestamp is: yesterday", None);
        check("", None);
    }

    /// Scenario: a Loki that does not take structured metadata.
    /// Guarantees: that is a matter of configuration; nothing is dropped for it.
    #[test]
    fn metadata_disallowed() {
        let body = "stream '{app=\"a\"}' includes structured metadata, but this feature is disallowed. Please see ...";
        assert_eq!(in_body(body, &streams(&batch())), Verdict::Configuration);
    }

    proptest::proptest! {
        /// Scenario: any text around the words that are looked for.
        /// Guarantees: never panics.
        #[test]
        fn never_panics(text in ".{0,60}") {
            let batch = batch();
            for words in ["oldest acceptable timestamp is: ", "Max entry size '", "has timestamp too new: 2024-01-01"] {
                in_body(&format!("{words}{text}"), &streams(&batch));
            }
        }
    }
}
