//! Block devices: `io.stat` (v2), `blkio.*` (v1). cAdvisor calls them file systems.

use super::api::{Family, Out, ReadError, counter};
use super::cgroup::Cgroup;
use super::files::number;
use super::hierarchy::{Controller, Version};
use super::reader::Reader;

/// In the order of [`Device::counts`].
pub(super) const FAMILIES: &[Family] = &[
    counter("container_fs_reads_bytes_total", "Bytes read from the device."),
    counter("container_fs_writes_bytes_total", "Bytes written to the device."),
    counter("container_fs_reads_total", "Reads from the device that were completed."),
    counter("container_fs_writes_total", "Writes to the device that were completed."),
];

/// Which of v1's files are in use depends on kernel and scheduler: bytes and operations, the first pair that names a
/// device counts. Those that are not recursive leave out what is below.
const V1_FILES: [[&str; 2]; 5] = [
    ["blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"],
    ["blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"],
    ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"],
    ["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"],
    ["blkio.bfq.io_service_bytes", "blkio.bfq.io_serviced"],
];

/// One device of one cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Device {
    major: u32,
    minor: u32,
    /// Bytes read and written, reads and writes.
    counts: [u64; FAMILIES.len()],
}

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, _cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let (mut devices, mut read) = (Vec::new(), Ok(()));
    match reader.version(Controller::Io) {
        Some(Version::V2) => {
            if let Some(text) = reader.file(Controller::Io, "io.stat")?
                && !parse_v2(text, &mut devices)
            {
                read = Err(reader.bad("io.stat"));
            }
        }
        Some(Version::V1) => {
            for files in V1_FILES {
                for (first, file) in [(0, files[0]), (2, files[1])] {
                    if let Some(text) = reader.file(Controller::Io, file)?
                        && !parse_v1(text, first, &mut devices)
                    {
                        read = Err(reader.bad(file));
                    }
                }
                if !devices.is_empty() {
                    break;
                }
            }
        }
        None => {}
    }
    for Device { major, minor, counts } in devices {
        let name = reader.device(major, minor);
        for (family, count) in counts.into_iter().enumerate() {
            out.push_with(family, &[("device", name)], count as f64);
        }
    }
    read
}

/// Lines such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. A device without figures stands without a line
/// end before the next one (kernels before 5.18). Whether all could be read.
fn parse_v2(text: &[u8], devices: &mut Vec<Device>) -> bool {
    let mut good = true;
    let mut known: Option<Device> = None;
    let mut counted = false;
    let mut keep = |device: Option<Device>, counted: bool| devices.extend(device.filter(|_| counted));
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let Some(at) = memchr::memchr(b'=', word) else {
            // Above the words of io.cost and io.latency there is nothing else without `=`.
            let Some((major, minor)) = device(word) else {
                good = false;
                continue;
            };
            keep(known.take(), counted);
            (known, counted) = (Some(Device { major, minor, ..Device::default() }), false);
            continue;
        };
        let place = match &word[..at] {
            b"rbytes" => 0,
            b"wbytes" => 1,
            b"rios" => 2,
            b"wios" => 3,
            _ => continue,
        };
        match (&mut known, number(&word[at + 1..])) {
            (Some(device), Some(count)) => (device.counts[place], counted) = (count, true),
            _ => good = false,
        }
    }
    keep(known, counted);
    good
}

/// Lines such as `8:0 Read 4096` and, at the end, `Total 8192`. `first`: the place of the count of reads.
fn parse_v1(text: &[u8], first: usize, devices: &mut Vec<Device>) -> bool {
    let mut good = true;
    for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"Total")) {
        let mut words = line.split(|&b| b == b' ');
        let named = words.next().and_then(device);
        let (Some((major, minor)), Some(what), Some(count)) =
            (named, words.next(), words.next().and_then(number))
        else {
            good = false;
            continue;
        };
        let place = match what {
            b"Read" => first,
            b"Write" => first + 1,
            _ => continue,
        };
        let known = devices.iter_mut().find(|d| (d.major, d.minor) == (major, minor));
        match known {
            Some(device) => device.counts[place] = count,
            None => {
                let mut device = Device { major, minor, ..Device::default() };
                device.counts[place] = count;
                devices.push(device);
            }
        }
    }
    good
}

/// `8:16`
fn device(word: &[u8]) -> Option<(u32, u32)> {
    let at = memchr::memchr(b':', word)?;
    let half = |digits| u32::try_from(number(digits)?).ok();
    Some((half(&word[..at])?, half(&word[at + 1..])?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dev(minor: u32, counts: [u64; 4]) -> Device {
        Device { major: 8, minor, counts }
    }

    /// Scenario: io.stat with a device that has no figures before another, with words of io.cost, and broken.
    /// Guarantees: each device that has figures; the rest is told.
    #[test]
    fn v2() {
        let read = |text: &str| {
            let mut devices = Vec::new();
            let good = parse_v2(text.as_bytes(), &mut devices);
            (devices, good)
        };
        let two = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n8:16 8:32 rbytes=9 wbytes=0 rios=1 wios=0\n";
        assert_eq!(read(two), (vec![dev(0, [1, 2, 3, 4]), dev(32, [9, 0, 1, 0])], true));
        assert_eq!(read("8:0 rbytes=x wbytes=2\n"), (vec![dev(0, [0, 2, 0, 0])], false));
        assert_eq!(read("rbytes=1"), (vec![], false));
        assert_eq!(read(""), (vec![], true));
    }

    /// Scenario: a pair of v1's files.
    /// Guarantees: bytes and operations of each device together; sums and other operations left out.
    #[test]
    fn v1() {
        let mut devices = Vec::new();
        assert!(parse_v1(b"8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n", 0, &mut devices));
        assert!(parse_v1(b"8:0 Read 1\n8:16 Write 2\nTotal 3\n", 2, &mut devices));
        assert!(!parse_v1(b"8 Read 1\n", 2, &mut devices));
        assert_eq!(devices, [dev(0, [10, 20, 1, 0]), dev(16, [0, 0, 0, 2])]);
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "([0-9]{1,12}|:| |=|rbytes|Read|Total|\n|.){0,40}") {
            let mut devices = Vec::new();
            parse_v2(text.as_bytes(), &mut devices);
            parse_v1(text.as_bytes(), 2, &mut devices);
        }
    }
}
