//! `/metrics` for those who scrape: each scrape is a round; those that come while one is under way are answered from
//! one round behind it, which is theirs together.

use std::io;
use std::io::Write as _;

use ao_common::admin;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::reader::Reader;

/// Scrapes that wait for a round; more are told to come again.
const WAITING: usize = 64;
/// Prometheus, exposition formats, text format 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const ROOT: &str = "<!doctype html><title>ao-agent</title><h1>ao-agent</h1><p>This host's <a href=\"/metrics\">metrics</a>.</p>\n";

/// A scrape that waits, and whether it takes gzip.
struct Scrape {
    gzip: bool,
    answer: oneshot::Sender<Bytes>,
}

/// Serves until the shutdown.
///
/// # Errors
/// Where the listener fails.
pub(super) async fn run(
    listener: TcpListener,
    reader: Reader,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (scrapes, waiting) = mpsc::channel(WAITING);
    let rounds = tokio::spawn(rounds(reader, waiting));
    let doors = Router::new()
        .route("/", get(async || Html(ROOT)))
        .route("/metrics", get(metrics))
        .with_state(scrapes);
    let served = admin::serve(listener, doors, shutdown).await;
    // Not waited for: a collector may hang.
    rounds.abort();
    served
}

/// One round for all that wait, again and again.
async fn rounds(mut reader: Reader, mut waiting: mpsc::Receiver<Scrape>) {
    let mut scrapes = Vec::new();
    while waiting.recv_many(&mut scrapes, WAITING).await > 0 {
        let round = tokio::task::spawn_blocking(move || {
            let page = Page::new(reader.read(), &scrapes);
            for scrape in scrapes.drain(..) {
                // Whoever does not wait any longer needs nothing.
                drop(scrape.answer.send(page.body(scrape.gzip)));
            }
            (reader, scrapes)
        });
        match round.await {
            Ok(back) => (reader, scrapes) = back,
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// A round's text in the encodings that are asked for.
struct Page {
    plain: Bytes,
    gzip: Bytes,
}

impl Page {
    fn new(text: String, scrapes: &[Scrape]) -> Self {
        let gzip = match scrapes.iter().any(|scrape| scrape.gzip) {
            true => compressed(text.as_bytes()),
            false => Bytes::new(),
        };
        Self { plain: text.into(), gzip }
    }

    fn body(&self, gzip: bool) -> Bytes {
        if gzip { self.gzip.clone() } else { self.plain.clone() }
    }
}

fn compressed(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    // Writing to a Vec cannot fail.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

async fn metrics(State(scrapes): State<mpsc::Sender<Scrape>>, headers: HeaderMap) -> Response {
    let gzip = accepts_gzip(&headers);
    let (answer, answered) = oneshot::channel();
    if scrapes.try_send(Scrape { gzip, answer }).is_err() {
        let text = "too many scrapes wait for their rounds; scrape less often\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let Ok(body) = answered.await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the round has ended early\n").into_response();
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(TEXT));
    headers.insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    response
}

/// RFC 9110 section 12.5.3: named, or covered by `*`, with a weight that is not 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let weight = |item: &str| {
        let (coding, rest) = item.split_once(';').unwrap_or((item, ""));
        let weight = rest.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        (coding.trim().to_ascii_lowercase(), weight.unwrap_or(1.0))
    };
    let (mut named, mut any) = (None, None);
    for (coding, weight) in values.flat_map(|value| value.split(',')).map(weight) {
        match &*coding {
            "gzip" | "x-gzip" => named = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    named.or(any).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the header as scrapers send it, and its odd forms.
    /// Guarantees: gzip only where it is asked for.
    #[test]
    fn encodings() {
        for (value, expect) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expect, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
