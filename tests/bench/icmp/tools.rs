//! The pingers: how each is started, and what it says.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ao_tests::exposition::Page;
use ao_tests::workspace::{binary, tool};

use super::world::{NEAR, World};

/// Of smokeping_prober, in its namespace.
const LISTEN: &str = "127.0.0.1:9374";

/// A pinger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Ours,
    Fping,
    Prober,
}

/// What a tool says of round trips, microseconds.
#[derive(Default)]
pub(crate) struct Values {
    /// By target in order; none where it says only sums.
    pub(crate) single: Vec<(Ipv4Addr, Vec<Option<f64>>)>,
    pub(crate) sum: f64,
    pub(crate) count: usize,
}

/// What a tool lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) sent: u64,
    received: u64,
    seconds: f64,
}

impl Loss {
    /// 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        (self.sent - self.received.min(self.sent)) as f64 / self.sent.max(1) as f64
    }

    /// A second.
    pub(crate) fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds.max(1e-9)
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.seconds += other.seconds;
    }
}

/// A tool that runs until its end is wanted.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// # Errors
    /// Where it has ended by itself.
    pub(crate) fn end(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(status) = self.0.try_wait()? {
            return Err(format!("a pinger has ended by itself: {status}").into());
        }
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been ended already.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Fping => super::FPING,
            Self::Prober => super::PROBER,
        }
    }

    fn command(self, world: &World) -> Command {
        let program: PathBuf = match self {
            Self::Ours => binary("ao-agent"),
            Self::Fping => tool("fping"),
            Self::Prober => tool("prometheus-smokeping-prober"),
        };
        let mut command = world.spaces.command(NEAR, &program);
        match self {
            Self::Ours => command.arg("ping"),
            Self::Fping => &mut command,
            Self::Prober => {
                command.args(["--privileged", "--log.level=error", "--web.listen-address", LISTEN])
            }
        };
        command
    }

    /// So many pings to each target, a second apart.
    pub(crate) fn accuracy(
        self,
        world: &World,
        targets: &[Ipv4Addr],
        pings: u32,
    ) -> Result<Values, Box<dyn Error>> {
        let mut command = self.command(world);
        if self == Self::Prober {
            let mut running = Running(command.args(names(targets)).stdout(Stdio::null()).spawn()?);
            // It spreads the targets over its first interval.
            std::thread::park_timeout(Duration::from_secs(u64::from(pings) + 1));
            let page = scrape(world)?;
            running.end()?;
            let total = |name| {
                page.samples
                    .iter()
                    .filter(|(series, _)| series.starts_with(name))
                    .map(|(_, v)| v)
                    .sum::<f64>()
            };
            return Ok(Values {
                single: Vec::new(),
                sum: total("smokeping_response_duration_seconds_sum") * 1e6,
                count: total("smokeping_response_duration_seconds_count") as usize,
            });
        }
        command.args(["-C", &pings.to_string(), "-q", "-p", "1000", "-i", "10", "-t", "900"]);
        command.args((self == Self::Ours).then_some("-J")).args(names(targets));
        let output = command.output()?;
        let mut values = Values::default();
        let text = String::from_utf8([output.stdout, output.stderr].concat())?;
        for line in text.lines() {
            let (target, rtts) = if self == Self::Ours { json(line)? } else { words(line)? };
            values.sum += rtts.iter().flatten().sum::<f64>();
            values.count += rtts.iter().flatten().count();
            values.single.push((target, rtts));
        }
        Ok(values)
    }

    /// Each target once a second until it is ended.
    pub(crate) fn forever(
        self,
        world: &World,
        folder: &Path,
        targets: &[Ipv4Addr],
    ) -> Result<Running, Box<dyn Error>> {
        let mut command = self.command(world);
        if self == Self::Prober {
            command.args(names(targets));
        } else {
            command.args(["-l", "-q", "-p", "1000", "-i", "1", "-f"]).arg(list(
                folder,
                self.name(),
                targets,
            )?);
        }
        Ok(Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// The agent, which does nothing else.
    pub(crate) fn agent(
        world: &World,
        folder: &Path,
        targets: &[Ipv4Addr],
    ) -> Result<Running, Box<dyn Error>> {
        let mut yaml = format!(
            "aggregator: {{addresses: [\"http://127.0.0.1:9\"], retry: 1h}}\n\
             logs: {{pods: {:?}, docker: null, host: null, journal: {{folders: null}}}}\npath: {{targets: []}}\n\
             containers: {{enabled: false}}\ncollectors: {{interval: 1h}}\n\
             latency:\n  interval: 20s\n  pings: 20\n  targets:\n",
            folder.join("pods")
        );
        for target in targets {
            writeln!(yaml, "    - {target}")?;
        }
        let config = folder.join("agent.yaml");
        std::fs::write(&config, yaml)?;
        let mut command = world.spaces.command(NEAR, &binary("ao-agent"));
        command.arg("--config").arg(&config).args(["--node", "bench", "--data-dir"]).arg(folder.join("data"));
        let log = std::fs::File::create(folder.join("agent.log"))?;
        Ok(Running(command.stdout(Stdio::null()).stderr(log).spawn()?))
    }

    /// Each target once a second, all of them evenly spread, for so many seconds.
    pub(crate) fn rate(
        self,
        world: &World,
        targets: &[Ipv4Addr],
        seconds: u32,
    ) -> Result<Loss, Box<dyn Error>> {
        let interval = 1_000.0 / targets.len() as f64;
        let arguments =
            ["-c", &seconds.to_string(), "-p", "1000", "-i", &format!("{interval:.4}"), "-t", "1000"]
                .map(str::to_owned);
        self.loss(world, targets, &arguments)
    }

    /// Each target once, all at once.
    pub(crate) fn burst(self, world: &World, targets: &[Ipv4Addr]) -> Result<Loss, Box<dyn Error>> {
        self.loss(world, targets, &["-c", "1", "-i", "0", "-t", "1000"].map(str::to_owned))
    }

    fn loss(self, world: &World, targets: &[Ipv4Addr], arguments: &[String]) -> Result<Loss, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut command = self.command(world);
        command.args(arguments).args(["-q", "-f"]).arg(list(folder.path(), self.name(), targets)?);
        let begin = Instant::now();
        let output = command.output()?;
        let mut loss = Loss { seconds: begin.elapsed().as_secs_f64(), ..Loss::default() };
        let text = String::from_utf8(output.stderr)?;
        let mut seen = HashSet::new();
        for line in text.lines() {
            // host : xmt/rcv/%loss = 4/4/0%, min/avg/max = ...
            let Some((host, figures)) = line.split_once(" : xmt/rcv/%loss = ") else { continue };
            let mut figures = figures.split('/').map(str::parse::<u64>);
            let (Some(Ok(sent)), Some(Ok(received))) = (figures.next(), figures.next()) else {
                return Err(format!("{} says: {line}", self.name()).into());
            };
            seen.insert(host.to_owned());
            loss.sent += sent;
            loss.received += received;
        }
        if seen.len() < targets.len() {
            let words = text.lines().last().unwrap_or_default();
            return Err(format!(
                "{} tells of {} of {} targets: {words}",
                self.name(),
                seen.len(),
                targets.len()
            )
            .into());
        }
        Ok(loss)
    }
}

