//! What this host's kernel has counted that can be the cause of trouble on a way: interfaces, receive queues, connection
//! tracking, sockets, pressure.

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::mesh::tcp;

/// Counters since the boot; pressures are of the last ten seconds, connections and their round trip of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// Errors and drops of the interface towards the other end (/proc/net/dev): others have reasons of their own.
    pub(crate) nic_errors: u64,
    pub(crate) nic_drops: u64,
    /// Packets that a CPU's receive queue had no room for (/proc/net/softnet_stat).
    pub(crate) softnet_drops: u64,
    /// Packets that connection tracking dropped or could not insert (/proc/net/stat/nf_conntrack).
    pub(crate) conntrack_drops: u64,
    /// Datagrams that a socket had no room for (/proc/net/snmp).
    pub(crate) udp_overflows: u64,
    /// Datagrams of the mesh's own that their socket had no room for (/proc/net/udp, udp6).
    pub(crate) echo_overflows: u64,
    /// Segments that TCP sent again, to anybody.
    pub(crate) tcp_again: u64,
    /// Established TCP connections to the other end, their segments sent and sent again, and the least of their smoothed
    /// round trips in microseconds, 0 for none (sock_diag(7)).
    pub(crate) peer_connections: u64,
    pub(crate) peer_sent: u64,
    pub(crate) peer_again: u64,
    pub(crate) peer_rtt_us: u64,
    /// Percent of the time in which a task waited for a CPU, for memory, for a disk (/proc/pressure).
    pub(crate) cpu_pressure: f64,
    pub(crate) memory_pressure: f64,
    pub(crate) io_pressure: f64,
    /// What of the above is more than usual.
    pub(crate) unusual: Drops,
}

/// What a host is blamed for. An interface also counts as dropped what nobody here speaks (net/core/dev.c,
/// `__netif_receive_skb_core`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Drops {
    pub(crate) nic_errors: u64,
    pub(crate) nic_drops: u64,
    pub(crate) softnet_drops: u64,
    pub(crate) conntrack_drops: u64,
}

/// The texts of the files that say so.
#[derive(Debug, Default)]
pub(super) struct Files {
    dev: String,
    softnet: String,
    conntrack: String,
}

impl Files {
    /// Reads them; one that this kernel does not have is empty. Blocking.
    pub(super) fn read() -> Self {
        Self {
            dev: text("net/dev"),
            softnet: text("net/softnet_stat"),
            conntrack: text("net/stat/nf_conntrack"),
        }
    }
}

/// A file of our own namespace, from which we measure.
fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new("/proc/self").join(path)).unwrap_or_default()
}

/// The interface of the main table's route to an address, where there is one. Blocking.
pub(super) fn interface_towards(to: IpAddr) -> Option<String> {
    interface(&text("net/route"), &text("net/ipv6_route"), to)
}

impl Counters {
    /// Reads them; what this kernel does not have stays 0. Blocking, milliseconds. `port` is that of our own end's socket,
    /// `towards` the other end, `interface` the one towards it.
    pub(super) fn read(proc: &Path, port: u16, towards: IpAddr, interface: Option<&str>) -> Self {
        let mut counters = Self::of_files(&Files::read(), interface);
        counters.sockets(&text("net/snmp"));
        counters.echo_overflows = overflows(&text("net/udp"), port) + overflows(&text("net/udp6"), port);
        let pressure = |of: &str| {
            some_avg10(&std::fs::read_to_string(proc.join("pressure").join(of)).unwrap_or_default())
        };
        (counters.cpu_pressure, counters.memory_pressure, counters.io_pressure) =
            (pressure("cpu"), pressure("memory"), pressure("io"));
        if let Ok(tcp) = tcp::look_once(towards) {
            counters.peer_connections = tcp.connections;
            (counters.peer_sent, counters.peer_again) = (tcp.sent, tcp.again);
            let micros = |rtt: std::time::Duration| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
            counters.peer_rtt_us = tcp.rtt.map_or(0, micros);
        }
        counters
    }

