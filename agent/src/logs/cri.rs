//! The log format of container runtimes: `2016-10-06T00:17:09.669794202Z stdout F the text`.
//!
//! Time in RFC 3339, the stream, tags (`F` for a full line or the last piece of one, `P` for a piece that goes on),
//! then the text up to the line end. Source: Kubernetes CRI API, design proposal "CRI: Log management for container
//! stdout/stderr streams", and pkg/kubelet/kuberuntime/logs of the kubelet.

use std::path::Path;

use memchr::memchr;

use super::api::{Record, Stream};
use super::lines::Piece;
use crate::event::PodRef;

/// What stands before the text, at its longest: time, stream, tags. A line may be longer than the limit by this much.
pub(super) const HEAD: usize = 96;

/// Reads the lines of one file.
#[derive(Default)]
pub(super) struct Decoder {
    minute: Minute,
    /// Inside a line that is longer than the limit: what its head said.
    goes_on: Option<(Stream, i64)>,
}

impl Decoder {
    /// A line that is none of this format is given as it is, with the time `now`, and `None` beside it.
    pub(super) fn record<'a>(&mut self, piece: &Piece<'a>, now: i64) -> (Record<'a>, bool) {
        if let Some((stream, at_ns)) = self.goes_on {
            if !piece.cut {
                self.goes_on = None;
            }
            return (Record { stream, at_ns, text: piece.text, partial: false, fields: &[] }, true);
        }
        let (mut record, good) = match self.parse(piece.text) {
            Some(record) => (record, true),
            None => (
                Record { stream: Stream::Stdout, at_ns: now, text: piece.text, partial: false, fields: &[] },
                false,
            ),
        };
        if piece.cut {
            // Too long for one record: each piece of it is a line of its own.
            record.partial = false;
            self.goes_on = Some((record.stream, record.at_ns));
        }
        (record, good)
    }

    fn parse<'a>(&mut self, line: &'a [u8]) -> Option<Record<'a>> {
        let time_end = memchr(b' ', &line[..line.len().min(HEAD)])?;
        let at_ns = self.minute.nanos(&line[..time_end])?;
        let rest = &line[time_end + 1..];
        let (stream, rest) = match rest.get(..7)? {
            b"stdout " => (Stream::Stdout, &rest[7..]),
            b"stderr " => (Stream::Stderr, &rest[7..]),
            _ => return None,
        };
        // Tags are separated by ':'; only the first one has a meaning so far.
        let (partial, rest) = match rest {
            [b'F', rest @ ..] => (false, rest),
            [b'P', rest @ ..] => (true, rest),
            _ => return None,
        };
        let text = match rest {
            [b' ', text @ ..] => text,
            [] => rest,
            [b':', more @ ..] => match memchr(b' ', more) {
                Some(at) => &more[at + 1..],
                None => &[],
            },
            _ => return None,
        };
        Some(Record { stream, at_ns, text, partial, fields: &[] })
    }
}

/// The minute of the line before: neighbours mostly share it, and its calendar is the costly part of a time stamp.
#[derive(Default)]
pub(super) struct Minute {
    text: [u8; 16],
    /// Seconds since 1970 at its beginning.
    secs: i64,
}

