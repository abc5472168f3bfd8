//! What reading 2,000 cgroups costs: a generated tree of pods on a tmpfs, with the files of a kernel of today. Only the
//! kernel's own work to make the figures is not in it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_agent::container::{Config, Containers};
use ao_agent::context::Roots;
use ao_proto::v1::{Container, Directives, Pod};

use crate::api::Row;

/// Two of three cgroups are containers; the slices above come to these.
const PODS: usize = 666;
const ROUNDS: u32 = 20;
/// Between two rounds in a running agent.
const INTERVAL: Duration = Duration::from_secs(15);

/// The files of one cgroup, as a container of Linux 6.8 has them.
const FILES: [(&str, &str); 18] = [
    ("cgroup.events", "populated 1\nfrozen 0\n"),
    ("cgroup.procs", ""),
    ("cpu.max", "50000 100000\n"),
    ("cpu.pressure", PRESSURE),
    (
        "cpu.stat",
        "usage_usec 123456789\nuser_usec 100000000\nsystem_usec 23456789\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 1234\nnr_throttled 56\nthrottled_usec 7890123\nnr_bursts 0\nburst_usec 0\n",
    ),
    ("cpu.weight", "39\n"),
    ("io.pressure", PRESSURE),
    (
        "io.stat",
        "259:0 rbytes=409600 wbytes=81920 rios=100 wios=20 dbytes=0 dios=0\n253:0 rbytes=409600 wbytes=81920 rios=100 wios=20 dbytes=0 dios=0\n",
    ),
    ("memory.current", "123456789\n"),
    ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"),
    ("memory.max", "268435456\n"),
    ("memory.min", "0\n"),
    ("memory.peak", "134217728\n"),
    ("memory.pressure", PRESSURE),
    ("memory.swap.current", "0\n"),
    ("memory.swap.max", "max\n"),
    ("pids.current", "17\n"),
    ("pids.max", "2048\n"),
];

const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=65432\n";

/// Some fifty lines, as the kernel writes them.
fn memory_stat() -> String {
    let first = "anon 52428800\nfile 71028089\nkernel 3145728\nfile_mapped 8388608\ninactive_file 20971520\nactive_file 50056569\npgfault 123456\npgmajfault 78\n";
    let others = (0..44).map(|n| format!("some_other_figure_{n} {}\n", n * 4096));
    first.to_owned() + &others.collect::<String>()
}

/// CPU and time of a round, in the mean of many, behind the first.
///
/// # Errors
/// Where the tree cannot be made or the clock cannot be read.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let (cgroups, directives) = make(dir.path())?;
    let roots =
        Roots { proc: dir.path().join("proc"), sys: dir.path().join("sys"), root: dir.path().join("root") };
    let mut containers = Containers::new(Config::default(), roots);
    let directives = Arc::new(directives);
    let (mut at_ms, mut samples) = (0, 0);
    let mut round = || {
        at_ms += 15_000;
        samples = containers.round(&directives, at_ms).iter().map(|set| set.samples.len()).sum();
    };
    round();
    let (cpu, begin) = (process_cpu(), Instant::now());
    for _ in 0..ROUNDS {
        round();
    }
    let (cpu, time) = (process_cpu().saturating_sub(cpu) / ROUNDS, begin.elapsed() / ROUNDS);
    let what = format!("{cgroups} cgroups, {samples} samples, every 15 s: share of a core");
    let took = format!("{cgroups} cgroups, {samples} samples: one round");
    Ok(vec![
        Row::new("container.cpu_2000", what, cpu.as_secs_f64() / INTERVAL.as_secs_f64(), "cores"),
        Row::new("container.ms_2000_cgroups", took, time.as_secs_f64() * 1e3, "ms"),
    ])
}

/// Of all threads: the rounds have one of their own.
fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // The clock begins at 0 and counts below a second in nanoseconds.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Makes the tree; how many cgroups there are, and the directives that name them.
fn make(dir: &Path) -> Result<(usize, Directives), Box<dyn Error>> {
    let base = dir.join("sys/fs/cgroup");
    let stat = memory_stat();
    let slice = base.join("kubepods.slice/kubepods-burstable.slice");
    let mut folders: Vec<PathBuf> = vec![base.join("kubepods.slice"), slice.clone()];
    let mut directives = Directives { version: 1, ..Directives::default() };
    for n in 0..PODS {
        let pod = slice.join(format!("kubepods-burstable-pod{n:08}_7f7b_4a53_9d3c_0a4f7ad0d001.slice"));
        let mut known = Pod {
            uid: format!("{n:08}-7f7b-4a53-9d3c-0a4f7ad0d001"),
            namespace: format!("team-{}", n % 20),
            name: format!("service-{n}-6c9f7d4b8-x{n:04}"),
            ..Pod::default()
        };
        for c in 0..2 {
            let id = format!("{n:032x}{c:032x}");
            folders.push(pod.join(format!("cri-containerd-{id}.scope")));
            let image = format!("registry.example/team/service-{n}:1.{c}");
            known.containers.push(Container { id, name: format!("app-{c}"), image });
        }
        folders.push(pod);
        directives.pods.push(known);
    }
    for folder in &folders {
        fs::create_dir_all(folder)?;
        for (name, text) in FILES {
            fs::write(folder.join(name), text)?;
        }
        fs::write(folder.join("memory.stat"), &stat)?;
    }
    fs::write(base.join("cgroup.controllers"), "cpu io memory pids\n")?;
    fs::create_dir_all(dir.join("proc"))?;
    Ok((folders.len(), directives))
}
