//! The one HTTP client: POSTs a body, or asks below its address; waits no longer than allowed, reads no more of the
//! answer than needed. What the answer to a push means is `answer.rs`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;

use super::answer;
use super::api::{Answer, Refusal, RetryKind};

/// Bytes of an answer's body that are read; what is behind them is not needed to judge it.
const MAX_ANSWER: usize = 64 << 10;
/// Idle connections are closed before the usual 60 s of a server or load balancer run out.
const IDLE: Duration = Duration::from_secs(45);

/// Where to, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// http or https, host, port, path.
    pub url: String,
    /// Sent as `X-Scope-OrgID`, by which Mimir, Loki and Tempo tell tenants apart.
    pub tenant: Option<String>,
    /// Further headers, as they are.
    pub headers: BTreeMap<String, String>,
    /// From the connection to the last byte of the answer.
    pub timeout: Duration,
}

/// Why a client cannot be made: a mistake in the configuration.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Not an address.
    #[error("{url:?} is not an address such as \"http://host:port/path\"")]
    Url {
        /// As configured.
        url: String,
    },
    /// Secrets would show wherever the address does.
    #[error("the address of {host} holds a user or password: send them in a header, such as Authorization")]
    Credentials {
        /// Its host.
        host: String,
    },
    /// Not a header.
    #[error("{name:?} cannot be sent as a header: its name or its value has characters that HTTP forbids")]
    Header {
        /// As configured.
        name: String,
    },
    /// No certificates to trust.
    #[error("cannot read this machine's trusted certificates for {url}: {source}")]
    Roots {
        /// As configured.
        url: String,
        /// Why.
        source: std::io::Error,
    },
}

/// One backend's client; connections are kept and shared.
pub struct Client {
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
    transport: Transport,
}

/// TLS is set up only where it is used, so that a container without certificates can speak plain HTTP.
enum Transport {
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Client {
    /// Connects to nothing yet. `content` are the headers that tell what the body is.
    ///
    /// # Errors
    /// Where the options cannot be used.
    pub fn new(options: &Options, content: &[(&'static str, &'static str)]) -> Result<Self, HttpError> {
        let uri = parse_url(&options.url)?;
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).pool_max_idle_per_host(2);
        let transport = if uri.scheme_str() == Some("https") {
            Transport::Tls(builder.build(tls_connector(&options.url)?))
        } else {
            Transport::Plain(builder.build(HttpConnector::new()))
        };
        let headers = headers(options, content)?;
        Ok(Self { uri, headers, timeout: options.timeout, transport })
    }

    /// POSTs the body and judges the answer.
    pub async fn post(&self, body: Bytes) -> Answer {
        match tokio::time::timeout(self.timeout, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::Retry {
                kind: RetryKind::Timeout,
                after: None,
                why: format!("no answer from {} within {:?}", self.uri, self.timeout),
            }),
        }
    }

    /// GETs a path below the address, query and all: status, and up to so many bytes of the body.
    ///
    /// # Errors
    /// A sentence, where there is no answer.
    pub async fn get(&self, path: &str, max_bytes: usize) -> Result<(u16, String), String> {
        self.ask(Method::GET, path, Bytes::new(), max_bytes).await
    }

    /// The same for any method, with a body.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<(u16, String), String> {
        let address = self.uri.to_string();
        let address = address.trim_end_matches('/');
        let uri: Uri = format!("{address}{path}").parse().map_err(|e| format!("{address}{path}: {e}"))?;
        let asking = async {
            let response =
                self.request(method, uri, body).await.map_err(|refusal| refusal.why().to_owned())?;
            let status = response.status().as_u16();
            let broken = |error| format!("the answer from {address} broke off: {error}");
            Ok((status, read_body(response.into_body(), max_bytes).await.map_err(broken)?))
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer from {address} within {:?}", self.timeout)),
        }
    }

    async fn request(&self, method: Method, uri: Uri, body: Bytes) -> Result<Response<Incoming>, Refusal> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let response = match &self.transport {
            Transport::Plain(client) => client.request(request).await,
            Transport::Tls(client) => client.request(request).await,
        };
        response.map_err(|error| self.broken(&error))
    }

    async fn exchange(&self, body: Bytes) -> Answer {
        let response = self.request(Method::POST, self.uri.clone(), body).await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = match read_body(response.into_body(), MAX_ANSWER).await {
            Ok(body) => body,
            // The head of an answer is an answer; its body only explains it.
            Err(error) => format!("(the explanation broke off: {error})"),
        };
        answer::from_http(status, retry_after.as_deref(), &body, unix_seconds())
    }

    fn broken(&self, error: &legacy::Error) -> Refusal {
        let mut why = format!("cannot reach {}: {error}", self.uri);
        // The error itself says only "client error (Connect)"; what happened stands in its causes.
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            why.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        // Where no connection was made, it is certain that nothing was taken.
        let kind = if error.is_connect() { RetryKind::Unavailable } else { RetryKind::Connection };
        Refusal::Retry { kind, after: None, why }
    }
}

/// An absolute http or https address.
///
/// # Errors
/// Anything else, with the text.
pub fn parse_url(url: &str) -> Result<Uri, HttpError> {
    let uri: Option<Uri> = url.parse().ok();
    let is_ours = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    let uri = uri.filter(is_ours).ok_or_else(|| HttpError::Url { url: url.to_owned() })?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(HttpError::Credentials { host: uri.host().unwrap_or_default().to_owned() });
    }
    Ok(uri)
}

/// A connector that trusts what this machine trusts.
fn tls_connector(url: &str) -> Result<HttpsConnector<HttpConnector>, HttpError> {
    let builder = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|source| HttpError::Roots { url: url.to_owned(), source })?;
    Ok(builder.https_or_http().enable_http1().build())
}

fn headers(options: &Options, content: &[(&'static str, &'static str)]) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    headers
        .insert(USER_AGENT, HeaderValue::from_static(concat!("ao-aggregator/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in content {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let tenant = options.tenant.iter().map(|tenant| ("x-scope-orgid", tenant));
    let further = options.headers.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in tenant.chain(further) {
        let bad = || HttpError::Header { name: name.to_owned() };
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        // Any of them may be a token.
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if name == CONTENT_TYPE {
            return Err(bad());
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The beginning of the body, as text.
async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<String, hyper::Error> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = max_bytes - text.len();
        text.extend_from_slice(&data[..data.len().min(room)]);
        if text.len() == max_bytes {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn unix_seconds() -> i64 {
    ao_common::clock::now_ns().div_euclid(1_000_000_000)
}

#[cfg(test)]
pub(in crate::sink) mod double;

#[cfg(test)]
mod tests;
