//! What a backend's answer means: pure functions of an HTTP status, its headers and body, or of a gRPC status.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | accepted |
//! | 408, 429, 5xx; `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `ABORTED`, `CANCELLED`, `INTERNAL`, `UNKNOWN` | retry |
//! | 413; gRPC's "message larger than max" | halve |
//! | 3xx, 401, 403, 404, 405, 415, every other 4xx; `UNAUTHENTICATED`, `PERMISSION_DENIED`, `UNIMPLEMENTED`, `NOT_FOUND` | configuration: hold, never drop |
//! | 400, 409, 422; `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `OUT_OF_RANGE`, `ALREADY_EXISTS`, `DATA_LOSS` | data: bisect |

use std::time::Duration;

use prost::Message;
use tonic::Code;

use super::api::{Accepted, Answer, Refusal, RetryKind};

/// A backend that asks to be left alone for longer is asked again all the same.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Longest text of a backend that we keep.
const MAX_WHY: usize = 2_048;

/// Judges an HTTP answer. `retry_after` is that header's text; `now` is Unix time in seconds.
pub fn from_http(status: u16, retry_after: Option<&str>, body: &str, now: i64) -> Answer {
    let why = || format!("HTTP {status}: {}", excerpt(body));
    let retry = |kind| {
        let after = retry_after.and_then(|text| parse_retry_after(text, now));
        Err(Refusal::Retry { kind, after, why: why() })
    };
    match status {
        200..=299 => Ok(Accepted::default()),
        // What is behind the gateway may have taken the request.
        408 | 504 => retry(RetryKind::Timeout),
        502 => retry(RetryKind::Connection),
        429 => retry(RetryKind::Throttled),
        503 => retry(RetryKind::Unavailable),
        500..=599 => retry(RetryKind::Server),
        413 => Err(Refusal::TooLarge { why: why() }),
        400 | 409 | 422 => Err(Refusal::Data { why: why() }),
        // 1xx, 3xx and 4xx that say nothing of the data: an address, a proxy or a right is wrong. Holding loses nothing.
        _ => Err(Refusal::Configuration { why: why() }),
    }
}

/// Judges a gRPC status (OTLP specification 1.x, "OTLP/gRPC Response", and Tempo's use of the codes).
pub fn from_grpc(status: &tonic::Status) -> Refusal {
    let why = format!("gRPC {:?}: {}", status.code(), excerpt(status.message()));
    let after = retry_info(status.details());
    let retry = |kind| Refusal::Retry { kind, after, why: why.clone() };
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => retry(RetryKind::Timeout),
        Code::Unavailable | Code::Aborted => retry(RetryKind::Unavailable),
        // grpc-go answers with this code too where one message is over its limit, and that will never fit.
        Code::ResourceExhausted if is_message_size(status.message()) => Refusal::TooLarge { why },
        Code::OutOfRange if is_message_size(status.message()) => Refusal::TooLarge { why },
        Code::ResourceExhausted => retry(RetryKind::Throttled),
        Code::Internal | Code::Unknown => retry(RetryKind::Server),
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::NotFound => {
            Refusal::Configuration { why }
        }
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists
        | Code::DataLoss => Refusal::Data { why },
        // An error without one: a broken proxy; nothing is known of the data.
        Code::Ok => retry(RetryKind::Unavailable),
    }
}

/// grpc-go: "received message larger than max (5242880 vs. 4194304)"; tonic: "decoded message length too large".
fn is_message_size(text: &str) -> bool {
    text.contains("larger than max") || text.contains("message length too large")
}

/// The first words of a text on one line.
pub fn excerpt(text: &str) -> String {
    let line: String =
        text.trim().chars().take(MAX_WHY).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { "no explanation".to_owned() } else { line }
}

