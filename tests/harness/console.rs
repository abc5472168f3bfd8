//! Serves the console with a synthetic fleet on a free port of the loopback and prints its address: for working on the
//! page. `cargo run -p ao-tests --example console`

use std::io::Write as _;
use std::time::Duration;

use ao_aggregator::sink::embedded::{Config, Store, now_ms};
use ao_tests::synthetic::{Fleet, STEP_S, state};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new(&Config::default());
    let mut fleet = Fleet::new(&["web-1", "web-2", "db-1", "db-2", "cache-1", "cache-2"]);
    let mut at_ms = now_ms();
    fleet.live(&store, at_ms - 30 * 60_000, at_ms);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let router = ao_aggregator::console::router("overview", state(&store));
    writeln!(std::io::stdout(), "http://{}/", listener.local_addr()?)?;
    let live = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(STEP_S as u64));
        loop {
            ticks.tick().await;
            let now = now_ms();
            fleet.live(&store, at_ms, now);
            at_ms = now;
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = live => Ok(()),
    }
}
