//! What this host's kernel has counted that can be the cause of trouble on a way: interfaces, receive queues, connection
//! tracking, sockets, pressure.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Counters since the boot; the pressure is of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// Errors and drops of all interfaces but the loopback (/proc/net/dev).
    pub(crate) nic_errors: u64,
    pub(crate) nic_drops: u64,
    /// Packets that a CPU's receive queue had no room for (/proc/net/softnet_stat).
    pub(crate) softnet_drops: u64,
    /// Packets that connection tracking dropped or could not insert (/proc/net/stat/nf_conntrack).
    pub(crate) conntrack_drops: u64,
    /// Datagrams that a socket had no room for (/proc/net/snmp).
    pub(crate) udp_overflows: u64,
    /// Segments that TCP sent again, to anybody.
    pub(crate) tcp_again: u64,
    /// Percent of the time in which a task waited for a CPU (/proc/pressure/cpu).
    pub(crate) cpu_pressure: f64,
}

impl Counters {
    /// Reads them; what this kernel does not have stays 0. Blocking, a millisecond or so. The network's are those of our
    /// own namespace, from which we measure.
    pub(crate) fn read(proc: &Path) -> Self {
        let text =
            |path: &str| std::fs::read_to_string(Path::new("/proc/self").join(path)).unwrap_or_default();
        let mut counters = Self::default();
        counters.interfaces(&text("net/dev"));
        counters.softnet_drops = hex_columns(&text("net/softnet_stat"), &[1]);
        counters.conntrack(&text("net/stat/nf_conntrack"));
        counters.sockets(&text("net/snmp"));
        counters.pressure(&std::fs::read_to_string(proc.join("pressure/cpu")).unwrap_or_default());
        counters
    }

    /// What has happened since `before`; the pressure is that of now.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            nic_errors: self.nic_errors.saturating_sub(before.nic_errors),
            nic_drops: self.nic_drops.saturating_sub(before.nic_drops),
            softnet_drops: self.softnet_drops.saturating_sub(before.softnet_drops),
            conntrack_drops: self.conntrack_drops.saturating_sub(before.conntrack_drops),
            udp_overflows: self.udp_overflows.saturating_sub(before.udp_overflows),
            tcp_again: self.tcp_again.saturating_sub(before.tcp_again),
            cpu_pressure: self.cpu_pressure,
        }
    }

    /// Receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs drop fifo ...
    pub(super) fn interfaces(&mut self, text: &str) {
        for line in text.lines() {
            let Some((name, figures)) = line.rsplit_once(':') else { continue };
            if name.trim() == "lo" {
                continue;
            }
            let figures: Vec<u64> = figures.split_ascii_whitespace().map_while(|f| f.parse().ok()).collect();
            let sum = |columns: [usize; 2]| columns.iter().filter_map(|at| figures.get(*at)).sum::<u64>();
            self.nic_errors = self.nic_errors.saturating_add(sum([2, 10]));
            self.nic_drops = self.nic_drops.saturating_add(sum([3, 11]));
        }
    }

    /// A head with the columns' names, a line for each CPU.
    pub(super) fn conntrack(&mut self, text: &str) {
        let head = text.lines().next().unwrap_or_default().split_ascii_whitespace();
        let wanted = ["drop", "early_drop", "insert_failed"];
        let columns: Vec<usize> =
            head.enumerate().filter(|(_, name)| wanted.contains(name)).map(|(at, _)| at).collect();
        let body = text.split_once('\n').map_or("", |(_, body)| body);
        self.conntrack_drops = hex_columns(body, &columns);
    }

    /// Pairs of lines: a protocol's names, its figures.
    pub(super) fn sockets(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let figures = pair[0].split_ascii_whitespace().zip(pair[1].split_ascii_whitespace());
            for (name, figure) in figures {
                let place = match (pair[0].split(':').next(), name) {
                    (Some("Udp"), "RcvbufErrors") => &mut self.udp_overflows,
                    (Some("Tcp"), "RetransSegs") => &mut self.tcp_again,
                    _ => continue,
                };
                *place = figure.parse().unwrap_or(0);
            }
        }
    }

    /// `some avg10=1.23 avg60=...`
    pub(super) fn pressure(&mut self, text: &str) {
        let some = text.lines().find(|line| line.starts_with("some ")).unwrap_or_default();
        let avg = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="));
        let avg: Option<f64> = avg.and_then(|avg| avg.parse().ok());
        self.cpu_pressure = avg.filter(|avg| avg.is_finite()).unwrap_or(0.0);
    }
}

/// Sum of columns of hexadecimal figures over all lines.
fn hex_columns(text: &str, columns: &[usize]) -> u64 {
    let of_line = |line: &str| {
        let figures: Vec<u64> =
            line.split_ascii_whitespace().map_while(|figure| u64::from_str_radix(figure, 16).ok()).collect();
        columns
            .iter()
            .filter_map(|at| figures.get(*at))
            .fold(0_u64, |sum, figure| sum.saturating_add(*figure))
    };
    text.lines().map(of_line).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo: 9 9 7 7 0 0 0 0 9 9 7 7 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 11 2 5 6 0 0 0 0\n";
    const CONNTRACK: &str = "entries  clashres found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error\n\
        0000001a  0 0 0 0 0 0 0 0 00000002 0000000a 00000001 0\n0000001a  0 0 0 0 0 0 0 0 00000000 00000001 00000000 0\n";
    const SNMP: &str =
        "Tcp: RtoAlgorithm RetransSegs InErrs\nTcp: 1 42 0\nUdp: InDatagrams RcvbufErrors\nUdp: 9 7\n";

    /// Scenario: the files as kernels write them.
    /// Guarantees: the right columns are summed up, the loopback left out.
    #[test]
    fn as_kernels_write() {
        let mut counters = Counters::default();
        counters.interfaces(DEV);
        counters.conntrack(CONNTRACK);
        counters.sockets(SNMP);
        counters.pressure("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");
        let softnet_drops = hex_columns("0000a 00000003 0 0\n0000b 0000000f 0 0\n", &[1]);
        let read = Counters { softnet_drops, ..counters };
        let right = Counters {
            nic_errors: 8,
            nic_drops: 10,
            softnet_drops: 18,
            conntrack_drops: 14,
            udp_overflows: 7,
            tcp_again: 42,
            cpu_pressure: 12.5,
        };
        assert_eq!(read, right);
        assert_eq!(right.since(&right), Counters { cpu_pressure: 12.5, ..Counters::default() });
        let _here = Counters::read(Path::new("/proc"));
    }

    proptest::proptest! {
        /// Scenario: any text as any of the files.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let mut counters = Counters::default();
            counters.interfaces(&text);
            counters.conntrack(&text);
            counters.sockets(&text);
            counters.pressure(&text);
        }
    }
}
