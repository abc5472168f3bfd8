//! The command against this machine's loopback, in every form of output.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// What a command line prints, to a file: no terminal.
async fn printed(words: &[&str]) -> Result<String, MtrError> {
    let args = Cli::try_parse_from(std::iter::once(&"mtr").chain(words)).unwrap().args;
    let file = tempfile::NamedTempFile::new().unwrap();
    run(&args, &net::Config::default(), file.reopen().unwrap(), CancellationToken::new()).await?;
    Ok(std::fs::read_to_string(file.path()).unwrap())
}

/// Scenario: two cycles to the loopback address, as JSON.
/// Guarantees: mtr's members with their types, and ours behind them.
#[tokio::test]
async fn as_json() {
    let text = printed(&["-j", "-n", "-c", "2", "-i", "0.1", "--flows", "1", "127.0.0.1"]).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mtr = &report["report"]["mtr"];
    assert_eq!((mtr["dst"].as_str(), mtr["tests"].as_u64()), (Some("127.0.0.1"), Some(2)));
    assert_eq!((mtr["psize"].as_str(), mtr["bitpattern"].as_str()), (Some("64"), Some("0x00")));
    let hub = &report["report"]["hubs"][0];
    assert_eq!((hub["count"].as_u64(), hub["host"].as_str()), (Some(1), Some("127.0.0.1")));
    assert_eq!((hub["Loss%"].as_f64(), hub["Snt"].as_u64()), (Some(0.0), Some(2)));
    assert!(hub["Best"].as_f64().unwrap() <= hub["Wrst"].as_f64().unwrap(), "{text}");
    assert_eq!(report["report"]["paths"][0]["hops"][0], "127.0.0.1");
}

/// Scenario: a report as text, with a table of systems.
/// Guarantees: a line for the hop, under mtr's columns, with the system's number.
#[tokio::test]
async fn as_text() {
    let table = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(table.path(), "127.0.0.0/8 64500 HERE\n").unwrap();
    let file = table.path().to_str().unwrap();
    let text = printed(&["-r", "-n", "-c", "1", "--flows", "1", "-z", file, "127.0.0.1"]).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("HOST: ") && lines[1].contains("Loss%   Snt   Last"), "{text}");
    assert!(lines[2].starts_with("  1.|-- AS64500 127.0.0.1") && lines[2].contains("  0.0%     1"), "{text}");
}

/// Scenario: a host without an address of the family, an option out of range, a table that is none.
/// Guarantees: each is refused with its reason.
#[tokio::test]
async fn refused() {
    let why = printed(&["-6", "127.0.0.1"]).await.unwrap_err().to_string();
    assert_eq!(why, "cannot resolve 127.0.0.1: it has no address of that family");
    let why = printed(&["-z", "/nowhere", "127.0.0.1"]).await.unwrap_err().to_string();
    assert!(why.contains("cannot read /nowhere"), "{why}");
    assert!(Cli::try_parse_from(["mtr", "-i", "0", "h"]).is_err());
    assert!(Cli::try_parse_from(["mtr", "-u", "-T", "h"]).is_err());
}
