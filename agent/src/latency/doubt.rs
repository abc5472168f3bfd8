//! What the prober thinks of its own figures: how far it was behind the kernel in a round, how much the machine's
//! processors were wanted, and whether answers were dropped for want of room.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// Pressure is read so often.
const READ: Duration = Duration::from_secs(1);

/// From here on a round that is timed by this process itself, without the kernel's stamps, says more of the machine than
/// of the network.
const PRESSED: f64 = 0.25;

/// What there is to say against a round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Doubt {
    /// The longest time that this process was behind: the kernel with a ping or its answer, or its own schedule.
    pub gap: Duration,
    /// Share of the round in which some task of this machine waited for a processor; `None` where the kernel does not
    /// tell (Documentation/accounting/psi.rst).
    pub pressure: Option<f64>,
    /// Packets that the target's socket dropped, full or because they were damaged, to whomever they were.
    pub dropped: u64,
    /// The prober had not what it needed: the round is no evidence.
    pub starved: bool,
}

/// The state of the machine at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    /// Microseconds since the boot in which some task waited for a processor.
    pub(super) stalled_us: Option<u64>,
    /// See [`Doubt::dropped`], since the start: of IPv4 and of IPv6.
    pub(super) dropped: [u64; 2],
}

/// How a round has gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// See [`Doubt::gap`].
    pub(super) gap: Duration,
    /// Its pings were timed by the kernel.
    pub(super) is_stamped: bool,
    /// Some of them had no answer.
    pub(super) is_lossy: bool,
    /// They went by IPv6.
    pub(super) is_v6: bool,
}

impl Doubt {
    /// Between two moments. `limit`: a longer gap is too long.
    pub(super) fn between(begin: &Mark, end: &Mark, course: Course, limit: Duration) -> Self {
        let Course { gap, is_stamped, is_lossy, is_v6 } = course;
        let took = end.at.saturating_duration_since(begin.at).as_micros() as f64;
        let pressure = match (begin.stalled_us, end.stalled_us) {
            (Some(before), Some(after)) if took > 0.0 => {
                Some((after.saturating_sub(before) as f64 / took).clamp(0.0, 1.0))
            }
            _ => None,
        };
        let [before, after] = [begin, end].map(|mark| mark.dropped[usize::from(is_v6)]);
        let dropped = after.saturating_sub(before);
        // Where all were answered, none of those that were dropped was ours.
        let deaf = dropped > 0 && is_lossy;
        let pressed = !is_stamped && pressure.is_some_and(|share| share >= PRESSED);
        Self { gap, pressure, dropped, starved: deaf || gap >= limit || pressed }
    }
}

/// Looks at the machine.
#[derive(Debug)]
pub(super) struct Witness {
    file: PathBuf,
    read: Option<(Instant, Option<u64>)>,
}

impl Witness {
    /// `proc`: where the host's /proc is mounted.
    pub(super) fn new(proc: &Path) -> Self {
        Self { file: proc.join("pressure/cpu"), read: None }
    }

    /// Now; the pressure is up to a second old.
    pub(super) fn look(&mut self, dropped: [u64; 2]) -> Mark {
        let at = Instant::now();
        let old = self.read.is_none_or(|(read, _)| at.duration_since(read) >= READ);
        if old {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            self.read = Some((at, stalled(&text)));
        }
        Mark { at, stalled_us: self.read.and_then(|(_, stalled)| stalled), dropped }
    }
}

/// `total` of the line `some`.
fn stalled(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: rounds of ten seconds with short and long gaps, pressure, with and without the kernel's stamps, with drops of
    /// either address family, with and without losses.
    /// Guarantees: a prober that was late, may have lost answers, or was timed by itself on a busy machine was starved.
    #[test]
    fn judged() {
        let now = Instant::now();
        let limit = Duration::from_millis(100);
        let begin = Mark { at: now, stalled_us: Some(1_000_000), dropped: [7, 70] };
        let calm = Course { gap: Duration::from_millis(1), is_stamped: true, is_lossy: true, is_v6: false };
        let gap = |ms| Course { gap: Duration::from_millis(ms), ..calm };
        let (whole, v6) = (Course { is_lossy: false, ..calm }, Course { is_v6: true, ..calm });
        let unstamped = Course { is_stamped: false, ..calm };
        for (course, dropped, stalled_s, starved, told) in [
            (calm, [7, 70], 0, false, 0),
            (gap(99), [7, 70], 9, false, 0),
            (gap(100), [7, 70], 0, true, 0),
            (calm, [8, 70], 0, true, 1),
            (whole, [8, 70], 0, false, 1),
            (calm, [7, 75], 0, false, 0),
            (v6, [8, 75], 0, true, 5),
            (unstamped, [7, 70], 2, false, 0),
            (unstamped, [7, 70], 3, true, 0),
        ] {
            let at = now + Duration::from_secs(10);
            let end = Mark { at, stalled_us: Some(1_000_000 + stalled_s * 1_000_000), dropped };
            let doubt = Doubt::between(&begin, &end, course, limit);
            assert_eq!((doubt.starved, doubt.dropped), (starved, told), "{course:?} {doubt:?}");
            assert_eq!(doubt.pressure, Some(stalled_s as f64 / 10.0));
        }
        let blind = Mark { stalled_us: None, ..begin };
        assert_eq!(Doubt::between(&blind, &begin, calm, limit).pressure, None);
    }

    /// Scenario: the kernel's file, one without the line, none.
    /// Guarantees: the total where there is one.
    #[test]
    fn pressure_file() {
        let text = "some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        for (text, total) in
            [(text, Some(123_456)), ("full avg10=0.00 total=9\n", None), ("", None), ("some total=x", None)]
        {
            assert_eq!(stalled(text), total);
        }
    }
}