impl Minute {
    /// Nanoseconds since 1970 of an RFC 3339 time with up to nine digits behind the point.
    pub(super) fn nanos(&mut self, time: &[u8]) -> Option<i64> {
        if time.len() < 20 || time[16] != b':' {
            return None;
        }
        if time[..16] != self.text {
            self.secs = minute(&time[..16])?;
            self.text.copy_from_slice(&time[..16]);
        }
        // A leap second is the last second of its minute, one longer.
        let second = number(&time[17..19]).filter(|s| *s <= 60)?;
        let mut rest = &time[19..];
        let mut nanos = 0;
        if let [b'.', digits @ ..] = rest {
            let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            const SCALE: [i64; 10] =
                [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
            nanos = number(&digits[..count])? * SCALE[count];
            rest = &digits[count..];
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        (self.secs + second - offset).checked_mul(1_000_000_000)?.checked_add(nanos)
    }
}

/// Seconds since 1970 at the beginning of `YYYY-MM-DDTHH:MM`.
fn minute(text: &[u8]) -> Option<i64> {
    if text[4] != b'-' || text[7] != b'-' || !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute) = (number(&text[11..13])?, number(&text[14..16])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60)
}

/// Days since 1970 in the Gregorian calendar: years begin in March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on, months have 31, 30, 31, 30, 31 days, over and over.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Of decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// A line of this format.
pub(super) fn is_line(line: &[u8]) -> bool {
    Decoder::default().parse(line).is_some()
}

/// The pod and container that `NAMESPACE_POD_UID/CONTAINER/N.log` below `root` belongs to. Kubernetes' names have no
/// underscores, so that the parts are unambiguous.
pub(super) fn pod_of(root: &Path, path: &Path) -> Option<PodRef> {
    let mut names = path.strip_prefix(root).ok()?.iter().map(|name| name.to_str());
    let pod = names.next()??;
    let container = names.next()??.to_owned();
    let mut parts = pod.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || namespace.is_empty() || name.is_empty() || uid.is_empty() {
        return None;
    }
    Some(PodRef { uid: uid.into(), namespace: namespace.into(), name: name.into(), container })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Option<(i64, Stream, bool, String)> {
        let mut decoder = Decoder::default();
        decoder
            .parse(line.as_bytes())
            .map(|r| (r.at_ns, r.stream, r.partial, String::from_utf8_lossy(r.text).into_owned()))
    }

    /// Scenario: lines as containerd, CRI-O and the kubelet's tests write them.
    /// Guarantees: time, stream, tag and text come out; texts keep their spaces.
    #[test]
    fn good_lines() {
        let at = 1_475_713_029_669_794_202;
        for (line, stream, partial, text) in [
            ("2016-10-06T00:17:09.669794202Z stdout F hello  world ", Stream::Stdout, false, "hello  world "),
            ("2016-10-06T00:17:09.669794202Z stderr P half", Stream::Stderr, true, "half"),
            ("2016-10-06T00:17:09.669794202Z stdout F:tag:more text", Stream::Stdout, false, "text"),
            ("2016-10-06T00:17:09.669794202Z stdout F ", Stream::Stdout, false, ""),
            ("2016-10-06T00:17:09.669794202Z stdout F", Stream::Stdout, false, ""),
            ("2016-10-06T02:17:09.669794202+02:00 stdout F x", Stream::Stdout, false, "x"),
            ("2016-10-05T19:47:09.669794202-04:30 stdout F x", Stream::Stdout, false, "x"),
        ] {
            assert_eq!(parse(line), Some((at, stream, partial, text.to_owned())), "{line}");
        }
    }

    /// Scenario: dates at the edges of the calendar, and fractions of any length.
    /// Guarantees: nanoseconds since 1970 as `date +%s%N` gives them.
    #[test]
    fn times() {
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.5Z", 500_000_000),
            ("1969-12-31T23:59:59.000000001Z", -999_999_999),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000_000),
            ("2026-11-22T14:30:15.123456Z", 1_795_357_815_123_456_000),
        ] {
            assert_eq!(Minute::default().nanos(text.as_bytes()), Some(expect), "{text}");
        }
        for bad in [
            "",
            "2026-11-22T14:30:15",
            "2026-13-22T14:30:15Z",
            "2026-11-22T14:30:15.Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(Minute::default().nanos(bad.as_bytes()), None, "{bad}");
        }
    }

    /// Scenario: lines of other formats.
    /// Guarantees: none of them is taken for a CRI line.
    #[test]
    fn bad_lines() {
        for line in [
            "",
            "hello",
            "2016-10-06T00:17:09.669794202Z stdin F x",
            "2016-10-06T00:17:09.669794202Z stdout X x",
            "2016-10-06T00:17:09.669794202Z stdout Fx",
            "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09Z\"}",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    /// Scenario: folders of the kubelet, and others that lie there too.
    /// Guarantees: namespace, pod, UID and container, or nothing.
    #[test]
    fn pods() {
        let root = Path::new("/var/log/pods");
        let pod = pod_of(root, Path::new("/var/log/pods/shop_cart-7d_1234-ab/app/0.log")).unwrap();
        assert_eq!(
            (&*pod.namespace, &*pod.name, &*pod.uid, &*pod.container),
            ("shop", "cart-7d", "1234-ab", "app")
        );
        assert_eq!(pod_of(root, Path::new("/var/log/pods/odd/app/0.log")), None);
        assert_eq!(pod_of(root, Path::new("/var/log/pods/a_b_c_d/app/0.log")), None);
        assert_eq!(pod_of(root, Path::new("/srv/x")), None);
    }

    proptest! {
        /// Scenario: any bytes, and any time written out and read back.
        /// Guarantees: no panic; the same time.
        #[test]
        fn any_bytes(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut decoder = Decoder::default();
            let piece = Piece { text: &line, raw: line.len(), cut: false };
            prop_assert!(decoder.record(&piece, 7).0.text.len() <= line.len());
        }

        /// Scenario: a time before a digit or a separator is damaged.
        /// Guarantees: no panic.
        #[test]
        fn damaged_times(at in 0..30_usize, byte in any::<u8>()) {
            let mut time = *b"2016-10-06T00:17:09.669794202Z";
            time[at] = byte;
            let mut minute = Minute::default();
            let first = minute.nanos(&time);
            prop_assert_eq!(minute.nanos(&time), first);
        }
    }
}
