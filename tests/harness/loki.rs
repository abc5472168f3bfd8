//! A server that holds Loki's push protocol and its window of time for each stream: it decodes with the message definitions that Loki's project generates
//! (crate `loki-api`; structured metadata, which is younger than it, by our own), records, and answers by script.
//! Queries are answered from what was recorded, whatever the script says.

mod query;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use loki_api::logproto::PushRequest;
use loki_api::prost::Message as _;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};

use crate::lives::{Lives, Moment};
use crate::script::{Reply, Script};

/// One line that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The stream's selector.
    pub labels: String,
    /// Nanoseconds.
    pub at_ns: i64,
    /// The text.
    pub text: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
    /// Number of the accepted request that brought it.
    pub request: usize,
}

/// Takes lines in place of the record.
type Taker = Box<dyn FnMut(&Line) + Send>;

/// What was recorded.
#[derive(Default)]
pub struct Recorded {
    /// All lines of accepted requests, in order.
    pub lines: Vec<Line>,
    /// Bodies of accepted requests.
    pub bodies: Vec<Bytes>,
    /// Lines that were more than [`WINDOW_NS`] behind the newest of their stream, in order: not taken, and the sender is
    /// told only where they were alone in their request; none is expected.
    pub dropped: Vec<Line>,
    /// Requests that broke the protocol, with what is wrong; none is expected.
    pub violations: Vec<String>,
    /// All requests.
    pub requests: usize,
    /// Time of the newest line, nanoseconds.
    pub newest_ns: i64,
    /// A request with a line of this text is answered 400 as a whole.
    refuse: Option<String>,
    /// Newest time of each stream.
    newest: HashMap<String, i64>,
    /// Where there is one, accepted lines and bodies are not recorded.
    taker: Option<Taker>,
}

/// Half of Loki's default max_chunk_age (pkg/ingester/stream.go).
pub const WINDOW_NS: i64 = 3_600_000_000_000;

impl Recorded {
    /// Takes a request as Loki's ingesters do. A sentence where it is not taken wholly and the sender is told: a push of
    /// several streams is answered as if all was well.
    fn take(&mut self, lines: Vec<Line>, body: Bytes) -> Option<String> {
        let request = self.bodies.len();
        let streams: HashSet<String> = lines.iter().map(|line| line.labels.clone()).collect();
        let mut told = None;
        for line in lines {
            let newest = self.newest.entry(line.labels.clone()).or_insert(i64::MIN);
            let oldest = newest.saturating_sub(WINDOW_NS);
            if line.at_ns < oldest {
                told = (streams.len() == 1).then(|| format!("entry too far behind in {}", line.labels));
                self.dropped.push(Line { request, ..line });
                continue;
            }
            *newest = line.at_ns.max(*newest);
            self.newest_ns = self.newest_ns.max(line.at_ns);
            match &mut self.taker {
                Some(take) => take(&line),
                None => self.lines.push(Line { request, ..line }),
            }
        }
        if self.taker.is_none() {
            self.bodies.push(body);
        }
        told
    }
}

/// A running server; ends when dropped.
pub struct Loki {
    /// Base URL.
    pub url: String,
    /// How it answers.
    pub script: Arc<Script>,
    recorded: Arc<Mutex<Recorded>>,
    lives: Lives,
}

impl Loki {
    /// Starts on a port of its own.
    ///
    /// # Panics
    /// Where loopback gives none.
    pub async fn start() -> Self {
        let lives = Lives::new();
        let loki = Self {
            url: format!("http://{}", lives.address),
            script: Arc::default(),
            recorded: Arc::default(),
            lives,
        };
        loki.restart();
        loki
    }

    /// The same; accepted lines are handed on, and none is kept.
    ///
    /// # Panics
    /// Where loopback gives no port.
    pub async fn handing_on(take: impl FnMut(&Line) + Send + 'static) -> Self {
        let loki = Self::start().await;
        loki.recorded().taker = Some(Box::new(take));
        loki
    }

    /// Dies; it keeps what it has recorded.
    pub async fn kill(&self, moment: Moment) {
        self.lives.die(&self.script, moment).await;
    }

    /// Serves again on the same port.
    pub fn restart(&self) {
        let (script, recorded) = (Arc::clone(&self.script), Arc::clone(&self.recorded));
        self.lives.begin(|listener| serve(listener, script, recorded));
    }

