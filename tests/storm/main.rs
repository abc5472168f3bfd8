//! `ao-storm [--minutes N] [--cores X]`: the log storm at full size, logs of 10 MiB (a debug build is too slow for these:
//! `--cores 0.2 --rotate 1 --escrow 8`); prints the table and writes
//! `target/report/log-storm.json`. See `ao_tests::storm`.

use std::process::ExitCode;
use std::time::Duration;

use ao_tests::storm::{Plan, run};
use ao_tests::workspace::report;
use clap::Parser as _;

/// A log storm against an agent that has too little of a processor.
#[derive(clap::Parser)]
struct Cli {
    /// How long lines come at each rate; it rises until files are given up unread.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Share of a processor for the agent.
    #[arg(long, default_value_t = 0.1)]
    cores: f64,
    /// How long the agent reads between two of its ends, seconds.
    #[arg(long, default_value_t = 20)]
    kill_every: u64,
    /// Size at which a log is rotated, MiB.
    #[arg(long, default_value_t = 10)]
    rotate: u64,
    /// Budget of the agent for files that went unread, MiB.
    #[arg(long, default_value_t = 64)]
    escrow: u64,
}

#[allow(clippy::print_stdout, reason = "the table is what the program is for")]
fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let cli = Cli::parse();
    let steady = Duration::from_secs(cli.minutes * 60);
    let plan = Plan {
        cores: cli.cores,
        measure: Duration::from_secs(30),
        first: 0.9,
        steady,
        over: steady,
        kill_every: Duration::from_secs(cli.kill_every),
        rotate: Some(cli.rotate << 20),
        escrow: Some(cli.escrow << 20),
        folder: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run(&plan));
    runtime.shutdown_background();
    println!("{}", outcome.table());
    report("log-storm", &outcome.json());
    let wrong = outcome.wrong();
    for one in &wrong {
        println!("WRONG {one}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
