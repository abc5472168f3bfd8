//! The pinger beside fping and smokeping_prober: how wrong its round trips are, what it costs, and what it loses by
//! itself. All ping into a network namespace at the other end of a veth pair, whose far end is captured with the kernel's
//! stamps, and to a program behind a TUN device that answers after a known time; each tool is held against what was
//! captured of its own packets. Needs root, for the namespaces.
//!
//! | room | what it holds |
//! |---|---|
//! | `world` | the namespaces, and programs in them |
//! | `capture` | what really passed, and when |
//! | `tun` | who answers late |
//! | `tools` | the pingers and what they say |
//! | `sys` | the system calls, the one place with `unsafe` |

mod capture;
mod sys;
mod tools;
mod tun;
mod world;

use std::error::Error;
use std::time::{Duration, Instant};

use crate::api::{Row, cpu_seconds, peak_mib};
use crate::netns::Children;
use capture::{Capture, Truth};
use tools::{Tool, Values};
use world::World;

/// The far end, and the addresses behind it.
const VETH: (&str, &str) = (world::FAR, world::FAR_DEVICE);
/// The same for the program that answers late.
const TUN: (&str, &str) = (world::NEAR, world::TUN_DEVICE);

/// Targets and pings of a measurement of accuracy, a second apart.
const TARGETS: u16 = 100;
const PINGS: u32 = 20;

/// Busy loops for each core: more than there is room for.
const LOOPS: usize = 2;

/// Rounds of [`RATE`] pings.
const SECONDS: u32 = 10;
const RATE: u16 = 15_000;
/// fping has 65,535 numbers for ten seconds.
const PEER_SECONDS: u32 = 4;
const BURST: u16 = 1_000;
const BURSTS: usize = 20;

/// A measurement of CPU goes on for so long, behind a time in which the first rounds end and all of their series have been
/// handed on.
const CPU: Duration = Duration::from_secs(30);
const WARM: Duration = Duration::from_secs(40);
const CPU_TARGETS: u16 = 1_000;

const FPING: &str = "fping";
const PROBER: &str = "smokeping_prober";

/// One of the programs that the measurements start of this binary, in the namespaces or beside them.
///
/// # Errors
/// Where the program cannot go on.
pub(crate) fn role(name: &str, argument: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "capture" => capture::capture(argument),
        "tun" => tun::answer(argument),
        "spin" => loop {
            std::hint::spin_loop();
        },
        other => Err(format!("there is no role {other}").into()),
    }
}

/// All rows.
///
/// # Errors
/// Where a namespace cannot be made, a program is missing, or one does not say what it should.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let world = World::new("i")?;
    let mut rows = Vec::new();
    rows.extend(errors(&world, "idle", 0)?);
    let cores = std::thread::available_parallelism()?.get();
    rows.extend(errors(&world, "busy", cores * LOOPS)?);
    rows.extend(cost()?);
    rows.extend(losses(&world)?);
    Ok(rows)
}

/// How far what a tool says is from what was captured, microseconds.
struct Off {
    /// Of the differences of single round trips, without their sign.
    p99: f64,
    /// Between the means.
    mean: f64,
    /// Round trips that were compared.
    count: usize,
}

