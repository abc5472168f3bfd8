//! Time used and throttled: `cpu.stat` (v2); `cpuacct.usage`, `cpuacct.stat` and `cpu.stat` (v1).

use super::api::{Family, Out, ReadError, counter};
use super::cgroup::Cgroup;
use super::hierarchy::{Controller, Version};
use super::reader::Reader;

const USAGE: usize = 0;
const USER: usize = 1;
const SYSTEM: usize = 2;
const PERIODS: usize = 3;
const THROTTLED_PERIODS: usize = 4;
const THROTTLED: usize = 5;

/// In the order of the constants above.
pub(super) const FAMILIES: &[Family] = &[
    counter("container_cpu_usage_seconds_total", "CPU time used, of all CPUs together."),
    counter("container_cpu_user_seconds_total", "CPU time used in user mode."),
    counter("container_cpu_system_seconds_total", "CPU time used in the kernel."),
    counter("container_cpu_cfs_periods_total", "Periods in which the quota was in force."),
    counter("container_cpu_cfs_throttled_periods_total", "Periods in which the quota was used up."),
    counter("container_cpu_cfs_throttled_seconds_total", "Time for which it was held back by the quota."),
];

const MICROS: f64 = 1e6;
const NANOS: f64 = 1e9;
/// The unit of `cpuacct.stat`: USER_HZ, 100 on every architecture that Linux runs containers on.
const TICKS: f64 = 100.0;

#[derive(Default)]
struct Throttling {
    periods: Option<u64>,
    throttled_periods: Option<u64>,
    seconds: Option<f64>,
}

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut throttling = Throttling::default();
    let mut read = Ok(());
    match reader.version(Controller::Cpuacct) {
        Some(Version::V2) => {
            read = reader.pairs(Controller::Cpuacct, "cpu.stat", |name, value| match name {
                b"usage_usec" => out.push_with(USAGE, &[("cpu", "total")], value as f64 / MICROS),
                b"user_usec" => out.push(USER, value as f64 / MICROS),
                b"system_usec" => out.push(SYSTEM, value as f64 / MICROS),
                _ => throttling.take(name, value),
            });
        }
        Some(Version::V1) => {
            if let Some(nanos) = reader.number(Controller::Cpuacct, "cpuacct.usage")? {
                out.push_with(USAGE, &[("cpu", "total")], nanos as f64 / NANOS);
            }
            read = reader.pairs(Controller::Cpuacct, "cpuacct.stat", |name, value| match name {
                b"user" => out.push(USER, value as f64 / TICKS),
                b"system" => out.push(SYSTEM, value as f64 / TICKS),
                _ => {}
            });
        }
        None => {}
    }
    // Without a quota nothing is ever throttled: cAdvisor leaves these out too.
    if cgroup.limits.cpu_quota.is_some() {
        if reader.version(Controller::Cpu) == Some(Version::V1) {
            reader.pairs(Controller::Cpu, "cpu.stat", |name, value| throttling.take(name, value))?;
        }
        out.push_if(PERIODS, throttling.periods);
        out.push_if(THROTTLED_PERIODS, throttling.throttled_periods);
        if let Some(seconds) = throttling.seconds {
            out.push(THROTTLED, seconds);
        }
    }
    read
}

impl Throttling {
    /// A line of `cpu.stat`: the time is in microseconds in v2 and in nanoseconds in v1, under another name.
    fn take(&mut self, name: &[u8], value: u64) {
        match name {
            b"nr_periods" => self.periods = Some(value),
            b"nr_throttled" => self.throttled_periods = Some(value),
            b"throttled_usec" => self.seconds = Some(value as f64 / MICROS),
            b"throttled_time" => self.seconds = Some(value as f64 / NANOS),
            _ => {}
        }
    }
}
