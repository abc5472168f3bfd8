//! `ao-chaos --minutes N [--seed S] [--plan]`: faults by a seeded schedule while numbered records of all three signals
//! flow; in the end everything owed is at the sinks under one identity, and the ledger says the same.
//!
//! | room | what it holds |
//! |---|---|
//! | `plan` | what goes wrong, when, for how long: a pure function of seed and minutes |
//! | `world` | the processes and the network between them; does and undoes faults |
//! | `disk` | disks that can be filled, writes that a crash has torn |
//! | `resent`, `frames` | what was sent again, and for what reason |
//! | `alive` | whether a process is well in the end |
//! | `watch` | memory, and how new the newest records are |
//! | `report` | the table, `target/report/chaos.json` and `chaos-SEED.json` |
//!
//! A failing run keeps its folder, `target/chaos/SEED`, with all logs.

mod alive;
mod disk;
mod frames;
mod plan;
mod report;
mod resent;
mod watch;
mod world;

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use ao_tests::capture::Passed;
use ao_tests::load::{self, Load};
use ao_tests::verdict::{self, Signal, now_s};
use ao_tests::{remote_write, workspace};
use clap::Parser as _;
use tokio::time::{sleep, sleep_until};

use crate::plan::{Fault, Manner, Target};
use crate::report::{Outcome, SIGNALS};
use crate::resent::Happened;
use crate::watch::{Ids, Watch};
use crate::world::World;

/// How long everything may take to arrive once all faults have ended.
const DRAIN: Duration = Duration::from_secs(90);
/// Between two looks at what is missing.
const EVERY: Duration = Duration::from_millis(400);
/// Words in a log that a good run does not have.
const BAD_WORDS: [&str; 3] = ["panicked at", "part of the agent has", "part of the aggregator has"];

/// Chaos, reproducibly.
#[derive(clap::Parser)]
struct Cli {
    /// Length of the schedule.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Which schedule; a random one where left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the schedule, and do nothing.
    #[arg(long)]
    plan: bool,
    /// Whether this process has a mount namespace of its own; found out where left out.
    #[arg(long, hide = true)]
    can_mount: Option<bool>,
}

