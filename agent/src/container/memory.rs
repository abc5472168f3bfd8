//! Memory: `memory.stat` and the files of one number beside it, `memory.events` (v2), `memory.oom_control` (v1).

use super::api::{Family, Out, ReadError, counter, gauge};
use super::cgroup::Cgroup;
use super::hierarchy::{Controller, Version};
use super::path::Kind;
use super::reader::Reader;

const USAGE: usize = 0;
const WORKING_SET: usize = 1;
const RSS: usize = 2;
const CACHE: usize = 3;
const SWAP: usize = 4;
const MAPPED_FILE: usize = 5;
const KERNEL: usize = 6;
const MAX_USAGE: usize = 7;
const FAILCNT: usize = 8;
const FAILURES: usize = 9;
const OOM: usize = 10;
const ACTIVE_FILE: usize = 11;
const INACTIVE_FILE: usize = 12;

/// In the order of the constants above.
pub(super) const FAMILIES: &[Family] = &[
    gauge("container_memory_usage_bytes", "Memory in use, page cache included."),
    gauge(
        "container_memory_working_set_bytes",
        "Memory in use without the page cache that could be given back at once; what the limit is compared with.",
    ),
    gauge("container_memory_rss", "Anonymous memory, huge pages included."),
    gauge("container_memory_cache", "Page cache, tmpfs included."),
    gauge("container_memory_swap", "Swap in use."),
    gauge("container_memory_mapped_file", "Files mapped into memory."),
    gauge("container_memory_kernel_usage", "Memory that the kernel uses for it."),
    gauge("container_memory_max_usage_bytes", "The most memory that was ever in use."),
    counter("container_memory_failcnt", "How often the memory limit was hit."),
    counter("container_memory_failures_total", "Page faults, of its own and of all below it."),
    counter("container_oom_events_total", "Processes of it that were killed for want of memory."),
    gauge("container_memory_total_active_file_bytes", "Page cache that was used lately."),
    gauge("container_memory_total_inactive_file_bytes", "Page cache that was not used lately."),
];

/// Lines of `memory.stat`, whichever names they have there.
#[derive(Default)]
struct Stat {
    rss: Option<u64>,
    cache: Option<u64>,
    swap: Option<u64>,
    mapped_file: Option<u64>,
    kernel: Option<u64>,
    active_file: Option<u64>,
    inactive_file: Option<u64>,
    faults: Faults,
    faults_below: Faults,
}

#[derive(Clone, Copy, Default)]
struct Faults {
    all: Option<u64>,
    major: Option<u64>,
}

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    match reader.version(Controller::Memory) {
        Some(Version::V2) => read_v2(reader, cgroup, out),
        Some(Version::V1) => read_v1(reader, cgroup, out),
        None => Ok(()),
    }
}

fn read_v2(reader: &mut Reader, cgroup: &Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut stat = Stat::default();
    reader.pairs(Controller::Memory, "memory.stat", |name, value| match name {
        b"anon" => stat.rss = Some(value),
        b"file" => stat.cache = Some(value),
        b"file_mapped" => stat.mapped_file = Some(value),
        b"kernel" => stat.kernel = Some(value),
        b"active_file" => stat.active_file = Some(value),
        b"inactive_file" => stat.inactive_file = Some(value),
        b"pgfault" => stat.faults.all = Some(value),
        b"pgmajfault" => stat.faults.major = Some(value),
        _ => {}
    })?;
    // The kernel counts a v2 cgroup with all below it, and has no other figure.
    stat.faults_below = stat.faults;
    let mut usage = reader.number(Controller::Memory, "memory.current")?;
    if cgroup.kind == Kind::Root {
        // The root has no such file: the sum that v1 would show.
        usage = usage.or_else(|| Some(stat.rss?.saturating_add(stat.cache?)));
    }
    stat.swap = reader.number(Controller::Memory, "memory.swap.current")?;
    emit(&stat, usage, out);
    out.push_if(MAX_USAGE, reader.number(Controller::Memory, "memory.peak")?);
    let (mut hits, mut killed) = (None, None);
    reader.pairs(Controller::Memory, "memory.events", |name, value| match name {
        b"max" => hits = Some(value),
        b"oom_kill" => killed = Some(value),
        _ => {}
    })?;
    out.push_if(FAILCNT, hits);
    if cgroup.is_leaf() {
        out.push_if(OOM, killed);
    }
    Ok(())
}

fn read_v1(reader: &mut Reader, cgroup: &Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut stat = Stat::default();
    // Without use_hierarchy, which kernels older than 5.11 may have, `total_` is only the cgroup's own.
    reader.pairs(Controller::Memory, "memory.stat", |name, value| match name {
        b"total_rss" => stat.rss = Some(value),
        b"total_cache" => stat.cache = Some(value),
        b"total_swap" => stat.swap = Some(value),
        b"total_mapped_file" => stat.mapped_file = Some(value),
        b"total_active_file" => stat.active_file = Some(value),
        b"total_inactive_file" => stat.inactive_file = Some(value),
        b"pgfault" => stat.faults.all = Some(value),
        b"pgmajfault" => stat.faults.major = Some(value),
        b"total_pgfault" => stat.faults_below.all = Some(value),
        b"total_pgmajfault" => stat.faults_below.major = Some(value),
        _ => {}
    })?;
    stat.kernel = reader.number(Controller::Memory, "memory.kmem.usage_in_bytes")?;
    let usage = reader.number(Controller::Memory, "memory.usage_in_bytes")?;
    emit(&stat, usage, out);
    out.push_if(MAX_USAGE, reader.number(Controller::Memory, "memory.max_usage_in_bytes")?);
    out.push_if(FAILCNT, reader.number(Controller::Memory, "memory.failcnt")?);
    if cgroup.is_leaf() {
        let mut killed = None;
        reader.pairs(Controller::Memory, "memory.oom_control", |name, value| {
            if name == b"oom_kill" {
                killed = Some(value);
            }
        })?;
        out.push_if(OOM, killed);
    }
    Ok(())
}

fn emit(stat: &Stat, usage: Option<u64>, out: &mut Out<'_>) {
    out.push_if(USAGE, usage);
    out.push_if(WORKING_SET, usage.map(|usage| usage.saturating_sub(stat.inactive_file.unwrap_or(0))));
    for (family, value) in [
        (RSS, stat.rss),
        (CACHE, stat.cache),
        (SWAP, stat.swap),
        (MAPPED_FILE, stat.mapped_file),
        (KERNEL, stat.kernel),
        (ACTIVE_FILE, stat.active_file),
        (INACTIVE_FILE, stat.inactive_file),
    ] {
        out.push_if(family, value);
    }
    for (scope, faults) in [("container", stat.faults), ("hierarchy", stat.faults_below)] {
        for (kind, value) in [("pgfault", faults.all), ("pgmajfault", faults.major)] {
            if let Some(value) = value {
                out.push_with(FAILURES, &[("failure_type", kind), ("scope", scope)], value as f64);
            }
        }
    }
}
