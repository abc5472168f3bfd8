//! The table of parts. A part is one file, its `mod` in `container.rs`, and its row below.

use super::api::{Family, Out, ReadError};
use super::cgroup::Cgroup;
use super::reader::Reader;
use super::{cpu, io, machine, memory, network, pids, pressure, spec};

/// One source of the kernel, or several that tell the same.
pub(super) struct Part {
    /// Among what is counted and said of failures.
    pub(super) name: &'static str,
    /// All families that it may give.
    pub(super) families: &'static [Family],
    /// Reads one cgroup. What was handed on before an error stays.
    pub(super) read: fn(&mut Reader, &mut Cgroup, &mut Out<'_>) -> Result<(), ReadError>,
}

/// Every part, in the order in which a cgroup is read: `spec` knows the limits that others ask for.
pub(super) const PARTS: &[Part] = &[
    Part { name: "spec", families: spec::FAMILIES, read: spec::read },
    Part { name: "cpu", families: cpu::FAMILIES, read: cpu::read },
    Part { name: "memory", families: memory::FAMILIES, read: memory::read },
    Part { name: "io", families: io::FAMILIES, read: io::read },
    Part { name: "pids", families: pids::FAMILIES, read: pids::read },
    Part { name: "pressure", families: pressure::FAMILIES, read: pressure::read },
    Part { name: network::NAME, families: network::FAMILIES, read: network::read_host },
    Part { name: "machine", families: machine::FAMILIES, read: machine::read },
];