    /// What was recorded so far.
    pub fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a line with this text is one that Loki will never take.
    pub fn refuse(&self, text: &str) {
        self.recorded().refuse = Some(text.to_owned());
    }

    /// Accepted lines whose labels contain a text.
    pub fn lines(&self, labels: &str) -> Vec<Line> {
        self.recorded().lines.iter().filter(|line| line.labels.contains(labels)).cloned().collect()
    }
}

async fn serve(listener: TcpListener, script: Arc<Script>, recorded: Arc<Mutex<Recorded>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&script), Arc::clone(&recorded)));
    }
}

async fn connection(stream: TcpStream, script: Arc<Script>, recorded: Arc<Mutex<Recorded>>) {
    // Closing it is then a reset, which is what a scripted break is to be.
    crate::link::abort(&stream);
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (script, recorded) = (Arc::clone(&script), Arc::clone(&recorded));
        async move { handle(request, &script, &recorded).await }
    });
    // A broken connection is part of the script.
    let _broken =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn handle(
    request: Request<Incoming>,
    script: &Script,
    recorded: &Mutex<Recorded>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let lock = || recorded.lock().unwrap_or_else(PoisonError::into_inner);
    if request.uri().path() == "/ready" {
        return Ok(plain(200, "ready"));
    }
    if request.uri().path() == "/loki/api/v1/query_range" {
        let answer = query::answer(&lock().lines, request.uri().query().unwrap_or_default());
        return Ok(plain(200, &answer.to_string()));
    }
    let is_push = request.method() == Method::POST && request.uri().path() == "/loki/api/v1/push";
    let content_type = request.headers().get("content-type").cloned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    lock().requests += 1;
    if !is_push || content_type.is_none_or(|kind| kind != "application/x-protobuf") {
        lock().violations.push("not a POST of application/x-protobuf to /loki/api/v1/push".to_owned());
        return Ok(plain(404, "no such path"));
    }
    let lines = match decode(&body) {
        Ok(lines) => lines,
        Err(why) => {
            lock().violations.push(why.clone());
            return Ok(plain(400, &why));
        }
    };
    let refuse = lock().refuse.clone();
    if refuse.is_some_and(|text| lines.iter().any(|line| line.text == text)) {
        return Ok(plain(400, "an entry cannot be taken"));
    }
    let _busy = script.busy();
    let take = || lock().take(lines, body);
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    match script.next() {
        Reply::Accept => Ok(take().map_or_else(|| plain(204, ""), |why| plain(400, &why))),
        Reply::Status(status, headers, text) => {
            let mut response = plain(status, &text);
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().map_err(io::Error::other)?);
            }
            Ok(response)
        }
        Reply::Hang => match script.hang().await {},
        Reply::Reset => Err(reset()),
        Reply::AcceptAndReset => {
            let _unheard = take();
            Err(reset())
        }
        Reply::AcceptAndHang => {
            let _unheard = take();
            match script.hang().await {}
        }
    }
}

fn plain(status: u16, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// By both definitions, which must agree.
fn decode(body: &[u8]) -> Result<Vec<Line>, String> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| format!("not snappy: {e}"))?;
    let official = PushRequest::decode(raw.as_slice()).map_err(|e| format!("not a PushRequest: {e}"))?;
    let ours = ao_proto::loki::PushRequest::decode(raw.as_slice()).map_err(|e| e.to_string())?;
    let mut lines = Vec::new();
    for (stream, with_metadata) in official.streams.iter().zip(&ours.streams) {
        if !stream.labels.starts_with('{') || !stream.labels.ends_with('}') {
            return Err(format!("not a selector: {}", stream.labels));
        }
        for (entry, with_metadata) in stream.entries.iter().zip(&with_metadata.entries) {
            let at = entry.timestamp.as_ref().ok_or("an entry without a timestamp")?;
            let pair = |p: &ao_proto::loki::LabelPairAdapter| (p.name.clone(), p.value.clone());
            lines.push(Line {
                labels: stream.labels.clone(),
                at_ns: at.seconds * 1_000_000_000 + i64::from(at.nanos),
                text: entry.line.clone(),
                metadata: with_metadata.structured_metadata.iter().map(pair).collect(),
                request: 0,
            });
        }
    }
    Ok(lines)
}
