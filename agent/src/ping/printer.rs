//! Lines and JSON, as fping 5 writes them: results to one output, summaries and complaints to the other; JSON to the
//! first alone.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use ao_common::clock;
use serde_json::Value;

use super::args::Args;
use super::tally::Tally;
use crate::net::{Outcome, SendError};

/// ICMP's header, which fping counts to the size.
const HEADER: u32 = 8;

/// What ICMP's codes of "destination unreachable" mean (RFC 792, RFC 1812 section 5.2.7.1).
const UNREACHABLE: [&str; 16] = [
    "Network Unreachable",
    "Host Unreachable",
    "Protocol Unreachable",
    "Port Unreachable",
    "Unreachable (Fragmentation Needed)",
    "Unreachable (Source Route Failed)",
    "Unreachable (Destination Network Unknown)",
    "Unreachable (Destination Host Unknown)",
    "Unreachable (Source Host Isolated)",
    "Unreachable (Communication with Network Prohibited)",
    "Unreachable (Communication with Host Prohibited)",
    "Unreachable (Network Unreachable For Type Of Service)",
    "Unreachable (Host Unreachable For Type Of Service)",
    "Unreachable (Communication Administratively Prohibited)",
    "Unreachable (Host Precedence Violation)",
    "Unreachable (Precedence cutoff in effect)",
];

