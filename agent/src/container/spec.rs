//! Limits and requests, and when the cgroup began: files that seldom change, read now and then and reported always.

use super::api::{Family, Out, ReadError, gauge};
use super::cgroup::{Cgroup, Limits};
use super::hierarchy::{Controller, Version};
use super::path::Kind;
use super::reader::Reader;

const PERIOD: usize = 0;
const QUOTA: usize = 1;
const SHARES: usize = 2;
const MEMORY: usize = 3;
const RESERVATION: usize = 4;
const SWAP: usize = 5;
const START: usize = 6;
const LAST_SEEN: usize = 7;

/// In the order of the constants above.
pub(super) const FAMILIES: &[Family] = &[
    gauge("container_spec_cpu_period", "Length of the quota's period in microseconds."),
    gauge("container_spec_cpu_quota", "CPU time that may be used in a period, in microseconds."),
    gauge("container_spec_cpu_shares", "Weight against its neighbours where CPUs are short; 1024 is usual."),
    gauge("container_spec_memory_limit_bytes", "Most memory that may be used; 0 for no limit."),
    gauge("container_spec_memory_reservation_limit_bytes", "Memory that is kept for it; 0 for none."),
    gauge("container_spec_memory_swap_limit_bytes", "Most swap that may be used; 0 for no limit."),
    gauge("container_start_time_seconds", "When it began, seconds since 1970."),
    gauge("container_last_seen", "When it was there last, seconds since 1970."),
];

/// See the table in `table.rs`. Stands before the parts that ask for limits.
pub(super) fn read(reader: &mut Reader, cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut done = Ok(());
    if cgroup.limits.are_due() {
        done = refresh(reader, &mut cgroup.limits, cgroup.kind);
    }
    if cgroup.began == 0 {
        cgroup.began = reader.made().unwrap_or(0);
    }
    let limits = &cgroup.limits;
    out.push_if(PERIOD, limits.cpu_period);
    out.push_if(QUOTA, limits.cpu_quota);
    out.push_if(SHARES, limits.cpu_shares);
    out.push_if(MEMORY, limits.memory);
    out.push_if(RESERVATION, limits.reservation);
    out.push_if(SWAP, limits.swap);
    if cgroup.began > 0 {
        out.push(START, cgroup.began as f64);
    }
    out.push(LAST_SEEN, (out.at_ms() / 1000) as f64);
    done
}

fn refresh(reader: &mut Reader, limits: &mut Limits, kind: Kind) -> Result<(), ReadError> {
    match reader.version(Controller::Cpu) {
        Some(Version::V2) => {
            limits.cpu_shares = reader.number(Controller::Cpu, "cpu.weight")?.and_then(shares);
            (limits.cpu_quota, limits.cpu_period) = (None, None);
            if let Some(text) = reader.file(Controller::Cpu, "cpu.max")? {
                match parse_max(text) {
                    Some((quota, period)) => (limits.cpu_quota, limits.cpu_period) = (quota, Some(period)),
                    None => return Err(reader.bad("cpu.max")),
                }
            }
        }
        Some(Version::V1) => {
            limits.cpu_shares = reader.number(Controller::Cpu, "cpu.shares")?;
            limits.cpu_period = reader.number(Controller::Cpu, "cpu.cfs_period_us")?;
            // -1 for none.
            let quota = reader.file(Controller::Cpu, "cpu.cfs_quota_us")?;
            limits.cpu_quota = quota.and_then(|text| super::files::number(text.trim_ascii()));
        }
        None => {}
    }
    if kind == Kind::Root {
        (limits.memory, limits.swap) = reader.memory_and_swap().unzip();
        return Ok(());
    }
    let files = match reader.version(Controller::Memory) {
        Some(Version::V2) => ["memory.max", "memory.min", "memory.swap.max"],
        Some(Version::V1) => {
            ["memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes"]
        }
        None => return Ok(()),
    };
    let [memory, reservation, swap] = files.map(|file| reader.number(Controller::Memory, file));
    limits.memory = memory?.map(limit);
    limits.reservation = reservation?.map(limit);
    limits.swap = swap?.map(limit);
    Ok(())
}

/// `100000 100000` or `max 100000`: quota and period.
fn parse_max(text: &[u8]) -> Option<(Option<u64>, u64)> {
    let text = text.trim_ascii();
    let blank = memchr::memchr(b' ', text)?;
    let period = super::files::number(&text[blank + 1..])?;
    match &text[..blank] {
        b"max" => Some((None, period)),
        quota => Some((Some(super::files::number(quota)?), period)),
    }
}

/// The weight of v2 (1 to 10,000) on the scale of v1 (2 to 262,144), by the line that cAdvisor and the kubelet draw
/// between both.
fn shares(weight: u64) -> Option<u64> {
    (1..=10_000).contains(&weight).then(|| 2 + (weight - 1) * 262_142 / 9_999)
}

/// What is so large that it can only mean "no limit" (v1 rounds its largest number to pages) is 0.
fn limit(bytes: u64) -> u64 {
    if bytes > 1 << 62 { 0 } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: limits as v1 and v2 write them.
    /// Guarantees: cAdvisor's figures.
    #[test]
    fn scales() {
        assert_eq!(parse_max(b"max 100000\n"), Some((None, 100_000)));
        assert_eq!(parse_max(b"50000 100000\n"), Some((Some(50_000), 100_000)));
        assert_eq!((parse_max(b"100000"), parse_max(b"x 100000")), (None, None));
        let weights = [0, 1, 100, 10_000, 10_001].map(shares);
        assert_eq!(weights, [None, Some(2), Some(2_597), Some(262_144), None]);
        assert_eq!([limit(u64::MAX), limit(9_223_372_036_854_771_712), limit(4096)], [0, 0, 4096]);
    }
}
