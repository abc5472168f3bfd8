//! Time lost to a lack of CPU, memory or I/O: `*.pressure` (v2 alone; Documentation/accounting/psi.rst).

use super::api::{Family, Out, ReadError, counter};
use super::cgroup::Cgroup;
use super::files::number;
use super::reader::Reader;

/// For each of [`FILES`] two: some waited, all stood still.
pub(super) const FAMILIES: &[Family] = &[
    counter("container_pressure_cpu_waiting_seconds_total", "Time in which tasks waited for a CPU."),
    counter("container_pressure_cpu_stalled_seconds_total", "Time in which all tasks waited for a CPU."),
    counter("container_pressure_memory_waiting_seconds_total", "Time in which tasks waited for memory."),
    counter("container_pressure_memory_stalled_seconds_total", "Time in which all tasks waited for memory."),
    counter("container_pressure_io_waiting_seconds_total", "Time in which tasks waited for I/O."),
    counter("container_pressure_io_stalled_seconds_total", "Time in which all tasks waited for I/O."),
];

const FILES: [&str; 3] = ["cpu.pressure", "memory.pressure", "io.pressure"];

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, _cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut read = Ok(());
    for (number, file) in FILES.into_iter().enumerate() {
        let Some(text) = reader.unified(file)? else { continue };
        let (some, full) = parse(text);
        if some.is_none() {
            read = Err(reader.bad(file));
        }
        for (family, micros) in [(2 * number, some), (2 * number + 1, full)] {
            if let Some(micros) = micros {
                out.push(family, micros as f64 / 1e6);
            }
        }
    }
    read
}

/// The totals, in microseconds, of `some avg10=0.00 avg60=0.00 avg300=0.00 total=1` and `full ...`; old kernels have
/// only the first for the CPU.
fn parse(text: &[u8]) -> (Option<u64>, Option<u64>) {
    let total = |kind: &[u8]| {
        let line = text.split(|&b| b == b'\n').find(|line| line.starts_with(kind))?;
        let at = memchr::memmem::find(line, b"total=")?;
        number(line[at + 6..].trim_ascii_end())
    };
    (total(b"some "), total(b"full "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the kernel's lines, one alone, and broken ones.
    /// Guarantees: the totals that can be read.
    #[test]
    fn lines() {
        let both = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parse(both), (Some(12), Some(7)));
        assert_eq!(parse(b"some avg10=0.00 total=12"), (Some(12), None));
        assert_eq!(parse(b"some total=x\nfull"), (None, None));
    }
}
