//! `make fuzz`: mutates the corpus of every target, or of one, for some seconds each, from a new seed each time. What is
//! found is written to `target/fuzz/NAME-SEED` and said on stderr; then it is to be fixed, and the file, cut down, goes
//! into the corpus.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ao_fuzz::memory::Counting;
use ao_fuzz::{run, seeds, targets};
use clap::Parser;

#[global_allocator]
static MEMORY: Counting = Counting;

/// Mutates the corpus of the fuzz targets.
#[derive(Parser)]
struct Args {
    /// For how long, in seconds, over all targets.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// One target alone.
    #[arg(long)]
    target: Option<String>,
    /// Where the mutations begin [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Writes the corpus' first files anew instead.
    #[arg(long)]
    seeds: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.seeds {
        seeds::write();
        return ExitCode::SUCCESS;
    }
    let mut targets = targets::all();
    if let Some(name) = &args.target {
        targets.retain(|target| target.name == name);
        if targets.is_empty() {
            let names: Vec<&str> = targets::all().iter().map(|target| target.name).collect();
            eprintln!("there is no target {name}; there are {}", names.join(", "));
            return ExitCode::from(2);
        }
    }
    let each = Duration::from_secs(args.seconds) / u32::try_from(targets.len()).unwrap_or(1);
    let mut code = ExitCode::SUCCESS;
    for target in targets {
        let seed = args.seed.unwrap_or_else(rand::random);
        match run::all(&target, seed, Some(Instant::now() + each)) {
            Ok(taken) => println!(
                "{:20} {:8} inputs, at most {:3} MiB and {:?} each",
                target.name,
                taken.inputs,
                taken.peak >> 20,
                taken.slowest
            ),
            Err(found) => {
                let path = format!("target/fuzz/{}-{seed:x}", target.name);
                let written =
                    std::fs::create_dir_all("target/fuzz").and_then(|()| std::fs::write(&path, &found.input));
                eprintln!("{}: {} (seed {seed}); the input is {path}: {written:?}", target.name, found.why);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
