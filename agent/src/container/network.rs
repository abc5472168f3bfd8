//! Interfaces of a pod, or of a container of no pod: /proc/PID/net/dev of any process in it. Those that see the host's
//! own interfaces are left out; the root cgroup has these.

use super::api::{Family, Out, ReadError, counter};
use super::cgroup::Cgroup;
use super::files::number;
use super::path::Kind;
use super::reader::Reader;

/// Each with its column of the file (net/core/net-procfs.c).
const COLUMNS: [usize; 8] = [0, 1, 2, 3, 8, 9, 10, 11];

/// In the order of [`COLUMNS`].
pub(super) const FAMILIES: &[Family] = &[
    counter("container_network_receive_bytes_total", "Bytes received."),
    counter("container_network_receive_packets_total", "Packets received."),
    counter("container_network_receive_errors_total", "Packets received in error."),
    counter("container_network_receive_packets_dropped_total", "Packets received and dropped."),
    counter("container_network_transmit_bytes_total", "Bytes sent."),
    counter("container_network_transmit_packets_total", "Packets sent."),
    counter("container_network_transmit_errors_total", "Packets that could not be sent."),
    counter("container_network_transmit_packets_dropped_total", "Packets dropped before they were sent."),
];

/// Interfaces that are left out, by the beginning of their names, as cAdvisor does: on the host they are the other ends
/// of the containers' own.
const IGNORED: [&str; 3] = ["lo", "veth", "docker"];

/// The row's name in the table.
pub(super) const NAME: &str = "network";

/// See the table in `table.rs`: the host's own interfaces. Those of pods need to know all of a pod.
pub(super) fn read_host(
    reader: &mut Reader,
    cgroup: &mut Cgroup,
    out: &mut Out<'_>,
) -> Result<(), ReadError> {
    if cgroup.kind != Kind::Root {
        return Ok(());
    }
    reader.interfaces(HOST).map_or(Ok(()), |text| read(text, HOST, out))
}

/// A process that sees the host's interfaces: the first one.
pub(super) const HOST: u32 = 1;

/// Hands on all interfaces in the text of a process's net/dev.
///
/// # Errors
/// At a line that is not so, behind all others.
pub(super) fn read(text: &[u8], pid: u32, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut read = Ok(());
    // Two lines of headings.
    for line in text.split(|&b| b == b'\n').skip(2).filter(|line| !line.is_empty()) {
        let Some((name, counts)) = parse(line) else {
            let text = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
            read = Err(ReadError::Parse { path: format!("{pid}/net/dev"), text });
            continue;
        };
        if IGNORED.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        for (family, count) in counts.into_iter().enumerate() {
            out.push_with(family, &[("interface", name)], count as f64);
        }
    }
    read
}

/// `  eth0:123 4 ...`: sixteen columns behind the last colon.
fn parse(line: &[u8]) -> Option<(&str, [u64; COLUMNS.len()])> {
    let line = str::from_utf8(line).ok()?;
    let (name, rest) = line.rsplit_once(':')?;
    let mut all = [0; 16];
    let mut words = rest.split_ascii_whitespace();
    for slot in &mut all {
        *slot = number(words.next()?.as_bytes())?;
    }
    Some((name.trim(), COLUMNS.map(|column| all[column])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of the kernel, and broken ones.
    /// Guarantees: the columns that have names; nothing of a line with too few.
    #[test]
    fn lines() {
        let line = b"  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        assert_eq!(parse(line), Some(("eth0", [1, 2, 3, 4, 9, 10, 11, 12])));
        assert_eq!(parse(b"eth0:1 2 3"), None);
        assert_eq!(parse(b"eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), None);
    }
}