    /// Those of the files alone.
    pub(super) fn of_files(files: &Files, interface: Option<&str>) -> Self {
        let mut counters = Self::default();
        counters.interfaces(&files.dev, interface);
        counters.softnet_drops = hex_columns(&files.softnet, &[1]);
        counters.conntrack(&files.conntrack);
        counters
    }

    /// Those that a host is blamed for.
    pub(super) fn drops(&self) -> Drops {
        let Self { nic_errors, nic_drops, softnet_drops, conntrack_drops, .. } = *self;
        Drops { nic_errors, nic_drops, softnet_drops, conntrack_drops }
    }

    /// What has happened since `before`; what is of now stays.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            nic_errors: self.nic_errors.saturating_sub(before.nic_errors),
            nic_drops: self.nic_drops.saturating_sub(before.nic_drops),
            softnet_drops: self.softnet_drops.saturating_sub(before.softnet_drops),
            conntrack_drops: self.conntrack_drops.saturating_sub(before.conntrack_drops),
            udp_overflows: self.udp_overflows.saturating_sub(before.udp_overflows),
            echo_overflows: self.echo_overflows.saturating_sub(before.echo_overflows),
            tcp_again: self.tcp_again.saturating_sub(before.tcp_again),
            peer_sent: self.peer_sent.saturating_sub(before.peer_sent),
            peer_again: self.peer_again.saturating_sub(before.peer_again),
            ..*self
        }
    }

    /// Receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs drop fifo ...
    pub(super) fn interfaces(&mut self, text: &str, towards: Option<&str>) {
        for line in text.lines() {
            let Some((name, figures)) = line.rsplit_once(':') else { continue };
            if name.trim() == "lo" || towards.is_some_and(|towards| towards != name.trim()) {
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
}

/// The interface of the most specific route of the main table, from the texts of /proc/net/route (net/ipv4/fib_trie.c,
/// `fib_route_seq_show`) and /proc/net/ipv6_route (net/ipv6/route.c, `ipv6_route_native_seq_show`); `None` where none leads
/// there.
fn interface(v4: &str, v6: &str, to: IpAddr) -> Option<String> {
    let hex = |text: &str| u128::from_str_radix(text, 16).ok();
    let routes: Vec<(u32, &str)> = match to {
        IpAddr::V4(to) => {
            let to = u32::from_ne_bytes(to.octets());
            let of_line = |line| {
                let words: Vec<&str> = str::split_ascii_whitespace(line).collect();
                let [name, dest, _, _, _, _, _, mask, ..] = words[..] else { return None };
                let [dest, mask] = [hex(dest)?, hex(mask)?].map(|word| word as u32);
                (to & mask == dest).then_some((mask.count_ones(), name))
            };
            v4.lines().skip(1).filter_map(of_line).collect()
        }
        IpAddr::V6(to) => {
            let of_line = |line| {
                let words: Vec<&str> = str::split_ascii_whitespace(line).collect();
                let [dest, length, .., name] = words[..] else { return None };
                let (dest, length) = (hex(dest)?, u32::try_from(hex(length)?).ok()?);
                let differ = (u128::from(to) ^ dest).leading_zeros() < length;
                (!differ && name != "lo").then_some((length, name))
            };
            v6.lines().filter_map(of_line).collect()
        }
    };
    routes.into_iter().max_by_key(|(length, _)| *length).map(|(_, name)| name.to_owned())
}

/// `some avg10=1.23 avg60=...`
fn some_avg10(text: &str) -> f64 {
    let some = text.lines().find(|line| line.starts_with("some ")).unwrap_or_default();
    let avg = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="));
    let avg: Option<f64> = avg.and_then(|avg| avg.parse().ok());
    avg.filter(|avg| avg.is_finite()).unwrap_or(0.0)
}

/// What the sockets of a port have dropped: the last column, behind `sl local_address ...` (net/ipv4/udp.c,
/// `udp4_format_sock`; net/ipv6/udp.c).
fn overflows(text: &str, port: u16) -> u64 {
    let of_line = |line: &str| -> Option<u64> {
        let mut words = line.split_ascii_whitespace();
        let (_, local) = words.nth(1)?.rsplit_once(':')?;
        let drops = words.next_back()?;
        (u16::from_str_radix(local, 16).ok()? == port).then(|| drops.parse().ok())?
    };
    text.lines().skip(1).filter_map(of_line).fold(0, u64::saturating_add)
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
    const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        1: 00000000:1142 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9 2 0000000000000000 5\n\
        2: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9 2 0000000000000000 7\n";
    const SNMP: &str =
        "Tcp: RtoAlgorithm RetransSegs InErrs\nTcp: 1 42 0\nUdp: InDatagrams RcvbufErrors\nUdp: 9 7\n";

    /// Scenario: the files as kernels write them.
    /// Guarantees: the right columns are summed up, the loopback left out.
    #[test]
    fn as_kernels_write() {
        let mut counters = Counters::default();
        counters.interfaces(DEV, Some("eth0"));
        counters.interfaces("veth9: 0 0 80 90 0 0 0 0 0 0 80 90 0 0 0 0\n", Some("eth0"));
        counters.conntrack(CONNTRACK);
        counters.sockets(SNMP);
        let pressure = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";
        let softnet_drops = hex_columns("0000a 00000003 0 0\n0000b 0000000f 0 0\n", &[1]);
        let (cpu_pressure, echo_overflows) = (some_avg10(pressure), overflows(UDP, 4418));
        let read = Counters { softnet_drops, cpu_pressure, echo_overflows, ..counters };
        let right = Counters {
            nic_errors: 8,
            nic_drops: 10,
            softnet_drops: 18,
            conntrack_drops: 14,
            udp_overflows: 7,
            echo_overflows: 5,
            tcp_again: 42,
            cpu_pressure: 12.5,
            ..Counters::default()
        };
        assert_eq!(read, right);
        assert_eq!(right.since(&right), Counters { cpu_pressure: 12.5, ..Counters::default() });
        let _here = Counters::read(Path::new("/proc"), 4418, IpAddr::from([127, 0, 0, 1]), None);
    }

    /// Scenario: tables with a default route, a network and a host in it, of both families; none that leads there.
    /// Guarantees: the most specific one says the interface.
    #[test]
    fn the_way_out() {
        let number = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let mut v4 = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n".to_owned();
        for (name, dest, mask) in [
            ("eth0", [0, 0, 0, 0], [0, 0, 0, 0]),
            ("vx0", [10, 7, 0, 0], [255, 255, 0, 0]),
            ("wg0", [10, 7, 3, 9], [255, 255, 255, 255]),
        ] {
            v4 += &format!("{name} {} 00000000 0001 0 0 0 {} 0 0 0\n", number(dest), number(mask));
        }
        let rest = "00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001";
        let v6 = format!(
            "fd070000000000000000000000000000 20 {rest} vx0\n00000000000000000000000000000000 00 {rest} eth0\n\
             00000000000000000000000000000000 00 {rest} lo\n"
        );
        for (to, name) in [
            ("10.7.3.9", "wg0"),
            ("10.7.3.8", "vx0"),
            ("10.8.0.1", "eth0"),
            ("fd07::1", "vx0"),
            ("fd08::1", "eth0"),
        ] {
            assert_eq!(interface(&v4, &v6, to.parse().unwrap()).as_deref(), Some(name), "{to}");
        }
        assert_eq!(interface("", "", IpAddr::from([10, 0, 0, 1])), None);
    }

    proptest::proptest! {
        /// Scenario: any text as any of the files.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let mut counters = Counters::default();
            counters.interfaces(&text, None);
            let _any = (interface(&text, &text, [10, 0, 0, 1].into()), interface(&text, &text, [0; 16].into()));
            counters.conntrack(&text);
            counters.sockets(&text);
            let _any = (some_avg10(&text), overflows(&text, 4418));
        }
    }
}
