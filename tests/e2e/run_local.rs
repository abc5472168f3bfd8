//! What `make run` starts: the README's first promise.

use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::process::Process;
use ao_tests::prometheus::get;
use ao_tests::workspace::{binary, root};
use serde_json::Value;

const CONSOLE: &str = "http://127.0.0.1:8800";

/// Ends the script as a user would, also when the test fails: killed outright it would leave its two processes behind.
struct Running(Process);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.is_running() {
            self.0.terminate();
        }
    }
}

impl Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}

fn start(folder: &std::path::Path) -> Running {
    let bin = binary("ao-agent");
    let mut command = Command::new(root().join("deploy/run-local.sh"));
    command.env("AO_BIN", bin.parent().unwrap()).env("DATA", folder.join("data"));
    Running(Process::start("run-local", folder, &mut command))
}

async fn api(path: &str) -> Result<Value, String> {
    let (status, text) = get(&format!("{CONSOLE}{path}")).await?;
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
}

/// Something in the answer, at a JSON pointer, that is a list with content or a text.
async fn shows(path: &str, words: &[&str]) {
    eventually(&format!("{path} shows {words:?}"), Duration::from_secs(30), async || {
        let text = api(path).await?.to_string();
        match words.iter().find(|word| !text.contains(**word)) {
            None => Ok(()),
            Some(word) => Err(format!("no {word} in {text}")),
        }
    })
    .await;
}

/// Whether there is a default route of IPv4 by a gateway (columns of /proc/net/route: interface, destination, gateway).
fn has_gateway() -> bool {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let routes = table.lines().map(|line| line.split_whitespace().skip(1).take(2).collect::<Vec<_>>());
    routes.into_iter().any(|route| matches!(route[..], ["00000000", gateway] if gateway != "00000000"))
}

/// Scenario: the script is started on this host with nothing else installed, ended by SIGTERM, and started again.
/// Guarantees: within 30 s the console has this host's CPU and memory, log lines, round trips and a path; the page and
/// both `/metrics` answer; the end is clean; the second start goes on with the journal of the first.
#[tokio::test(flavor = "multi_thread")]
async fn one_command_shows_this_host() {
    // The ports are those that the README promises: one run of this test at a time on a machine.
    let turn = std::fs::File::create(std::env::temp_dir().join("ao-run-local.lock")).unwrap();
    tokio::task::block_in_place(|| turn.lock()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    let (_, page) = eventually("the console", Duration::from_secs(30), async || get(CONSOLE).await).await;
    assert!(page.contains("<html") && page.contains("AO"), "{page}");
    shows("/api/v1/series?name=node_memory_MemTotal_bytes", &["\"instance\"", "\"points\""]).await;
    shows("/api/v1/series?name=node_cpu_seconds_total", &["idle"]).await;
    shows("/api/v1/host", &["cpu", "memory"]).await;
    // Our own two processes write lines, if nobody else does.
    shows("/api/v1/logs", &["\"job\":\"ao\"", "agent.log"]).await;
    // What is pinged without a configuration is the gateway, and a machine without network has none.
    if has_gateway() {
        shows("/api/v1/latency", &["\"target\":\"gateway\"", "\"address\""]).await;
        shows("/api/v1/paths", &["\"ttl\":1"]).await;
    }
    shows("/api/v1/ledger", &["collector", "logs", "latency", "path"]).await;
    for metrics in [format!("{CONSOLE}/metrics"), "http://127.0.0.1:8810/metrics".to_owned()] {
        let (status, text) = get(&metrics).await.unwrap();
        assert!(status == 200 && text.contains("ao_build_info"), "{text}");
    }
    let received = async || {
        let (_, text) = get(&format!("{CONSOLE}/metrics")).await?;
        let lines = text.lines().filter(|l| l.starts_with("ao_ledger_received_records_total"));
        Ok::<f64, String>(lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    };
    let before = received().await.unwrap();
    assert!(running.stop().await.success(), "{}", running.log());

    let mut again = start(folder.path());
    eventually("the ledger goes on", Duration::from_secs(30), async || match received().await? {
        now if now >= before => Ok(()),
        now => Err(format!("{now} of {before}")),
    })
    .await;
    assert!(again.stop().await.success(), "{}", again.log());
}
