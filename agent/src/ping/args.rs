//! The options, by fping's letters.

use std::io::{self, BufRead};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::net::Mode;

use super::error::PingError;

/// The most payload that an IPv4 packet holds behind its own and ICMP's header.
const MOST_SIZE: u16 = 65_507;
/// Hosts read from a list at most.
const MOST_HOSTS: usize = 1 << 20;

/// What to ping, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Names or addresses.
    #[arg(required_unless_present = "file", value_name = "HOST")]
    pub targets: Vec<String>,
    /// Only IPv4.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Only IPv6.
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Print addresses instead of names.
    #[arg(short = 'A', long)]
    pub addr: bool,
    /// Print only the hosts that answer.
    #[arg(short = 'a', long)]
    pub alive: bool,
    /// Bytes of payload.
    #[arg(short = 'b', long, value_name = "BYTES", default_value_t = 56)]
    pub size: u16,
    /// Factor by which the timeout grows with each retry.
    #[arg(short = 'B', long, value_name = "FACTOR", default_value_t = 1.5)]
    pub backoff: f64,
    /// So many pings to each host, and a summary.
    #[arg(short = 'c', long, value_name = "N", conflicts_with_all = ["vcount", "forever"])]
    pub count: Option<u32>,
    /// The same, and each round trip in the summary.
    #[arg(short = 'C', long, value_name = "N", conflicts_with = "forever")]
    pub vcount: Option<u32>,
    /// The time before each line.
    #[arg(short = 'D', long)]
    pub timestamp: bool,
    /// The round trip behind "is alive".
    #[arg(short = 'e', long)]
    pub elapsed: bool,
    /// Hosts from a file, one a line; - is the standard input.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "targets")]
    pub file: Option<String>,
    /// Hops that a ping may take.
    #[arg(short = 'H', long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    pub ttl: Option<u8>,
    /// Milliseconds between two pings, to whichever host.
    #[arg(short = 'i', long, value_name = "MS", default_value_t = 10.0)]
    pub interval: f64,
    /// JSON, an object a line; with -c, -C or -l.
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Ping until interrupted.
    #[arg(short = 'l', long = "loop")]
    pub forever: bool,
    /// Type of service (IPv4) or traffic class (IPv6), decimal or 0x...
    #[arg(short = 'O', long, value_name = "TOS", value_parser = byte, default_value = "0")]
    pub tos: u8,
    /// Milliseconds between two pings to one host.
    #[arg(short = 'p', long, value_name = "MS", default_value_t = 1000.0)]
    pub period: f64,
    /// Only the summaries.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Pings after the first one to a host that does not answer.
    #[arg(short = 'r', long, value_name = "N", default_value_t = 3)]
    pub retry: u32,
    /// Figures of all hosts together.
    #[arg(short = 's', long)]
    pub stats: bool,
    /// Address to send from.
    #[arg(short = 'S', long = "src", value_name = "ADDR")]
    pub source: Option<IpAddr>,
    /// Milliseconds for an answer [default: 500; with -c, -C and -l the period, at most 2000].
    #[arg(short = 't', long, value_name = "MS")]
    pub timeout: Option<f64>,
    /// Print only the hosts that do not answer.
    #[arg(short = 'u', long)]
    pub unreach: bool,
    /// YAML file of the agent, whose section `net` says how to probe.
    // The agent's own option of that name has the letter -c, which is another thing here.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// raw, ping or connect [default: the best that the machine allows].
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<Mode>,
}

impl Args {
    /// Pings to each host: with -c and -C so many, with -l without end. `None` without any of them: until it answers.
    pub(super) fn pings(&self) -> Option<u32> {
        self.count.or(self.vcount).or(self.forever.then_some(u32::MAX))
    }

    /// For an answer to a host's first ping.
    pub(super) fn timeout(&self) -> Duration {
        let counting = self.pings().is_some();
        milliseconds(self.timeout.unwrap_or(if counting { self.period.min(2000.0) } else { 500.0 }))
    }

    /// # Errors
    /// What fping refuses, too.
    pub(super) fn check(&self) -> Result<(), String> {
        let range = |option: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("{option} {value} is out of range: it may be {least} to {most}"))
        };
        range("-i", self.interval, 0.0, 3_600_000.0)?;
        range("-p", self.period, 1.0, 86_400_000.0)?;
        range("-t", self.timeout.unwrap_or(500.0), 1.0, 3_600_000.0)?;
        range("-B", self.backoff, 1.0, 5.0)?;
        range("-r", self.retry.into(), 0.0, 20.0)?;
        range("-b", self.size.into(), 0.0, MOST_SIZE.into())?;
        if self.pings() == Some(0) {
            return Err("the number of pings must be above 0".to_owned());
        }
        if self.json && self.pings().is_none() {
            return Err("-J needs -c, -C or -l".to_owned());
        }
        if self.alive && self.unreach {
            return Err("-a and -u cannot be had together".to_owned());
        }
        Ok(())
    }

    /// The hosts of the command line or of the list.
    pub(super) fn hosts(&self) -> Result<Vec<String>, PingError> {
        let Some(file) = &self.file else { return Ok(self.targets.clone()) };
        let failed = |source| PingError::Hosts { file: file.clone(), source };
        let read = |lines: &mut dyn Iterator<Item = io::Result<String>>| {
            let mut hosts = Vec::new();
            for line in lines {
                // The first word of a line; a # begins a remark.
                let line = line?;
                let host = line.split_whitespace().next().filter(|word| !word.starts_with('#'));
                hosts.extend(host.map(str::to_owned));
                if hosts.len() > MOST_HOSTS {
                    return Err(io::Error::other(format!("it holds more than {MOST_HOSTS} hosts")));
                }
            }
            Ok(hosts)
        };
        if file == "-" {
            return read(&mut io::stdin().lock().lines()).map_err(failed);
        }
        let opened = std::fs::File::open(file).map_err(failed)?;
        read(&mut io::BufReader::new(opened).lines()).map_err(failed)
    }
}

/// A number of milliseconds that [`Args::check`] has seen.
pub(super) fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

fn byte(text: &str) -> Result<u8, String> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let read = hex.map_or_else(|| text.parse(), |hex| u8::from_str_radix(hex, 16));
    read.map_err(|_| format!("{text:?} is no number from 0 to 255"))
}

fn mode(text: &str) -> Result<Mode, String> {
    [Mode::Raw, Mode::Ping, Mode::Connect]
        .into_iter()
        .find(|mode| mode.to_string() == text)
        .ok_or_else(|| format!("{text:?} is none of raw, ping, connect"))
}