/// RFC 9110 section 10.2.3: a number of seconds or a date.
fn parse_retry_after(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(parse_http_date(text)?.saturating_sub(now)).unwrap_or(0),
    };
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// RFC 9110 section 5.6.7, the one format that may be sent: `Sun, 06 Nov 1994 08:49:37 GMT`, as Unix seconds.
fn parse_http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, text) = text.split_once(", ")?;
    let mut words = text.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_a_day = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    (words.next() == Some("GMT") && in_a_day).then_some(())?;
    Some(days_since_1970(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Of a date of the Gregorian calendar; `None` where it is none, or before 1970.
pub(super) fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // With the year taken to begin in March, so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468)
}

/// google.rpc.Status, as it stands in `grpc-status-details-bin` (googleapis google/rpc/status.proto).
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.RetryInfo (google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RpcDuration>,
}

/// google.protobuf.Duration.
#[derive(Clone, Copy, PartialEq, Message)]
struct RpcDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long the status asks us to wait, where it carries a RetryInfo.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos).ok()?.min(999_999_999);
    Some(Duration::new(seconds, nanos).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    /// Scenario: every status that a backend, a proxy or a gateway is known to give.
    /// Guarantees: each has the meaning of the table; only 400, 409 and 422 blame the data.
    #[test]
    fn http_table() {
        let check = |status: u16, kind: &str| {
            let answer = from_http(status, None, "words", 0);
            assert_eq!(answer.as_ref().map_or_else(Refusal::kind, |_| "accepted"), kind, "{status}");
        };
        for status in [200, 202, 204] {
            check(status, "accepted");
        }
        for status in [408, 504] {
            check(status, "timeout");
        }
        check(502, "connection");
        check(429, "throttled");
        for status in [500, 501, 507] {
            check(status, "server_error");
        }
        check(503, "unavailable");
        check(413, "too_large");
        for status in [301, 302, 401, 402, 403, 404, 405, 406, 410, 411, 415, 418, 421, 431, 451] {
            check(status, "configuration");
        }
        for status in [400, 409, 422] {
            check(status, "refused");
        }
    }

    /// Scenario: Retry-After as seconds, as a date, in the past, and as nonsense.
    /// Guarantees: read where it can be, never a reason to fail.
    #[test]
    fn retry_after() {
        let now = 784_111_777; // 1994-11-06 08:49:37
        for (text, expect) in [
            ("7", seconds(7)),
            (" 0 ", seconds(0)),
            ("86400", seconds(3_600)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", seconds(3)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", seconds(0)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", seconds(3_600)),
            ("soon", None),
            ("-1", None),
            ("Sun, 06 Foo 1994 08:49:40 GMT", None),
            ("", None),
        ] {
            let answer = from_http(429, Some(text), "", now);
            let Err(Refusal::Retry { after, .. }) = answer else { panic!("{answer:?}") };
            assert_eq!(after, expect, "{text}");
        }
    }

    /// Scenario: every gRPC code, and the size errors that hide behind two of them.
    /// Guarantees: each has the meaning of the table.
    #[test]
    fn grpc_table() {
        for (code, text, kind) in [
            (Code::Unavailable, "", "unavailable"),
            (Code::Aborted, "", "unavailable"),
            (Code::DeadlineExceeded, "", "timeout"),
            (Code::Cancelled, "", "timeout"),
            (Code::ResourceExhausted, "RATE_LIMITED: ingestion rate limit", "throttled"),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (5242881 vs. 4194304)",
                "too_large",
            ),
            (Code::OutOfRange, "Error, decoded message length too large: found 5 bytes", "too_large"),
            (Code::Internal, "", "server_error"),
            (Code::Unknown, "", "server_error"),
            (Code::Unauthenticated, "no org id", "configuration"),
            (Code::PermissionDenied, "", "configuration"),
            (Code::Unimplemented, "unknown service", "configuration"),
            (Code::NotFound, "", "configuration"),
            (Code::InvalidArgument, "trace ids must be 128 bit", "refused"),
            (Code::FailedPrecondition, "", "refused"),
            (Code::OutOfRange, "", "refused"),
        ] {
            assert_eq!(from_grpc(&tonic::Status::new(code, text)).kind(), kind, "{code:?} {text}");
        }
    }

    /// Scenario: RESOURCE_EXHAUSTED with a RetryInfo among its details.
    /// Guarantees: its delay is kept; details that are no message are ignored.
    #[test]
    fn grpc_retry_info() {
        let delay = RpcDuration { seconds: 3, nanos: 500_000_000 };
        let info = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
        let any = |name: &str| Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value: info.clone(),
        };
        let details = RpcStatus { details: vec![any("DebugInfo"), any("RetryInfo")] }.encode_to_vec();
        for (details, expect) in
            [(details, Some(Duration::from_millis(3_500))), (vec![0xff, 0xff], None), (vec![], None)]
        {
            let status = tonic::Status::with_details(Code::ResourceExhausted, "slow", details.into());
            let Refusal::Retry { after, .. } = from_grpc(&status) else { panic!("no retry") };
            assert_eq!(after, expect);
        }
    }

    /// Scenario: an error body of several lines and megabytes.
    /// Guarantees: one short line stays.
    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt(" a\nb\tc "), "a b c");
        assert_eq!(excerpt(&"x".repeat(1 << 20)).len(), MAX_WHY);
        assert_eq!(excerpt(" \n"), "no explanation");
    }
}