/// Of a JSON object, in order.
type Fields = Vec<(&'static str, Value)>;

/// See the module.
pub(super) struct Printer<O, E> {
    out: O,
    err: E,
    args: Args,
    /// Of the longest name.
    width: usize,
    counting: bool,
}

impl<O: Write, E: Write> Printer<O, E> {
    pub(super) fn new(args: &Args, hosts: &[Tally], out: O, err: E) -> Self {
        let width = hosts.iter().map(|host| host.name.len()).max().unwrap_or(0);
        Self { out, err, args: args.clone(), width, counting: args.pings().is_some() }
    }

    /// A name without an address.
    pub(super) fn unknown(&mut self, name: &str, why: &str) -> io::Result<()> {
        if self.args.json {
            self.object("warning", vec![("host", name.into()), ("message", why.into())])?;
        }
        // With -q only where it is told nowhere else.
        if self.args.quiet && !self.args.json && self.counting {
            Ok(())
        } else {
            writeln!(self.err, "{name}: {why}")
        }
    }

    pub(super) fn answered(&mut self, host: &Tally, number: u32, rtt: Duration) -> io::Result<()> {
        if !self.counting || self.args.quiet {
            return Ok(());
        }
        let size = u32::from(self.args.size) + HEADER;
        if self.args.json {
            let what = [("size", size.into()), ("rtt", exact(rtt).into())];
            return self.stamped("resp", host, number, &what);
        }
        let said = format!("{size} bytes, {} ms", milliseconds(rtt));
        self.line(host, number, &said)
    }

    pub(super) fn timed_out(&mut self, host: &Tally, number: u32) -> io::Result<()> {
        if !self.counting || self.args.quiet {
            return Ok(());
        }
        if self.args.json {
            return self.stamped("timeout", host, number, &[]);
        }
        self.line(host, number, "timed out")
    }

    fn line(&mut self, host: &Tally, number: u32, said: &str) -> io::Result<()> {
        let average = host.average().map_or_else(|| "NaN".to_owned(), milliseconds);
        let (name, width, loss) = (&host.name, self.width, host.loss());
        let time = self.time();
        writeln!(self.out, "{time}{name:<width$} : [{number}], {said} ({average} avg, {loss}% loss)")?;
        self.out.flush()
    }

    /// One more answer to a ping that has had its own.
    pub(super) fn duplicate(&mut self, host: &Tally, number: u32) -> io::Result<()> {
        if self.args.quiet || self.args.json {
            return Ok(());
        }
        let size = u32::from(self.args.size) + HEADER;
        writeln!(self.err, "{} : duplicate for [{number}], {size} bytes", host.name)
    }

    /// A router or the host itself refused a ping.
    pub(super) fn refused(&mut self, host: &Tally, from: IpAddr, how: &Outcome) -> io::Result<()> {
        if self.args.quiet {
            return Ok(());
        }
        let what = match how {
            Outcome::Unreachable { code, .. } if host.address.is_ipv4() => {
                UNREACHABLE.get(usize::from(*code)).copied().unwrap_or("Unreachable")
            }
            Outcome::Unreachable { .. } => "Unreachable",
            _ => "Time Exceeded",
        };
        writeln!(self.err, "ICMP {what} from {from} for ICMP Echo sent to {}", host.name)
    }

    /// A ping that never left.
    pub(super) fn unsent(&mut self, why: &SendError) -> io::Result<()> {
        if self.args.quiet { Ok(()) } else { writeln!(self.err, "{why}") }
    }

    /// Whether a host is there; only where just that is asked.
    pub(super) fn verdict(&mut self, host: &Tally) -> io::Result<()> {
        let (alive, unreach, quiet) = (self.args.alive, self.args.unreach, self.args.quiet);
        let answered = host.received > 0;
        if quiet || (alive && !answered) || (unreach && answered) {
            return Ok(());
        }
        let took = match host.min {
            Some(rtt) if self.args.elapsed => format!(" ({} ms)", milliseconds(rtt)),
            _ => String::new(),
        };
        let verdict = match (alive || unreach, answered) {
            (true, _) => "",
            (false, true) => " is alive",
            (false, false) => " is unreachable",
        };
        let time = self.time();
        writeln!(self.out, "{time}{}{verdict}{took}", host.name)?;
        self.out.flush()
    }

    /// Of all hosts, at the end.
    pub(super) fn summaries(&mut self, hosts: &[Tally]) -> io::Result<()> {
        if !self.counting {
            return Ok(());
        }
        if !self.args.quiet && !self.args.json {
            writeln!(self.err)?;
        }
        for host in hosts {
            if self.args.json {
                self.summary_json(host)?;
            } else {
                self.summary(host)?;
            }
        }
        Ok(())
    }

    fn summary(&mut self, host: &Tally) -> io::Result<()> {
        let (name, width) = (&host.name, self.width);
        write!(self.err, "{name:<width$} :")?;
        if self.args.vcount.is_some() {
            for rtt in &host.rtts {
                write!(self.err, " {}", rtt.map_or_else(|| "-".to_owned(), milliseconds))?;
            }
            return writeln!(self.err);
        }
        write!(self.err, " xmt/rcv/%loss = {}/{}/{}%", host.ended, host.received, host.loss())?;
        if let (Some(min), Some(average)) = (host.min, host.average()) {
            let [min, average, max] = [min, average, host.max].map(milliseconds);
            write!(self.err, ", min/avg/max = {min}/{average}/{max}")?;
        }
        writeln!(self.err)
    }

    fn summary_json(&mut self, host: &Tally) -> io::Result<()> {
        if self.args.vcount.is_some() {
            let values: Vec<Option<f64>> = host.rtts.iter().map(|rtt| rtt.map(exact)).collect();
            return self.object("vSum", vec![("host", host.name.as_str().into()), ("values", values.into())]);
        }
        let mut fields: Fields = vec![
            ("host", host.name.as_str().into()),
            ("xmt", host.ended.into()),
            ("rcv", host.received.into()),
            ("loss", host.loss().into()),
        ];
        if let (Some(min), Some(average)) = (host.min, host.average()) {
            let rtts = [("rttMin", min), ("rttAvg", average), ("rttMax", host.max)];
            fields.extend(rtts.map(|(name, rtt)| (name, exact(rtt).into())));
        }
        self.object("summary", fields)
    }

    /// Figures of all hosts together.
    pub(super) fn stats(
        &mut self,
        hosts: &[Tally],
        unknown: usize,
        other: u64,
        took: Duration,
    ) -> io::Result<()> {
        let alive = hosts.iter().filter(|host| host.received > 0).count();
        let dead = hosts.len() - alive;
        let sum = |of: fn(&Tally) -> u32| hosts.iter().map(|host| u64::from(of(host))).sum::<u64>();
        let (sent, ended, received) = (sum(Tally::transmitted), sum(|h| h.ended), sum(|h| h.received));
        let lost = ended - received;
        let min = hosts.iter().filter_map(|host| host.min).min().unwrap_or_default();
        let max = hosts.iter().map(|host| host.max).max().unwrap_or_default();
        let total: Duration = hosts.iter().map(|host| host.sum).sum();
        let average = u32::try_from(received).ok().and_then(|n| total.checked_div(n)).unwrap_or_default();
        if self.args.json {
            return self.object(
                "stats",
                vec![
                    ("targets", hosts.len().into()),
                    ("alive", alive.into()),
                    ("unreachable", dead.into()),
                    ("unknownAddresses", unknown.into()),
                    ("timeouts", lost.into()),
                    ("icmpEchosSent", sent.into()),
                    ("icmpEchoRepliesReceived", received.into()),
                    ("otherIcmpReceived", other.into()),
                    ("rttMin", exact(min).into()),
                    ("rttAvg", exact(average).into()),
                    ("rttMax", exact(max).into()),
                    ("elapsed", ((took.as_secs_f64() * 1000.0).round() / 1000.0).into()),
                ],
            );
        }
        let counts = [
            [
                (hosts.len() as u64, "targets"),
                (alive as u64, "alive"),
                (dead as u64, "unreachable"),
                (unknown as u64, "unknown addresses"),
            ],
            [
                (lost, "timeouts (waiting for response)"),
                (sent, "ICMP Echos sent"),
                (received, "ICMP Echo Replies received"),
                (other, "other ICMP received"),
            ],
        ];
        for block in counts {
            writeln!(self.err)?;
            for (count, what) in block {
                writeln!(self.err, " {count:7} {what}")?;
            }
        }
        writeln!(self.err)?;
        for (rtt, what) in [(min, "min"), (average, "avg"), (max, "max")] {
            writeln!(self.err, " {} ms ({what} round trip time)", milliseconds(rtt))?;
        }
        writeln!(self.err, " {:12.3} sec (elapsed real time)\n", took.as_secs_f64())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }

    fn time(&self) -> String {
        if self.args.timestamp { format!("[{}] ", seconds()) } else { String::new() }
    }

    /// Of one ping.
    fn stamped(
        &mut self,
        kind: &str,
        host: &Tally,
        number: u32,
        more: &[(&'static str, Value)],
    ) -> io::Result<()> {
        let mut fields: Fields = Vec::new();
        if self.args.timestamp {
            fields.push(("timestamp", seconds().into()));
        }
        fields.extend([("host", host.name.as_str().into()), ("seq", number.into())]);
        fields.extend_from_slice(more);
        self.object(kind, fields)?;
        self.out.flush()
    }

    /// In the order and with the spaces of fping, since some read its lines by patterns.
    fn object(&mut self, kind: &str, fields: Fields) -> io::Result<()> {
        write!(self.out, "{{\"{kind}\": {{")?;
        for (at, (name, value)) in fields.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let value = value.to_string();
            write!(
                self.out,
                "{comma}\"{name}\": {}",
                if value.starts_with('[') { value.replace(',', ", ") } else { value }
            )?;
        }
        writeln!(self.out, "}}}}")
    }
}

/// The time, with five digits behind the point.
fn seconds() -> String {
    let now = clock::now_ns();
    format!("{}.{:05}", now / 1_000_000_000, now % 1_000_000_000 / 10_000)
}

/// Milliseconds with fping's digits: three behind the point below 1, two below 10, one below 100, none from there on.
pub(super) fn milliseconds(rtt: Duration) -> String {
    let ms = rtt.as_secs_f64() * 1000.0;
    let digits = match ms {
        ms if ms < 1.0 => 3,
        ms if ms < 10.0 => 2,
        ms if ms < 100.0 => 1,
        _ => 0,
    };
    format!("{ms:.digits$}")
}

/// Milliseconds with the nanoseconds that the kernel gave, for machines.
fn exact(rtt: Duration) -> f64 {
    rtt.as_nanos() as f64 / 1e6
}
