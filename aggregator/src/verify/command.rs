//! `ao-aggregator verify`: asks the running aggregator to let a canary out, waits for it in every store, prints what came
//! when or where it was seen last, and then the ledger's balance of every node.

mod books;
mod table;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ao_common::units::Span;
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use super::MAX_TIMEOUT;
use super::run::{Check, Report};
use crate::sink::http::{Client, HttpError, Options};
use table::Table;

/// Bytes of an answer; the ledger of a thousand nodes has some.
const MAX_ANSWER: usize = 64 << 20;
/// Between two looks at how far it has come.
const LOOK: Duration = Duration::from_millis(100);
/// For one answer of the aggregator.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `ao-aggregator verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The node whose agent lets the canary out [default: the first by name that is connected].
    #[arg(long)]
    pub node: Option<String>,
    /// How long the stores are asked.
    #[arg(long, default_value = "60s", value_parser = timeout)]
    pub timeout: Span,
    /// Prints one JSON object and nothing else.
    #[arg(long)]
    pub json: bool,
    /// The running aggregator's HTTP address [default: http.listen of the configuration].
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
}

/// Why there is no answer to "does everything arrive?".
#[derive(Debug, Error)]
pub enum VerifyError {
    /// `--address`.
    #[error("--address: {0}")]
    Address(#[from] HttpError),
    /// Nobody there.
    #[error("cannot ask the aggregator at {address}: {why}; is it running, and is this its http.listen?")]
    Silent {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// It will not, as it says.
    #[error("{0}")]
    Refused(String),
    /// Standard output.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl VerifyError {
    /// A slip of the pen, and nothing wrong with what is verified.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Address(_))
    }
}

fn timeout(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    let fits = span.0 >= Duration::from_secs(1) && span.0 <= MAX_TIMEOUT;
    fits.then_some(span).ok_or_else(|| format!("{text} is not between 1s and {MAX_TIMEOUT:?}"))
}

/// Runs the command; `listen` is where the configuration says that the aggregator listens. Gives the sentence about what
/// is missing, if anything is.
///
/// # Errors
/// Where the aggregator cannot be asked, or does not let a canary out.
pub async fn run(
    args: &Args,
    listen: SocketAddr,
    mut out: impl Write,
) -> Result<Option<String>, VerifyError> {
    let aggregator = Aggregator::new(args.address.as_deref(), listen)?;
    let wish = json!({
        "node": args.node.as_deref().unwrap_or_default(),
        "timeout_ms": u64::try_from(args.timeout.0.as_millis()).unwrap_or(u64::MAX),
    });
    let mut report: Report = aggregator.ask(Method::POST, "/api/v1/verify", wish.to_string()).await?;
    let connected = match report.connected {
        1 => "the one node that is connected".to_owned(),
        n => format!("of {n} that are connected"),
    };
    if !args.json {
        writeln!(out, "canary {} let out at node {}, {connected}", report.token, report.node)?;
    }
    let mut told = vec![false; report.checks.len()];
    loop {
        for (check, told) in report.checks.iter().zip(&mut told) {
            if let Some(took) = check.took_ms.filter(|_| !*told) {
                *told = true;
                if !args.json {
                    writeln!(out, "  {:>8}  {} in {}", seconds(took), check.signal, check.backend)?;
                    out.flush()?;
                }
            }
        }
        if report.done {
            break;
        }
        tokio::time::sleep(LOOK).await;
        let path = format!("/api/v1/verify?token={}", report.token);
        report = aggregator.ask(Method::GET, &path, String::new()).await?;
    }
    let ledger: Value = aggregator.ask(Method::GET, "/api/v1/ledger", String::new()).await?;
    let missing = sentence(&report, &ledger);
    if args.json {
        let all = json!({ "ok": missing.is_none(), "missing": missing, "canary": report, "ledger": ledger });
        writeln!(out, "{all}")?;
    } else {
        writeln!(out)?;
        arrivals(&report).write(&mut out)?;
        writeln!(out)?;
        books::of(&ledger).write(&mut out)?;
        writeln!(out)?;
        if missing.is_none() {
            writeln!(out, "everything arrived, and the ledger balances")?;
        }
    }
    out.flush()?;
    Ok(missing)
}

fn arrivals(report: &Report) -> Table {
    let mut table = Table::new(&["signal", "store", "arrived after", "asked at"]);
    for check in &report.checks {
        let took = check.took_ms.map_or_else(|| "missing".to_owned(), seconds);
        let at = if check.address.is_empty() { "(in the aggregator)" } else { &check.address };
        table.row([&check.signal, &check.backend, &took, at]);
        if check.took_ms.is_none() {
            table.note(format!("  {}", check.seen));
        }
    }
    table
}

/// What is missing, in one sentence.
fn sentence(report: &Report, ledger: &Value) -> Option<String> {
    let missing: Vec<&Check> = report.checks.iter().filter(|check| check.took_ms.is_none()).collect();
    let said = |check: &&Check| format!("the {} in {} ({})", check.signal, check.backend, check.seen);
    let mut parts: Vec<String> = Vec::new();
    if !missing.is_empty() {
        let which = missing.iter().map(said).collect::<Vec<_>>().join("; ");
        parts.push(format!("missing after {}: {which}", seconds(report.elapsed_ms.min(report.timeout_ms))));
    }
    if ledger["balanced"] != true {
        let says = ledger["says"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let says = says.take(5).collect::<Vec<_>>().join("; ");
        parts.push(format!("the ledger does not balance: {says}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn seconds(ms: u64) -> String {
    format!("{:.2} s", ms as f64 / 1_000.0)
}

/// The running aggregator.
struct Aggregator {
    address: String,
    client: Client,
}

impl Aggregator {
    fn new(address: Option<&str>, listen: SocketAddr) -> Result<Self, VerifyError> {
        let address = match address {
            Some(given) if given.contains("://") => given.to_owned(),
            Some(given) => format!("http://{given}"),
            None => format!("http://{}", reachable(listen)),
        };
        let options =
            Options { url: address.clone(), tenant: None, headers: <_>::default(), timeout: PATIENCE };
        let client = Client::new(&options, &[("content-type", "application/json")])?;
        Ok(Self { address, client })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, VerifyError> {
        let silent = |why| VerifyError::Silent { address: self.address.clone(), why };
        let (status, text) =
            self.client.ask(method, path, Bytes::from(body), MAX_ANSWER).await.map_err(silent)?;
        if !(200..300).contains(&status) {
            let said: Option<Value> = serde_json::from_str(&text).ok();
            return Err(match said.as_ref().and_then(|said| said["error"].as_str()) {
                Some(sentence) => VerifyError::Refused(sentence.to_owned()),
                None => silent(format!("it answers {status}")),
            });
        }
        serde_json::from_str(&text).map_err(|error| silent(format!("its answer is not understood: {error}")))
    }
}

/// A listener on every address is reached on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(took: Option<u64>) -> Report {
        let check = |backend: &str, took_ms: Option<u64>, seen: &str| Check {
            signal: "line".to_owned(),
            backend: backend.to_owned(),
            address: String::new(),
            took_ms,
            seen: seen.to_owned(),
        };
        let seen = "seen last in the aggregator's journal";
        Report {
            token: "0".repeat(32),
            node: "n".to_owned(),
            connected: 1,
            at_ms: 0,
            elapsed_ms: 60_100,
            timeout_ms: 60_000,
            done: true,
            checks: vec![
                check("embedded", Some(120), ""),
                check("loki", took, if took.is_none() { seen } else { "" }),
            ],
        }
    }

    /// Scenario: all is there; a line is missing; the ledger is off.
    /// Guarantees: no sentence in the first case, and one that names what is missing and why in the others.
    #[test]
    fn one_sentence() {
        let fine = json!({ "balanced": true, "says": [] });
        assert_eq!(sentence(&report(Some(7)), &fine), None);
        let line = "missing after 60.00 s: the line in loki (seen last in the aggregator's journal)";
        assert_eq!(sentence(&report(None), &fine).as_deref(), Some(line));
        let off = json!({ "balanced": false, "says": ["node n, logs (lines): 3 read"] });
        let both = format!("{line}; the ledger does not balance: node n, logs (lines): 3 read");
        assert_eq!(sentence(&report(None), &off), Some(both));
    }

    /// Scenario: spans of time and addresses as people type them.
    /// Guarantees: what cannot be is refused before anything is asked.
    #[test]
    fn what_is_typed() {
        assert!(
            timeout("1m30s").is_ok()
                && timeout("0s").is_err()
                && timeout("60").is_err()
                && timeout("1h").is_err()
        );
        let listen = SocketAddr::from(([0, 0, 0, 0], 8800));
        let at = |given: Option<&str>| Aggregator::new(given, listen).map(|aggregator| aggregator.address);
        assert_eq!(at(None).ok().as_deref(), Some("http://127.0.0.1:8800"));
        assert_eq!(at(Some("h:1")).ok().as_deref(), Some("http://h:1"));
        assert!(at(Some("ftp://h")).is_err_and(|error| error.is_usage()));
    }
}
