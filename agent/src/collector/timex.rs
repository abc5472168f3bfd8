//! How the kernel disciplines the clock, from adjtimex(2).

use std::io;

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `timex` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Timex))
}

struct Timex;

/// What adjtimex(2) returns for a clock that nothing keeps in time (TIME_ERROR).
const ERROR: i32 = 5;
const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;
/// Frequencies are in parts per million with 16 bits behind the point.
const PPM: f64 = 65_536.0 * 1e6;

type Row = (&'static str, MetricType, &'static str, f64);

impl Collector for Timex {
    fn collect(&mut self, _roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let (state, timex) = match adjtimex() {
            Ok(read) => read,
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                return Err(CollectError::NoData("permission to ask for the clock's discipline"));
            }
            Err(source) => return Err(CollectError::Io { path: "adjtimex(2)".into(), source }),
        };
        for (name, kind, help, value) in rows(state, &timex) {
            out.one(name, kind, help, value);
        }
        Ok(())
    }
}

/// Fields are of other widths on machines of 32 bits, where a conversion by `From` would do.
#[allow(clippy::unnecessary_cast)]
fn rows(state: i32, t: &libc::timex) -> [Row; 17] {
    // The unit of offset and jitter.
    let fine = if t.status & libc::STA_NANO == 0 { MICRO } else { NANO };
    let synced = f64::from(u8::from(state != ERROR));
    let gauge = |name, help, value| (name, Gauge, help, value);
    let counter = |name, help, value| (name, Counter, help, value);
    [
        gauge("node_timex_sync_status", "Whether something keeps the clock in time.", synced),
        gauge("node_timex_offset_seconds", "What the clock is still to be moved by.", t.offset as f64 / fine),
        gauge(
            "node_timex_frequency_adjustment_ratio",
            "What the clock's speed is multiplied by.",
            1.0 + t.freq as f64 / PPM,
        ),
        gauge(
            "node_timex_maxerror_seconds",
            "How wrong the clock may be at most.",
            t.maxerror as f64 / MICRO,
        ),
        gauge(
            "node_timex_estimated_error_seconds",
            "How wrong the clock probably is.",
            t.esterror as f64 / MICRO,
        ),
        gauge("node_timex_status", "The bits of the clock's status (STA_*).", f64::from(t.status)),
        gauge(
            "node_timex_loop_time_constant",
            "The time constant of the phase-locked loop.",
            t.constant as f64,
        ),
        gauge("node_timex_tick_seconds", "Time between two ticks.", t.tick as f64 / MICRO),
        gauge(
            "node_timex_pps_frequency_hertz",
            "Frequency of the pulse-per-second signal.",
            t.ppsfreq as f64 / PPM,
        ),
        gauge(
            "node_timex_pps_jitter_seconds",
            "Jitter of the pulse-per-second signal.",
            t.jitter as f64 / fine,
        ),
        gauge(
            "node_timex_pps_shift_seconds",
            "Time between two calibrations by the signal.",
            f64::from(t.shift),
        ),
        gauge(
            "node_timex_pps_stability_hertz",
            "How much the signal's frequency moves.",
            t.stabil as f64 / PPM,
        ),
        counter("node_timex_pps_jitter_total", "Pulses that jittered more than is allowed.", t.jitcnt as f64),
        counter("node_timex_pps_calibration_total", "Calibrations by the signal.", t.calcnt as f64),
        counter("node_timex_pps_error_total", "Calibrations that failed.", t.errcnt as f64),
        counter(
            "node_timex_pps_stability_exceeded_total",
            "Times that the frequency moved too much.",
            t.stbcnt as f64,
        ),
        gauge(
            "node_timex_tai_offset_seconds",
            "How far atomic time (TAI) is ahead of UTC.",
            f64::from(t.tai),
        ),
    ]
}

/// Asks, and changes nothing; no safe wrapper of this call is among our dependencies.
#[allow(unsafe_code)]
fn adjtimex() -> io::Result<(i32, libc::timex)> {
    // SAFETY: timex is plain old data, for which all zeroes is a valid value: `modes` 0 asks only.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live value of the type that the kernel fills in.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok((state, timex)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a clock in nanoseconds and one in microseconds, kept in time and not.
    /// Guarantees: seconds and ratios, as node_exporter gives them.
    #[test]
    fn units() {
        let (_, mut timex) = adjtimex().unwrap();
        (timex.offset, timex.freq, timex.status, timex.maxerror) = (-1_500, 65_536 * 20, libc::STA_NANO, 250);
        let value = |state, timex: &libc::timex, name| {
            rows(state, timex).into_iter().find(|(n, ..)| *n == name).map(|(.., value)| value).unwrap()
        };
        assert_eq!(value(0, &timex, "node_timex_offset_seconds"), -1.5e-6);
        assert_eq!(value(0, &timex, "node_timex_frequency_adjustment_ratio"), 1.000_02);
        assert_eq!(value(0, &timex, "node_timex_maxerror_seconds"), 0.000_25);
        assert_eq!(
            (value(0, &timex, "node_timex_sync_status"), value(ERROR, &timex, "node_timex_sync_status")),
            (1.0, 0.0)
        );
        timex.status = 0;
        assert_eq!(value(0, &timex, "node_timex_offset_seconds"), -1.5e-3);
    }
}
