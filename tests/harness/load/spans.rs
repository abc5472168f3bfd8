//! Applications that export numbered spans by OTLP and note which requests were acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::Load;
use crate::eventually::eventually;

/// Between two requests.
const EVERY: Duration = Duration::from_millis(150);
/// Spans of a request.
const SPANS: u64 = 4;
/// An exporter's patience. It sends no span twice, so that each has one identity from the start.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long an application may send before one of its spans is stored.
const STORED_WITHIN: Duration = Duration::from_secs(30);

/// Starts it.
pub fn start(load: &Load, receiver: SocketAddr) {
    tokio::spawn(export(load.clone(), receiver));
}

async fn export(load: Load, receiver: SocketAddr) {
    let endpoint = Endpoint::from_shared(format!("http://{receiver}")).expect("an address is a URI");
    let mut client = TraceServiceClient::new(endpoint.connect_timeout(PATIENCE).connect_lazy());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = 0;
    while load.goes_on() {
        ticks.tick().await;
        let numbers = next..next + SPANS;
        next += SPANS;
        let answer = timeout(PATIENCE, client.export(request(numbers.clone()))).await;
        let mut owed = load.owed();
        match answer {
            Ok(Ok(_)) => owed.spans.extend(numbers),
            _ => owed.unsure.extend(numbers),
        }
    }
}

fn request(numbers: std::ops::Range<u64>) -> ExportTraceServiceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let span = |n: u64| Span {
        trace_id: trace_id(n),
        span_id: span_id(n),
        name: format!("span {n}"),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: numbers.map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn trace_id(n: u64) -> Vec<u8> {
    u128::from(n + 1).to_be_bytes().to_vec()
}

fn span_id(n: u64) -> Vec<u8> {
    (n + 1).to_be_bytes().to_vec()
}

/// Number of a span.
pub fn parse(name: &str) -> Option<u64> {
    name.strip_prefix("span ")?.parse().ok()
}

/// All spans of a request.
pub fn of(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

/// An application with one connection, which sends one span after another and waits for each answer.
pub struct Application {
    client: TraceServiceClient<Channel>,
    next: u64,
    /// Spans that our receiver has acknowledged.
    stored: BTreeSet<u64>,
    /// Those of which it has said that it could not store them in time: they may come all the same.
    unsure: BTreeSet<u64>,
}

impl Application {
    /// Connects as soon as the receiver listens.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn connect(receiver: SocketAddr) -> Self {
        let url = format!("http://{receiver}");
        let client = eventually("the OTLP receiver listens", Duration::from_secs(20), async || {
            TraceServiceClient::connect(url.clone()).await
        })
        .await;
        Self { client, next: 0, stored: BTreeSet::new(), unsure: BTreeSet::new() }
    }

    /// Sends spans until so many more are acknowledged. A disk that stands still is no fault of the receiver's, which then
    /// asks for the span once more: a new one takes its place, so that each was sent once.
    ///
    /// # Panics
    /// Where the answer is another, or always this one.
    pub async fn send(&mut self, spans: usize) {
        for _ in 0..spans {
            let Self { client, next, unsure, .. } = self;
            let stored = eventually("a span is stored", STORED_WITHIN, async || {
                let number = *next;
                *next += 1;
                match client.export(request(number..number + 1)).await {
                    Ok(_) => Ok(number),
                    Err(status)
                        if status.code() == Code::Unavailable
                            && status.message().contains("send them again") =>
                    {
                        unsure.insert(number);
                        Err(status)
                    }
                    Err(status) => panic!("span {number}: {status}"),
                }
            })
            .await;
            self.stored.insert(stored);
        }
    }

    /// How many are acknowledged.
    pub fn stored(&self) -> usize {
        self.stored.len()
    }

    /// Whether all that were acknowledged are among these.
    ///
    /// # Errors
    /// A sentence with how many are missing.
    pub fn all_in(&self, spans: &[Span]) -> Result<(), String> {
        let there: BTreeSet<u64> = spans.iter().filter_map(|span| parse(&span.name)).collect();
        let missing = self.stored.difference(&there).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", self.stored.len())) }
    }

    /// Each that was acknowledged is there once, with its ids, each that was not at most once, and nothing else.
    ///
    /// # Panics
    /// Where it is not so.
    pub fn judge(&self, spans: &[Span]) {
        self.all_in(spans).expect("spans are lost");
        let mut times = BTreeMap::<u64, u32>::new();
        for span in spans {
            let number = parse(&span.name).filter(|n| self.stored.contains(n) || self.unsure.contains(n));
            let number = number.unwrap_or_else(|| panic!("nobody has sent this: {span:?}"));
            assert_eq!((&span.trace_id, &span.span_id), (&trace_id(number), &span_id(number)), "{span:?}");
            *times.entry(number).or_default() += 1;
        }
        times.retain(|_, times| *times > 1);
        assert!(times.is_empty(), "spans that came more than once: {times:?}");
    }
}