#[allow(clippy::print_stdout, reason = "the table is what the program is for")]
fn main() -> Result<ExitCode, Box<dyn Error>> {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
    let faults = plan::plan(seed, cli.minutes);
    if cli.plan {
        let lines: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        // Who reads the head only has seen enough.
        return match std::io::stdout().write_all(lines.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(ExitCode::SUCCESS),
        };
    }
    let Some(can_mount) = cli.can_mount else { return Err(again(cli.minutes, seed)) };
    println!("chaos: {} minutes, seed {seed}, {} faults (--plan shows them)", cli.minutes, faults.len());
    let folder = folder(seed)?;
    let can_mount =
        if can_mount { Ok(()) } else { Err("no mount namespace can be made: not root".to_owned()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run(cli.minutes, seed, &faults, &folder, can_mount));
    runtime.shutdown_background();
    println!("{}", outcome.table());
    for name in ["chaos".to_owned(), format!("chaos-{seed}")] {
        workspace::report(&name, &outcome.json());
    }
    let wrong = outcome.wrong();
    if wrong.is_empty() {
        fs::remove_dir_all(&folder).or_else(|_| emptied(&folder))?;
        return Ok(ExitCode::SUCCESS);
    }
    for one in &wrong {
        println!("WRONG {one}");
    }
    println!("logs: {}\nagain: make chaos MINUTES={} SEED={seed}", folder.display(), cli.minutes);
    Ok(ExitCode::FAILURE)
}

/// Runs this program again in a mount namespace of its own, so that disks can be made and go with it; without one where
/// none can be had. Returns only where that fails.
fn again(minutes: u64, seed: u64) -> Box<dyn Error> {
    let Ok(program) = std::env::current_exe() else { return "this program has no file".into() };
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        Command::new("unshare").args(**way).arg("true").status().is_ok_and(|status| status.success())
    };
    let found = ways.iter().find(works);
    let mut command = match found {
        Some(way) => {
            let mut command = Command::new("unshare");
            command.args(*way).arg("--").arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--minutes", &minutes.to_string(), "--seed", &seed.to_string()]);
    command.args(["--can-mount", if found.is_some() { "true" } else { "false" }]);
    command.exec().into()
}

/// An empty folder for this run.
fn folder(seed: u64) -> std::io::Result<PathBuf> {
    let folder = workspace::root().join(format!("target/chaos/{seed}"));
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    folder.canonicalize()
}

/// What is mounted in it keeps it: it goes with the namespace, the rest now.
fn emptied(folder: &Path) -> std::io::Result<()> {
    let unmounted = ["ao-agent-data", "ao-aggregator-data"].map(|name| folder.join(name)).map(|mount| {
        Command::new("umount").arg("--lazy").arg(mount).status().is_ok_and(|status| status.success())
    });
    if unmounted.contains(&false) { Ok(()) } else { fs::remove_dir_all(folder) }
}

#[allow(clippy::print_stdout, reason = "how far it is")]
async fn run(
    minutes: u64,
    seed: u64,
    faults: &[Fault],
    folder: &Path,
    can_mount: Result<(), String>,
) -> Outcome {
    let load = Load::default();
    let begin = Instant::now();
    let began_s = now_s();
    let clock = load::counter::start(&folder.join("proc"), begin);
    let mut world = World::start(folder, can_mount).await;
    if let Some(why) = &world.no_disks {
        println!("SKIP chaos with full disks: {why}");
    }
    load::lines::start(&load, &world.stack.pods(), &world.stack.files());
    load::spans::start(&load, world.stack.otlp);
    let ids = Ids::default();
    ids.set(world.ids());
    let watch = Watch::start(begin, &world, ids.clone());

    let length = Duration::from_secs(minutes * 60);
    let (happened, skipped) = act(&mut world, faults, begin, length, &ids).await;
    load.end();
    let ended = Instant::now();
    let seconds = |at: Instant| began_s + (at - begin).as_secs_f64();
    let frozen =
        happened.iter().filter(|one| (one.fault.target, one.fault.manner) == (Target::Agent, Manner::Freeze));
    let frozen: Vec<(f64, f64)> =
        frozen.map(|one| (seconds(one.from), seconds(one.to))).chain(clock.stalls()).collect();
    let signals = drain(&mut world, &load, (began_s, &frozen), &ids).await;
    let drained = ended.elapsed();
    let (mut signals, gap_s) = signals;
    let mut findings = Vec::new();
    for ((signal, row), capture) in signals.iter_mut().zip(SIGNALS).zip(&world.captures) {
        findings.extend(signal_resent(signal, row, &capture.passed(), &happened));
    }
    let frames = world.frames().await;
    findings.extend(frames.wrong());
    let ledger = balance(&world).await;
    for (name, address) in [("agent", world.stack.admin), ("aggregator", world.stack.http)] {
        findings.extend(alive::wrong(name, address).await);
    }
    for name in ["ao-agent", "ao-aggregator"] {
        let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
        let bad = log.lines().filter(|line| BAD_WORDS.iter().any(|word| line.contains(word)));
        findings.extend(bad.take(3).map(|line| format!("{name} says: {line}")));
    }
    findings.append(&mut world.findings);
    let looks = watch.looks();
    drop(watch);
    let done = happened.iter().map(|one| one.fault).collect();
    let outcome =
        Outcome { minutes, seed, done, skipped, signals, frames, ledger, findings, looks, gap_s, drained };
    if !outcome.wrong().is_empty() {
        keep_state(&world, folder);
    }
    outcome
}

/// What came to a sink again; returned is what must not have.
fn signal_resent(
    signal: &mut Signal,
    (name, sink, workers): (&str, Target, usize),
    passed: &[Passed],
    happened: &[Happened],
) -> Vec<String> {
    let mut findings = Vec::new();
    let mut passed = passed.to_vec();
    if sink == Target::Prometheus {
        let double = remote_write::doubles(&mut passed);
        signal.double += double.len() as u64;
        signal.examples.extend(double.into_iter().take(3));
    }
    let resent = resent::judge(&passed, sink, workers, happened);
    if passed.is_empty() {
        findings.push(format!("{name}: no request was seen on the way"));
    }
    if signal.resent > resent.count {
        findings.push(format!("{name}: {} requests came twice, {} were seen", signal.resent, resent.count));
    }
    (signal.resent, signal.resent_bound) = (resent.count, resent.bound);
    findings.extend(resent.unfounded.into_iter().map(|one| format!("{name}: {one}")));
    findings
}

/// Begins and ends the faults; returns those that happened and those that could not.
async fn act(
    world: &mut World,
    faults: &[Fault],
    begin: Instant,
    length: Duration,
    ids: &Ids,
) -> (Vec<Happened>, Vec<Fault>) {
    let mut events: Vec<(Duration, bool, &Fault)> =
        faults.iter().flat_map(|fault| [(fault.at, true, fault), (fault.end(), false, fault)]).collect();
    events.sort_by_key(|(at, begins, _)| (*at, *begins));
    let (mut happened, mut skipped) = (Vec::<Happened>::new(), Vec::new());
    for (at, begins, fault) in events {
        wait_until(world, begin + at).await;
        let from = Instant::now();
        if begins {
            if world.begin(fault).await {
                happened.push(Happened { fault: *fault, from, to: begin + fault.end() });
            } else {
                skipped.push(*fault);
            }
        } else if let Some(one) = happened.iter_mut().find(|one| one.fault == *fault) {
            world.end(fault).await;
            one.to = Instant::now();
        }
        ids.set(world.ids());
    }
    wait_until(world, begin + length).await;
    (happened, skipped)
}

/// Waits, and looks after the processes meanwhile.
async fn wait_until(world: &mut World, at: Instant) {
    while Instant::now() < at {
        world.look_after();
        let next = at.min(Instant::now() + EVERY);
        sleep_until(next.into()).await;
    }
}

/// Waits until everything is there, or time is up; what is then missing is lost. Told when the counter began, and when it or
/// the agent was frozen.
async fn drain(
    world: &mut World,
    load: &Load,
    (began_s, frozen): (f64, &[(f64, f64)]),
    ids: &Ids,
) -> ([Signal; 3], f64) {
    let deadline = Instant::now() + DRAIN;
    let (mut at_loki, mut at_tempo) = (verdict::Lines::default(), verdict::Spans::default());
    let (mut lines, mut spans);
    loop {
        sleep(EVERY).await;
        world.look_after();
        let owed = load.owed().clone();
        lines = at_loki.look(&owed, &world.loki);
        spans = at_tempo.look(&owed, &world.tempo);
        if lines.lost + spans.lost == 0 || Instant::now() > deadline {
            break;
        }
    }
    world.stop_collecting().await;
    ids.set(world.ids());
    loop {
        let samples = verdict::of_samples(&world.prometheus.url, world.stack.admin, began_s, frozen).await;
        match samples {
            Ok((samples, gap)) if samples.lost == 0 || Instant::now() > deadline => {
                // Once more: what came twice may have come late.
                let owed = load.owed().clone();
                lines = at_loki.look(&owed, &world.loki);
                spans = at_tempo.look(&owed, &world.tempo);
                return ([samples, lines, spans], gap);
            }
            Err(error) if Instant::now() > deadline => {
                let examples = vec![error];
                return ([Signal { lost: 1, examples, ..Signal::default() }, lines, spans], f64::NAN);
            }
            _ => sleep(EVERY).await,
        }
    }
}

/// The ledger's balance, once nothing is in flight.
async fn balance(world: &World) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let balance = verdict::ledger(world.stack.admin, world.stack.http).await;
        if balance.is_ok() || Instant::now() > deadline {
            return balance;
        }
        sleep(EVERY).await;
    }
}

/// Copies what lies on disks that will be gone.
fn keep_state(world: &World, folder: &Path) {
    for name in ["ao-agent", "ao-aggregator"] {
        let (from, to) = (world.stack.data(name), folder.join(format!("{name}-kept")));
        // Best effort: the logs are there anyway.
        let _copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    }
}
