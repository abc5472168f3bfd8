//! Bytes that wait in the queues of all UDP sockets, from /proc/net/udp and udp6.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `udp_queues` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(UdpQueues::default()))
}

#[derive(Default)]
struct UdpQueues {
    v4: TextFile,
    v6: TextFile,
}

impl Collector for UdpQueues {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut absent = 0;
        for (file, name, ip) in [(&mut self.v4, "udp", "v4"), (&mut self.v6, "udp6", "v6")] {
            let (path, text) = match netfile::read(file, roots, name) {
                Ok(found) => found,
                Err(why) if why.is_absent() => {
                    absent += 1;
                    continue;
                }
                Err(why) => return Err(why),
            };
            let (mut sent, mut received) = (0_u64, 0_u64);
            // A line of headings.
            for (i, line) in text.lines().enumerate().skip(1) {
                let [tx, rx] = parse_line(line).ok_or_else(|| CollectError::line(&path, i, line))?;
                (sent, received) = (sent.saturating_add(tx), received.saturating_add(rx));
            }
            let help = "Bytes in the queues of all UDP sockets.";
            let family = out.family("node_udp_queues", Gauge, help);
            out.push(family, &[("queue", "tx"), ("ip", ip)], sent as f64);
            out.push(family, &[("queue", "rx"), ("ip", ip)], received as f64);
        }
        if absent == 2 { Err(CollectError::NoData("UDP")) } else { Ok(()) }
    }
}

/// `0: local remote state tx:rx ...`, hexadecimal (net/ipv4/udp.c, `udp4_format_sock`).
fn parse_line(line: &str) -> Option<[u64; 2]> {
    let (tx, rx) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
    Some([u64::from_str_radix(tx, 16).ok()?, u64::from_str_radix(rx, 16).ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a socket of the kernel's table, and broken lines.
    /// Guarantees: both lengths, or nothing.
    #[test]
    fn lines() {
        let line =
            "  533: 0100007F:0035 00000000:0000 07 0000000A:00000100 00:00000000 00000000 101 0 1 2 0 0";
        assert_eq!(parse_line(line), Some([10, 256]));
        for bad in ["", "1: a b 07", "1: a b 07 12", "1: a b 07 x:1"] {
            assert_eq!(parse_line(bad), None, "{bad}");
        }
    }
}
