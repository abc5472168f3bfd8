//! The aggregator's process: arguments, configuration, runtime, exit code (2 for a bad configuration).

use std::process::ExitCode;

use ao_aggregator::cli::{Cli, Command};
use ao_aggregator::sink::embedded::Store;
use ao_aggregator::{app, config::Config, identity, journal, sink, verify};
use ao_common::{shutdown, telemetry};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match &cli.config {
        Some(path) => ao_common::config::load::<Config>(path),
        None => Ok(Config::default()),
    };
    let mut config = match config {
        Ok(config) => config,
        Err(error) => return fail(2, &error.to_string()),
    };
    if let Some(data_dir) = cli.data_dir {
        config.data_dir = data_dir;
    }
    if let Some(Command::Identity(command)) = &cli.command {
        let done = identity::run_command(command, &config.data_dir, std::io::stdout().lock());
        return done.map_or_else(|reason| fail(1, &reason), |()| ExitCode::SUCCESS);
    }
    let log = match telemetry::init(&config.log) {
        Ok(log) => log,
        Err(error) => return fail(2, &error.to_string()),
    };
    if let Some(Command::Journal(args)) = &cli.command {
        return match journal::inspect::run(args, &config.data_dir, std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error.to_string()),
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start the runtime: {error}")),
    };
    // Their clients want a runtime around them; nothing is connected yet.
    let check = async {
        sink::open(&config.sinks).map_err(|error| error.to_string())?;
        let store = Store::new(&config.sinks.embedded);
        verify::places(&config.sinks, &store).map_err(|error| error.to_string()).map(|_| ())
    };
    if let Err(error) = runtime.block_on(check) {
        return fail(2, &error);
    }
    if cli.check_config {
        return ExitCode::SUCCESS;
    }
    if let Some(Command::Verify(args)) = &cli.command {
        let out = std::io::stdout().lock();
        return match runtime.block_on(verify::command::run(args, config.http.listen, out)) {
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(missing)) => fail(1, &missing),
            Err(error) => fail(if error.is_usage() { 2 } else { 1 }, &error.to_string()),
        };
    }
    let done = runtime.block_on(async {
        let token = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
        app::run(config, Some(log), token).await.map_err(|e| e.to_string())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(1, &reason),
    }
}

#[allow(clippy::print_stderr, reason = "the last words of a command, for the person who typed it")]
fn fail(code: u8, reason: &str) -> ExitCode {
    eprintln!("ao-aggregator: {reason}");
    ExitCode::from(code)
}
