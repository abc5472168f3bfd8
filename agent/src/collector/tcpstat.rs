//! TCP sockets by state, and what waits in their queues: from the kernel by netlink, else from /proc/net/tcp and tcp6.

use std::io;

use ao_proto::model::MetricType::Gauge;
use rustix::net::{AddressFamily, ipproto, netlink as protocols};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;
use crate::netlink;

/// The collector `tcpstat` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Tcpstat::default()))
}

#[derive(Default)]
struct Tcpstat {
    v4: TextFile,
    v6: TextFile,
    buffer: Vec<u8>,
}

/// The kernel's numbers of the states, from 1 (include/net/tcp_states.h); the last one is a listener's request.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];
const NEW_SYN_RECV: usize = 12;
const SYN_RECV: usize = 3;
/// Every state's bit.
const ALL_STATES: u32 = 0x1fff;

/// `SOCK_DIAG_BY_FAMILY` (include/uapi/linux/sock_diag.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2`, and where the mask of states is in it.
const REQUEST_BYTES: usize = 56;
const REQUEST_STATES: usize = 4;
/// `struct inet_diag_msg`: where the state and the two queues are in it.
const MESSAGE_STATE: usize = 1;
const MESSAGE_RECEIVE_QUEUE: usize = 56;
const MESSAGE_SEND_QUEUE: usize = 60;

/// What all sockets sum up to.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    /// Sockets by state.
    states: [u64; STATES.len()],
    /// Bytes that wait to be read, and to be sent.
    queues: [u64; 2],
}

impl Sums {
    fn add(&mut self, state: usize, received: u64, sent: u64) {
        let state = if state == NEW_SYN_RECV { SYN_RECV } else { state };
        if let Some(count) = state.checked_sub(1).and_then(|index| self.states.get_mut(index)) {
            *count += 1;
        }
        for (sum, bytes) in self.queues.iter_mut().zip([received, sent]) {
            *sum = sum.saturating_add(bytes);
        }
    }
}

impl Collector for Tcpstat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // A kernel without sock_diag, or a sandbox that denies it, still has the files.
        let sums = match netfile::is_own_network(roots).then(|| ask_kernel(&mut self.buffer)) {
            Some(Ok(sums)) => sums,
            _ => self.read_files(roots)?,
        };
        let family = out.family(
            "node_tcp_connection_states",
            Gauge,
            "TCP sockets by state, and bytes in their queues.",
        );
        for (state, count) in STATES.iter().zip(sums.states) {
            out.push(family, &[("state", state)], count as f64);
        }
        for (queue, bytes) in ["rx_queued_bytes", "tx_queued_bytes"].iter().zip(sums.queues) {
            out.push(family, &[("state", queue)], bytes as f64);
        }
        Ok(())
    }
}

fn ask_kernel(buffer: &mut Vec<u8>) -> io::Result<Sums> {
    let mut sums = Sums::default();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        let mut request = [0; REQUEST_BYTES];
        request[0] = family.as_raw() as u8;
        request[1] = ipproto::TCP.as_raw().get() as u8;
        request[REQUEST_STATES..REQUEST_STATES + 4].copy_from_slice(&ALL_STATES.to_ne_bytes());
        netlink::dump(protocols::SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, buffer, |message| {
            let queue = |at| u64::from(netlink::u32_at(message, at));
            let state = message.get(MESSAGE_STATE).copied().unwrap_or_default();
            sums.add(usize::from(state), queue(MESSAGE_RECEIVE_QUEUE), queue(MESSAGE_SEND_QUEUE));
        })?;
    }
    Ok(sums)
}

impl Tcpstat {
    fn read_files(&mut self, roots: &Roots) -> Result<Sums, CollectError> {
        let mut sums = Sums::default();
        for (file, name) in [(&mut self.v4, "tcp"), (&mut self.v6, "tcp6")] {
            let (path, text) = match netfile::read(file, roots, name) {
                Ok(found) => found,
                Err(why) if name == "tcp6" && why.is_absent() => continue,
                Err(why) => return Err(why.absent_means_no("TCP")),
            };
            // A line of headings.
            for (i, line) in text.lines().enumerate().skip(1) {
                let (state, sent, received) =
                    parse_line(line).ok_or_else(|| CollectError::line(&path, i, line))?;
                sums.add(state, received, sent);
            }
        }
        Ok(sums)
    }
}

/// State, bytes to be sent and bytes to be read; hexadecimal (net/ipv4/tcp_ipv4.c, `get_tcp4_sock`).
fn parse_line(line: &str) -> Option<(usize, u64, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let state = usize::from_str_radix(fields.next()?, 16).ok()?;
    let (sent, received) = fields.next()?.split_once(':')?;
    Some((state, u64::from_str_radix(sent, 16).ok()?, u64::from_str_radix(received, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Scenario: lines of the file, one of an unknown state, broken ones.
    /// Guarantees: counted by state, a listener's request as syn_recv; nothing is lost silently but unknown states.
    #[test]
    fn lines() {
        let line = |state| {
            format!("  0: 0100007F:22B8 00000000:0000 {state} 00000001:00000002 00:00000000 00000000 0 0 1")
        };
        assert_eq!(parse_line(&line("0A")), Some((10, 1, 2)));
        for bad in ["", "0: a b 0A", "0: a b 0A 1", "0: a b x 1:2"] {
            assert_eq!(parse_line(bad), None, "{bad}");
        }
        let mut sums = Sums::default();
        for state in [1, 3, 12, 10, 13, 0] {
            sums.add(state, 1, 2);
        }
        assert_eq!((sums.states[0], sums.states[2], sums.states[9]), (1, 2, 1));
        assert_eq!((sums.states.iter().sum::<u64>(), sums.queues), (4, [6, 12]));
    }

    /// Scenario: this process listens, and a connection has bytes that nobody reads.
    /// Guarantees: netlink and the files both show them.
    #[test]
    fn both_ways() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        io::Write::write_all(&mut client, b"seven b").unwrap();
        let roots = Roots::default();
        let files = Tcpstat::default().read_files(&roots).unwrap();
        assert!(files.states[0] >= 1 && files.states[9] >= 1 && files.queues[0] >= 7, "{files:?}");
        if netfile::is_own_network(&roots) {
            let kernel = ask_kernel(&mut Vec::new()).unwrap();
            assert!(kernel.states[0] >= 1 && kernel.states[9] >= 1 && kernel.queues[0] >= 7, "{kernel:?}");
        }
    }
}
