//! Reads the system's clocks. For tests of whole processes the environment variable `AO_TEST_CLOCK` may name a file
//! that holds a number of nanoseconds, which is added to what the system's wall clock says: writing another number
//! into it is a step of the clock. Boot time and the kernel's stamps stay.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The variable.
const VARIABLE: &str = "AO_TEST_CLOCK";
/// Boot time and wall time are read one after the other; a longer way between the two is tried again.
const APART_NS: i64 = 100_000;
const ATTEMPTS: usize = 4;
/// Of a test's clock: sums with it stay within range. Some 63 years.
const MOST_NS: i64 = 2_000_000_000_000_000_000;

pub(super) fn boot_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

pub(super) fn realtime_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Where wall time comes from.
pub(super) struct Source {
    fake: Option<Fake>,
}

struct Fake {
    file: PathBuf,
    /// As it was last read: a file that is being written may be empty for a moment.
    offset_ns: AtomicI64,
}

impl Source {
    pub(super) fn from_environment() -> Self {
        let fake = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(|name| {
            tracing::warn!(file = ?name, "{VARIABLE} is set: this process has the clock of a test");
            Fake { file: name.into(), offset_ns: AtomicI64::new(0) }
        });
        Self { fake }
    }

    /// Boot time and wall time of one moment.
    pub(super) fn read(&self) -> (i64, i64) {
        let mut best = (i64::MAX, 0, 0);
        for _ in 0..ATTEMPTS {
            let before = boot_ns();
            let wall = realtime_ns();
            let apart = boot_ns().saturating_sub(before);
            if apart < best.0 {
                best = (apart, before + apart / 2, wall);
            }
            if apart <= APART_NS {
                break;
            }
        }
        (best.1, best.2.saturating_add(self.fake.as_ref().map_or(0, Fake::offset)))
    }
}

impl Fake {
    fn offset(&self) -> i64 {
        let text = std::fs::read_to_string(&self.file).ok();
        if let Some(offset) = text.and_then(|text| text.trim().parse::<i64>().ok()) {
            self.offset_ns.store(offset.clamp(-MOST_NS, MOST_NS), Ordering::Relaxed);
        }
        self.offset_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a test's file says nothing, an hour, half a number, less than nothing.
    /// Guarantees: the wall clock follows it, boot time does not; what is no number leaves it as it was.
    #[test]
    fn a_tests_clock() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        let source = Source { fake: Some(Fake { file: file.clone(), offset_ns: AtomicI64::new(0) }) };
        let apart = |source: &Source| {
            let (boot, wall) = source.read();
            wall - boot
        };
        let real = apart(&Source { fake: None });
        let cases = [("", 0), ("3600000000000\n", 3600), ("-", 3600), ("-5000000000", -5)];
        for (text, seconds) in cases {
            std::fs::write(&file, text).unwrap();
            let fake = apart(&source) - real;
            assert!((fake - seconds * 1_000_000_000).abs() < 50_000_000, "{text:?}: {fake}");
        }
    }
}
