//! The machine that the containers share: CPUs, memory, and who it is.

use super::api::{Family, Out, ReadError, gauge};
use super::cgroup::Cgroup;
use super::path::Kind;
use super::reader::Reader;

const CORES: usize = 0;
const MEMORY: usize = 1;

/// In the order of the constants above.
pub(super) const FAMILIES: &[Family] = &[
    gauge("machine_cpu_cores", "Logical CPUs of the machine."),
    gauge("machine_memory_bytes", "Memory of the machine."),
];

/// Files that hold one word, and the labels that they become.
const LABELS: [(&str, &str); 3] = [
    ("boot_id", "proc/sys/kernel/random/boot_id"),
    ("machine_id", "root/etc/machine-id"),
    ("system_uuid", "sys/class/dmi/id/product_uuid"),
];

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    if cgroup.kind != Kind::Root {
        return Ok(());
    }
    let words = LABELS.map(|(name, path)| {
        let word = reader.host(path).map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
        (name, word.unwrap_or_default())
    });
    let labels: Vec<(&str, &str)> = words
        .iter()
        .filter(|(_, word)| !word.is_empty())
        .map(|(name, word)| (*name, word.as_str()))
        .collect();
    let is_cpu = |line: &&[u8]| line.starts_with(b"cpu") && line.get(3).is_some_and(u8::is_ascii_digit);
    let cores = reader.host("proc/stat").map(|text| text.split(|&b| b == b'\n').filter(is_cpu).count());
    if let Some(cores) = cores {
        out.push_alone(CORES, &labels, cores as f64);
    }
    if let Some((memory, _)) = reader.memory_and_swap() {
        out.push_alone(MEMORY, &labels, memory as f64);
    }
    Ok(())
}