impl Off {
    fn of(values: &Values, truth: &Truth) -> Result<Self, Box<dyn Error>> {
        let Values { single, sum, count } = values;
        let mean_truth = truth.mean_us()?;
        let mean = (sum / (*count).max(1) as f64 - mean_truth).abs();
        let mut off = Vec::new();
        for (target, values) in single {
            let passed = truth.of(*target);
            // By number, as far as both know of the ping.
            let pairs = values.iter().zip(passed).filter_map(|(said, real)| Some((said.as_ref()?, real?)));
            off.extend(pairs.map(|(said, real)| (said - real).abs()));
        }
        off.sort_by(f64::total_cmp);
        let p99 = off.get(off.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(f64::NAN);
        Ok(Self { p99, mean, count: off.len().max(*count) })
    }
}

/// Each tool, one after the other, on both ways; the larger error of the two counts.
fn errors(world: &World, when: &str, loops: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    let _load = Children::spin(loops)?;
    let mut rows = Vec::new();
    let mut worst: [Option<Off>; 3] = [None, None, None];
    let mut ways = Vec::new();
    for (number, (namespace, device)) in [VETH, TUN].into_iter().enumerate() {
        for (index, tool) in [Tool::Ours, Tool::Fping, Tool::Prober].into_iter().enumerate() {
            let targets = world::targets(number, index, TARGETS);
            let capture = Capture::start(world, namespace, device)?;
            let values = tool.accuracy(world, &targets, PINGS)?;
            let truth = capture.end(&targets)?;
            let off = Off::of(&values, &truth)?;
            if tool == Tool::Ours && off.count < usize::from(TARGETS) * PINGS as usize * 9 / 10 {
                return Err(format!("only {} round trips could be compared on {device}", off.count).into());
            }
            ways.push(format!("{} {device} p99 {:.1} mean {:.1}", tool.name(), off.p99, off.mean));
            let worse = worst[index]
                .as_ref()
                .is_none_or(|before| off.p99.max(off.mean) > before.p99.max(before.mean));
            if worse {
                worst[index] = Some(off);
            }
        }
    }
    let [Some(ours), Some(fping), Some(prober)] = worst else { return Err("nothing was measured".into()) };
    let what = format!(
        "99th percentile of the error of {} round trips against the capture, {when}, the worse of veth and TUN ({})",
        ours.count,
        ways.join("; ")
    );
    rows.push(Row::new(format!("icmp.error_p99_us_{when}"), what, ours.p99, "us").beside(FPING, fping.p99));
    let what = format!("error of the mean round trip against the capture, {when}, the worse of veth and TUN");
    rows.push(
        Row::new(format!("icmp.error_mean_us_{when}"), what, ours.mean, "us").beside(PROBER, prober.mean),
    );
    Ok(rows)
}

/// CPU and memory of 1,000 targets, each pinged once a second: of the agent with all that a round passes through up to
/// its fsynced spool, of the pinger alone, and of both peers; all at the same time, but each in namespaces of its own. The
/// kernel offers every reply to every raw socket of a namespace, on the time of whoever pinged, and smokeping_prober opens
/// one for each target: with them in one namespace the others would pay for that.
fn cost() -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [agents, pingers, fpings, probers] = ["a", "o", "f", "p"].map(World::new);
    let (agents, pingers, fpings, probers) = (agents?, pingers?, fpings?, probers?);
    let targets = world::targets(0, 0, CPU_TARGETS);
    let mut agent = Tool::agent(&agents, folder.path(), &targets)?;
    let mut pinger = Tool::Ours.forever(&pingers, folder.path(), &targets)?;
    let mut fping = Tool::Fping.forever(&fpings, folder.path(), &targets)?;
    let mut prober = Tool::Prober.forever(&probers, folder.path(), &targets)?;
    let ids = [agent.id(), pinger.id(), fping.id(), prober.id()];
    let begin = Instant::now();
    while begin.elapsed() < WARM {
        std::thread::park_timeout(WARM.saturating_sub(begin.elapsed()));
    }
    let begin = Instant::now();
    let times = || ids.iter().map(|id| cpu_seconds(*id)).collect::<Result<Vec<_>, _>>();
    let before = times()?;
    while begin.elapsed() < CPU {
        std::thread::park_timeout(CPU.saturating_sub(begin.elapsed()));
    }
    let after = times()?;
    let took = begin.elapsed().as_secs_f64();
    let mut memory = Vec::new();
    for id in ids {
        memory.push(peak_mib(id)?);
    }
    for child in [&mut agent, &mut pinger, &mut fping, &mut prober] {
        child.end()?;
    }
    let cpu: Vec<f64> = before.iter().zip(&after).map(|(before, after)| (after - before) / took).collect();
    let what = "1,000 targets pinged once a second";
    Ok(vec![
        Row::new("icmp.cpu_1000_targets", format!("CPU of the pinger, {what}"), cpu[1], "core")
            .beside(FPING, cpu[2]),
        Row::new(
            "icmp.memory_1000_targets",
            format!("its largest resident memory, {what}"),
            memory[1],
            "MiB",
        )
        .beside(FPING, memory[2]),
        Row::new(
            "icmp.agent_cpu_1000_targets",
            format!(
                "CPU of the whole agent, rounds of 20 with each round trip, series into its spool, {what}"
            ),
            cpu[0],
            "core",
        )
        .beside(PROBER, cpu[3]),
        Row::new(
            "icmp.agent_memory_1000_targets",
            format!("its largest resident memory, {what}"),
            memory[0],
            "MiB",
        )
        .beside(PROBER, memory[3]),
    ])
}

/// Pings that the tool itself loses: nothing on the way does.
fn losses(world: &World) -> Result<Vec<Row>, Box<dyn Error>> {
    let targets = world::targets(0, 0, RATE);
    let ours = Tool::Ours.rate(world, &targets, SECONDS)?;
    let theirs = Tool::Fping.rate(world, &targets, PEER_SECONDS)?;
    let what = format!(
        "share lost of {} pings to {RATE} targets once a second ({:.0} sent a second)",
        ours.sent,
        ours.rate()
    );
    let many = Row::new("icmp.false_loss_15k", what, ours.share(), "share").beside(FPING, theirs.share());
    let targets = world::targets(0, 0, BURST);
    let (mut ours, mut theirs) = (tools::Loss::default(), tools::Loss::default());
    for _ in 0..BURSTS {
        ours += Tool::Ours.burst(world, &targets)?;
        theirs += Tool::Fping.burst(world, &targets)?;
    }
    let what = format!("share lost of {BURSTS} bursts of {BURST} pings at once");
    let burst = Row::new("icmp.false_loss_burst", what, ours.share(), "share").beside(FPING, theirs.share());
    Ok(vec![many, burst])
}
