//! The console in a browser.

use std::time::Duration;

use ao_aggregator::console::{self, VIEWS};
use ao_aggregator::sink::embedded::{Config, Store, now_ms};
use ao_tests::browser::Browser;
use ao_tests::eventually::eventually;
use ao_tests::synthetic::{Fleet, state};
use ao_tests::workspace;
use tokio::net::TcpListener;

/// What each view must show of the synthetic fleet.
const SHOWN: [(&str, &[&str]); 9] = [
    ("overview", &["web-1", "samples/s", "connection refused", "setcap", "Embedded store"]),
    ("host", &["Debian GNU/Linux", "/var/lib/postgresql", "% busy", "iowait"]),
    ("logs", &["order placed", "checkout.log", "lines kept"]),
    ("latency", &["registry.example", "median", "probes"]),
    ("path", &["203.0.113.40", "???", "6 hops"]),
    ("mesh", &["2 of 16 source ports are dead", "web-1 \u{2192} db-1", "clock of the peer"]),
    ("map", &["10.10.0.1, 10.20.0.1", "silent router", "db-1", "adds, ms"]),
    ("traces", &["GET /checkout", "frontend"]),
    ("ledger", &["balanced", "All nodes", "37 too old", "1840 shed", "212", "Let out a canary"]),
];

/// Opens a page until it shows all of it: the page's clock runs on while a busy machine has not run its scripts yet.
async fn drawn(browser: &Browser, url: &str, shown: &[&str]) {
    eventually(url, Duration::from_secs(90), async || {
        let page = browser.elements(url).await?;
        assert!(!page.contains("<title>owned"), "a log line ran as a script");
        assert!(!page.contains("<img src=\"x\""), "a log line became an element");
        match shown.iter().find(|text| !page.contains(**text)) {
            None => Ok(()),
            Some(text) => Err(format!("{text:?} is not shown: {page}")),
        }
    })
    .await;
}

/// Scenario: each view of the console is opened in a headless browser, with half an hour of a small fleet behind it;
/// among its log lines are some that would run as a script, were they not shown as text.
/// Guarantees: the page's scripts run under its own policy and draw every view; a hostile line stays text.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_drawn() {
    let Some(browser) = Browser::find() else {
        println!("SKIP console in a browser: there is no chromium in PATH");
        return;
    };
    assert_eq!(SHOWN.map(|(view, _)| view), VIEWS);
    let store = Store::new(&Config::default());
    let now = now_ms();
    Fleet::new(&["web-1", "web-2", "db-1"]).live(&store, now - 30 * 60_000, now);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = console::router("path", state(&store));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    for (view, shown) in SHOWN {
        drawn(&browser, &format!("http://{address}/#{view}"), shown).await;
    }
    // A listener opens on its own view.
    drawn(&browser, &format!("http://{address}/"), &["6 hops"]).await;
    let folder = workspace::root().join("target/report");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("console.png");
    browser.picture(&format!("http://{address}/#host"), &file).await.unwrap();
    assert!(file.is_file());
    server.abort();
}
