//! The agent's process: arguments, configuration, runtime, exit code (2 for a bad configuration).

use std::io::Write as _;
use std::process::ExitCode;

use ao_agent::cli::{Cli, Command};
use ao_agent::{app, collect, config::Config, convert, latency, mtr, ping, record, spool, tail};
use ao_common::{shutdown, telemetry};
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let config = match &cli.config {
        Some(path) => ao_common::config::load::<Config>(path),
        None => Ok(Config::default()),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return fail(2, &error.to_string()),
    };
    let mut config = config;
    if matches!(cli.command, Some(Command::Ping(_) | Command::Mtr(_))) && cli.config.is_none() {
        // Its output is for people and scripts: how it probes is no news to them.
        config.log.level = "warn".to_owned();
    }
    if let Err(error) = config.check() {
        return fail(2, &error);
    }
    let log = match telemetry::init(&config.log) {
        Ok(log) => log,
        Err(error) => return fail(2, &error.to_string()),
    };
    if cli.check_config {
        return ExitCode::SUCCESS;
    }
    if let Some(Command::Ping(args)) = cli.command {
        return ping(args, &config);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start the runtime: {error}")),
    };
    let (config, node) = app::resolve(config, cli.node, cli.data_dir);
    let done = runtime.block_on(async {
        match cli.command {
            None => {
                let token = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
                app::run(config, node, Some(log), token).await.map_err(|e| e.to_string())
            }
            Some(Command::Tail(args)) => {
                let token = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
                let out = std::io::stdout();
                tail::run(&args, &config, node, out, token).await.map_err(|e| e.to_string())
            }
            Some(Command::Convert(args)) => {
                let out = std::io::stdout().lock();
                convert::run(&args, out).map_err(|e| e.to_string())
            }
            Some(Command::Alerts) => {
                let rules = latency::alert::rules(&config.latency.alerts);
                std::io::stdout()
                    .write_all(rules.as_bytes())
                    .map_err(|e| format!("cannot write the rules: {e}"))
            }
            // Has ended above, with its own codes.
            Some(Command::Ping(_)) => Ok(()),
            Some(Command::Mtr(args)) => {
                let token = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
                mtr::run(&args, &config.net, std::io::stdout(), token).await.map_err(|e| e.to_string())
            }
            Some(Command::Record(args)) => record::run(args).await.map_err(|e| e.to_string()),
            Some(Command::Journal(args)) => {
                let out = std::io::stdout().lock();
                spool::inspect::run(&args, &config.data_dir, out).map_err(|e| e.to_string())
            }
            Some(Command::Collect(args)) => {
                let token = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
                let out = std::io::stdout();
                collect::run(&args, &config, &node.roots, out, token).await.map_err(|e| e.to_string())
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(1, &reason),
    }
}

/// Pings on one thread: what waits for each other need not be woken across cores. Ends with fping's codes.
fn ping(args: ping::Args, config: &Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(ping::exit::SYSTEM, &format!("cannot start the runtime: {error}")),
    };
    let done = runtime.block_on(async {
        let token = shutdown::on_signal().map_err(ping::PingError::Write)?;
        ping::run(args, &config.net, std::io::stdout(), std::io::stderr(), token).await
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(error.code(), &error.to_string()),
    }
}

/// A command line that cannot be read, or a wish for help. `ping` has a code of its own for it.
fn usage(error: &clap::Error) -> ExitCode {
    // Where there is no output there is nobody to tell.
    let _told = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if std::env::args().nth(1).is_some_and(|word| word == "ping") => ExitCode::from(ping::exit::USAGE),
        _ => ExitCode::from(2),
    }
}

#[allow(clippy::print_stderr, reason = "the last words of a command, for the person who typed it")]
fn fail(code: u8, reason: &str) -> ExitCode {
    eprintln!("ao-agent: {reason}");
    ExitCode::from(code)
}
