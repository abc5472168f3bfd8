//! The real Prometheus with its remote-write receiver, and PromQL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::eventually::eventually;
use crate::process::Process;
use crate::workspace::{free_addresses, tool};

/// A running Prometheus with an empty or kept store.
pub struct Prometheus {
    /// Base URL.
    pub url: String,
    address: SocketAddr,
    folder: PathBuf,
    process: Process,
}

/// One series of an instant or range vector.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its labels.
    pub labels: Value,
    /// Seconds and value.
    pub points: Vec<(f64, f64)>,
}

impl Found {
    /// A label's value; empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts it on a port of its own, its store under `folder`.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start(folder: &Path) -> Self {
        let [address] = free_addresses();
        let prometheus = Self {
            url: format!("http://{address}"),
            address,
            folder: folder.to_owned(),
            process: launch(folder, address),
        };
        prometheus.ready().await;
        prometheus
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again on the same port, with what it had.
    pub async fn restart(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// The same without waiting until it is ready.
    pub fn launch(&mut self) {
        self.process = launch(&self.folder, self.address);
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn ready(&self) {
        let url = format!("{}/-/ready", self.url);
        eventually("Prometheus is ready", Duration::from_secs(30), async || match get(&url).await {
            Ok((200, _)) => Ok(()),
            Ok((status, text)) => Err(format!("{status}: {text}")),
            Err(error) => Err(error),
        })
        .await;
    }

    /// Evaluates at this moment.
    ///
    /// # Errors
    /// Where Prometheus cannot be asked, or does not like the query.
    pub async fn query(&self, promql: &str) -> Result<Vec<Found>, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        query_at(&self.url, promql, now).await
    }
}

/// Evaluates at a time, seconds since 1970.
///
/// # Errors
/// Where Prometheus cannot be asked, or does not like the query.
pub async fn query_at(base: &str, promql: &str, at: f64) -> Result<Vec<Found>, String> {
    let url = format!("{base}/api/v1/query?time={at}&query={}", escape(promql));
    let (_, text) = get(&url).await?;
    let answer: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    let result = answer["data"]["result"].as_array().ok_or_else(|| text.clone())?;
    Ok(result.iter().map(found).collect())
}

fn launch(folder: &Path, address: SocketAddr) -> Process {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    let config = folder.join("prometheus.yml");
    let text = "global: {}\nstorage: {tsdb: {out_of_order_time_window: 50h}}\n";
    std::fs::write(&config, text).expect("the test's folder can be written");
    let mut command = Command::new(tool("prometheus"));
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.enable-remote-write-receiver");
    Process::start("prometheus", folder, &mut command)
}

fn found(series: &Value) -> Found {
    let point = |pair: &Value| {
        let value = pair[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        (pair[0].as_f64().unwrap_or_default(), value)
    };
    let points = match series["values"].as_array() {
        Some(values) => values.iter().map(point).collect(),
        None => vec![point(&series["value"])],
    };
    Found { labels: series["metric"].clone(), points }
}

/// GETs a URL: status and text.
///
/// # Errors
/// Where nobody answers.
pub async fn get(url: &str) -> Result<(u16, String), String> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
    let response = client.get(uri).await.map_err(|e| format!("{url}: {e}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
