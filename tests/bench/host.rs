//! What reading the host costs: the real agent, whose collectors' rounds are encoded and lie fsynced in its spool, beside
//! node_exporter, whose pages are scraped as Prometheus scrapes them: over one connection, compressed (gzip, as our
//! frames are by zstd). Both run at the same time, one round a second each, with the same collectors, and do nothing
//! else. CPU is that of a hundred rounds behind the first ones, memory the most since the start, of both.

use std::error::Error;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::exposition::Page;
use ao_tests::process::Process;
use ao_tests::stack::metric;
use ao_tests::workspace::{binary, free_addresses, tool};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::header::ACCEPT_ENCODING;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::MissedTickBehavior;

use crate::api::{Row, cpu_seconds, peak_mib};

const ROUNDS: u32 = 100;
const PEER: &str = "node_exporter";
/// The first rounds, which make what the others use again.
const WARM: f64 = 3.0;

/// Both figures.
///
/// # Errors
/// Where a process cannot be started or asked.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [admin, otlp, theirs] = free_addresses();
    let config = folder.path().join("agent.yaml");
    std::fs::write(&config, quiet(folder.path(), &admin.to_string(), &otlp.to_string()))?;
    let mut command = Command::new(binary("ao-agent"));
    command
        .arg("--config")
        .arg(&config)
        .args(["--node", "bench", "--data-dir"])
        .arg(folder.path().join("data"));
    let agent = Process::start("ao-agent", folder.path(), &mut command);
    let mut command = Command::new(tool("prometheus-node-exporter"));
    // Debian builds it with systemd's collector on; the project's own default is off.
    command.args([&format!("--web.listen-address={theirs}"), "--no-collector.systemd"]);
    let exporter = Process::start("node_exporter", folder.path(), &mut command);

    let page = format!("http://{theirs}/metrics");
    let samples = async || metric(admin, "ao_ledger_read_records_total", "source=\"collector\"").await;
    let client: Scraper = Client::builder(TokioExecutor::new()).build_http();
    let scrape = async || scrape(&client, &page).await.map_err(|why| why.to_string());
    eventually("node_exporter answers", Duration::from_secs(20), scrape).await;
    let one = eventually("the agent's first round is in its spool", Duration::from_secs(20), async || {
        let one = samples().await?;
        if one > 0.0 { Ok(one) } else { Err("nothing yet".to_owned()) }
    })
    .await;
    eventually("the agent is warm", Duration::from_secs(60), async || {
        let now = samples().await?;
        if now >= WARM * one { Ok(()) } else { Err(format!("{now} samples")) }
    })
    .await;

    let mut size = 0;
    let begin = samples().await?;
    let before = [cpu_seconds(agent.id())?, cpu_seconds(exporter.id())?];
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..ROUNDS {
        ticks.tick().await;
        size = Page::read(&scrape().await?)?.samples.len();
    }
    let after = [cpu_seconds(agent.id())?, cpu_seconds(exporter.id())?];
    let per_round = (samples().await? - begin) / f64::from(ROUNDS);
    // node_exporter's page has some hundred series of its own process, and ours may have a round less at an end.
    if per_round < 0.85 * size as f64 {
        return Err(format!("{per_round} samples a round are less than node_exporter's {size}").into());
    }
    let [ours, peer] = [0, 1].map(|i| after[i] - before[i]);
    let what = format!(
        "{ROUNDS} rounds of {per_round:.0} samples, encoded and fsynced, beside gzip scrapes of {size}"
    );
    let [our_peak, peer_peak] = [peak_mib(agent.id())?, peak_mib(exporter.id())?];
    Ok(vec![
        Row::new("host.cpu", format!("CPU of {what}"), ours, "s").beside(PEER, peer),
        Row::new("host.memory", "the same processes' largest resident memory", our_peak, "MiB")
            .beside(PEER, peer_peak),
    ])
}

type Scraper = Client<HttpConnector, Empty<Bytes>>;

/// The text of a page that is sent compressed.
async fn scrape(client: &Scraper, page: &str) -> Result<String, Box<dyn Error>> {
    let request = Request::get(page).header(ACCEPT_ENCODING, "gzip").body(Empty::new())?;
    let body = client.request(request).await?.into_body().collect().await?.to_bytes();
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text)?;
    Ok(text)
}

/// An agent that only reads the host, for an aggregator that is not there.
fn quiet(folder: &Path, admin: &str, otlp: &str) -> String {
    let pods = folder.join("pods");
    format!(
        "admin: {{listen: \"{admin}\"}}\naggregator: {{addresses: [\"http://127.0.0.1:9\"], retry: 1h}}\n\
         otlp: {{grpc: \"{otlp}\"}}\nlogs: {{pods: {pods:?}, docker: null, host: null, journal: {{folders: null}}}}\nlatency: {{targets: []}}\npath: {{targets: []}}\n\
         containers: {{enabled: false}}\ncollectors: {{interval: 1s}}\n"
    )
}