fn names(targets: &[Ipv4Addr]) -> impl Iterator<Item = String> {
    targets.iter().map(Ipv4Addr::to_string)
}

/// A file with the targets.
fn list(folder: &Path, name: &str, targets: &[Ipv4Addr]) -> Result<PathBuf, Box<dyn Error>> {
    let file = folder.join(format!("{name}.targets"));
    std::fs::write(&file, names(targets).collect::<Vec<_>>().join("\n") + "\n")?;
    Ok(file)
}

/// A target, and the round trip of each of its pings, microseconds; `None` where it was lost.
type Line = (Ipv4Addr, Vec<Option<f64>>);

/// fping's line: host : 0.034 0.035 -
fn words(line: &str) -> Result<Line, Box<dyn Error>> {
    let (host, rtts) = line.split_once(" : ").ok_or_else(|| format!("fping says: {line}"))?;
    let rtts = rtts.split_whitespace().map(|ms| ms.parse().ok().map(|ms: f64| ms * 1_000.0)).collect();
    Ok((host.trim().parse()?, rtts))
}

/// Ours: {"vSum": {"host": ..., "values": [...]}}
fn json(line: &str) -> Result<Line, Box<dyn Error>> {
    let read: serde_json::Value = serde_json::from_str(line)?;
    let sum = &read["vSum"];
    let host = sum["host"].as_str().ok_or_else(|| format!("no host in {line}"))?;
    let values = sum["values"].as_array().ok_or_else(|| format!("no values in {line}"))?;
    let rtts = values.iter().map(|ms| ms.as_f64().map(|ms| ms * 1_000.0)).collect();
    Ok((host.parse()?, rtts))
}

/// smokeping_prober's page.
fn scrape(world: &World) -> Result<Page, Box<dyn Error>> {
    Page::read(&world.spaces.get(NEAR, LISTEN, "/metrics")?).map_err(Into::into)
}
