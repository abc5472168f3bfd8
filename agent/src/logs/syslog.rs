//! Files that syslog daemons write: the traditional form without a year, the one with an ISO time of newer rsyslog, and
//! RFC 5424's. The line is handed on as it stands; what its head says goes with it as structured metadata.
//!
//! ```text
//! Nov 22 14:30:15 host app[123]: text                             RFC 3164, section 4.1; <PRI> before it or not
//! 2026-11-22T14:30:15.123456+01:00 host app[123]: text            RSYSLOG_FileFormat
//! <34>1 2026-11-22T14:30:15.003Z host app 123 ID47 [x@1 a="b"] text   RFC 5424, section 6
//! ```
//!
//! A time without a year and a zone is of the configured zone, and of that year in which it lies not more than a day
//! ahead of now: a December read in January is of the year before.

use jiff::civil;
use jiff::tz::TimeZone;

use super::api::{Record, Stream};
use super::cri::{Minute, number};
use super::lines::Piece;

/// A clock that is this far ahead of ours, nanoseconds, is wrong; one that is further ahead wrote last year.
const AHEAD_NS: i64 = 86_400_000_000_000;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Names of the fields.
const HOST: &str = "hostname";
const APP: &str = "app";
const PID: &str = "pid";

/// Reads the lines of one file.
#[derive(Default)]
pub(super) struct Decoder {
    minute: Minute,
    /// Month, day, hour and minute of the line before as written, and what they are: seconds since 1970.
    local: ([u8; 12], i64),
    /// Time of the line before: that of a line that has none.
    last: i64,
    goes_on: bool,
}

/// What the head of a line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head<'a> {
    at_ns: i64,
    host: &'a [u8],
    app: &'a [u8],
    pid: &'a [u8],
}

impl Decoder {
    /// What has no head is given with the time of the line before it, and `false` beside it. `zone`: of times that do
    /// not say theirs. `fields` is overwritten.
    pub(super) fn record<'a>(
        &mut self,
        piece: &Piece<'a>,
        now: i64,
        zone: &TimeZone,
        fields: &'a mut [(&'static str, &'a str); 3],
    ) -> (Record<'a>, bool) {
        let was_inside = std::mem::replace(&mut self.goes_on, piece.cut);
        let head = if was_inside { None } else { self.parse(piece.text, now, zone) };
        let good = was_inside || head.is_some();
        let mut count = 0;
        let at_ns = match head {
            Some(head) => {
                for (name, value) in [(HOST, head.host), (APP, head.app), (PID, head.pid)] {
                    if let Some(text) = std::str::from_utf8(value).ok().filter(|text| !text.is_empty()) {
                        fields[count] = (name, text);
                        count += 1;
                    }
                }
                head.at_ns
            }
            None if self.last != 0 => self.last,
            None => now,
        };
        self.last = at_ns;
        let fields = &fields[..count];
        (Record { stream: Stream::Stdout, at_ns, text: piece.text, partial: false, fields }, good)
    }

    fn parse<'a>(&mut self, line: &'a [u8], now: i64, zone: &TimeZone) -> Option<Head<'a>> {
        let (has_priority, rest) = match priority(line) {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if has_priority && let Some(rest) = rest.strip_prefix(b"1 ") {
            return self.rfc5424(rest);
        }
        if let Some(at_ns) = self.local(rest, now, zone) {
            return Some(tag(at_ns, rest.get(16..)?));
        }
        let (time, rest) = word(rest)?;
        Some(tag(self.minute.nanos(time)?, rest))
    }

    /// Behind priority and version.
    fn rfc5424<'a>(&mut self, line: &'a [u8]) -> Option<Head<'a>> {
        let (time, rest) = word(line)?;
        let (host, rest) = word(rest)?;
        let (app, rest) = word(rest)?;
        let (pid, rest) = word(rest)?;
        let _message_id = word(rest)?;
        let at_ns = if time == b"-" { self.last } else { self.minute.nanos(time)? };
        let said = |value: &'a [u8]| if value == b"-" { &[][..] } else { value };
        Some(Head { at_ns, host: said(host), app: said(app), pid: said(pid) })
    }

    /// `Nov 22 14:30:15 `, or with a space before a day of one digit.
    fn local(&mut self, line: &[u8], now: i64, zone: &TimeZone) -> Option<i64> {
        let time = line.get(..16).filter(|t| t[12] == b':' && t[15] == b' ')?;
        let second = number(&time[13..15]).filter(|s| *s <= 60)?;
        if time[..12] != self.local.0 || self.is_stale(now) {
            let secs = minute_of(&time[..12], now, zone)?;
            self.local.0.copy_from_slice(&time[..12]);
            self.local.1 = secs;
        }
        (self.local.1 + second).checked_mul(1_000_000_000)
    }

    /// Far enough from now that the year may be another one.
    fn is_stale(&self, now: i64) -> bool {
        let at = self.local.1.saturating_mul(1_000_000_000);
        !(now.saturating_sub(AHEAD_NS)..=now).contains(&at)
    }
}

/// Seconds since 1970 at the beginning of `Nov 22 14:30`.
fn minute_of(time: &[u8], now: i64, zone: &TimeZone) -> Option<i64> {
    let month = MONTHS.iter().position(|name| time[..3].eq_ignore_ascii_case(&name[..]))? as i8 + 1;
    if time[3] != b' ' || time[6] != b' ' || time[9] != b':' {
        return None;
    }
    let tens = if time[4] == b' ' { 0 } else { number(&time[4..5])? };
    let day = tens * 10 + number(&time[5..6])?;
    let (hour, minute) = (number(&time[7..9])?, number(&time[10..12])?);
    let of_year = |year: i16| {
        let date = civil::Date::new(year, month, i8::try_from(day).ok()?).ok()?;
        let time = civil::Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        let at = zone.to_ambiguous_timestamp(civil::DateTime::from_parts(date, time)).compatible().ok()?;
        Some(at.as_second())
    };
    let latest = now.saturating_add(AHEAD_NS) / 1_000_000_000;
    let this = jiff::Timestamp::from_nanosecond(i128::from(now)).ok()?.to_zoned(zone.clone()).year();
    // A leap day is of the leap year before, which may be eight years ago.
    (0..=8).map(|ago| this + 1 - ago).filter_map(of_year).find(|at| *at <= latest)
}

/// A line of this format.
pub(super) fn is_line(line: &[u8]) -> bool {
    Decoder::default().parse(line, 0, &TimeZone::UTC).is_some_and(|head| !head.app.is_empty())
}

/// What stands behind `<PRI>`.
fn priority(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|b| *b == b'>')?;
    number(&rest[..end]).filter(|p| end > 0 && *p <= 191)?;
    Some(&rest[end + 1..])
}

/// Up to the next space, and what is behind it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', line)?;
    Some((&line[..end], &line[end + 1..]))
}

/// `host app[pid]: text`; a tag ends at a colon, a bracket or a space. Some lines have none ("last message repeated").
fn tag(at_ns: i64, line: &[u8]) -> Head<'_> {
    let Some((host, rest)) = word(line) else { return Head { at_ns, host: line, ..Head::default() } };
    let end = rest.iter().position(|b| matches!(b, b':' | b'[' | b' ')).unwrap_or(rest.len());
    let app = &rest[..end];
    match rest.get(end) {
        Some(b':') => Head { at_ns, host, app, pid: &[] },
        Some(b'[') => {
            let behind = &rest[end + 1..];
            let pid = behind.iter().position(|b| *b == b']').map_or(&[][..], |end| &behind[..end]);
            Head { at_ns, host, app, pid }
        }
        _ => Head { at_ns, host, ..Head::default() },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        if name == "UTC" { TimeZone::UTC } else { TimeZone::get(name).unwrap() }
    }

    fn ns(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as i64
    }

    fn parse(zone: &str, now: &str, line: &str) -> (bool, String, String) {
        let mut fields = [("", ""); 3];
        let piece = Piece { text: line.as_bytes(), raw: line.len(), cut: false };
        let mut decoder = Decoder::default();
        let (record, good) = decoder.record(&piece, ns(now), &self::zone(zone), &mut fields);
        let fields: Vec<_> = record.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let at = jiff::Timestamp::from_nanosecond(i128::from(record.at_ns)).unwrap();
        assert_eq!(record.text, line.as_bytes());
        (good, at.to_string(), fields.join(" "))
    }

    /// Scenario: lines as rsyslog, syslog-ng, journald's forwarding, the kernel and RFC 5424's senders write them.
    /// Guarantees: time, host, app and pid; what has no head has none.
    #[test]
    fn lines() {
        let now = "2026-11-22T20:00:00Z";
        for (line, good, at, fields) in [
            (
                "Nov 22 14:30:15 web-1 sshd[4711]: Failed password for root from 192.0.2.1 port 22 ssh2",
                true,
                "2026-11-22T14:30:15Z",
                "hostname=web-1 app=sshd pid=4711",
            ),
            (
                "Nov  2 04:05:06 h kernel: [1.5] usb 1-1",
                true,
                "2026-11-02T04:05:06Z",
                "hostname=h app=kernel",
            ),
            ("<38>Nov 22 14:30:15 h su: x", true, "2026-11-22T14:30:15Z", "hostname=h app=su"),
            (
                "2026-11-22T14:30:15.123456+01:00 h systemd[1]: Started x.",
                true,
                "2026-11-22T13:30:15.123456Z",
                "hostname=h app=systemd pid=1",
            ),
            (
                "<165>1 2003-10-11T22:14:15.003Z m.example.com evntslog - ID47 [x@1 a=\"b\"] An event",
                true,
                "2003-10-11T22:14:15.003Z",
                "hostname=m.example.com app=evntslog",
            ),
            ("Nov 22 14:30:15 h last message repeated 2 times", true, "2026-11-22T14:30:15Z", "hostname=h"),
            (
                "Nov 22 14:30:15 h CRON[99]: (root) CMD (x: y)",
                true,
                "2026-11-22T14:30:15Z",
                "hostname=h app=CRON pid=99",
            ),
            ("    at com.example.Main", false, now, ""),
            ("Nov 32 14:30:15 h x: y", false, now, ""),
            ("Foo 22 14:30:15 h x: y", false, now, ""),
            ("<999>Nov 22 14:30:15 h x: y", false, now, ""),
            ("", false, now, ""),
        ] {
            assert_eq!(parse("UTC", now, line), (good, at.to_owned(), fields.to_owned()), "{line}");
        }
    }

    /// Scenario: times without a year, around New Year, a leap day, and where clocks are set.
    /// Guarantees: the newest year in which they are not ahead by more than a day; in the zone that was told.
    #[test]
    fn years_and_zones() {
        for (zone, now, line, at) in [
            ("UTC", "2027-01-01T00:00:05Z", "Dec 31 23:59:59 h x: y", "2026-12-31T23:59:59Z"),
            ("UTC", "2026-12-31T23:59:59Z", "Jan  1 00:00:02 h x: y", "2027-01-01T00:00:02Z"),
            ("UTC", "2027-03-01T00:00:00Z", "Feb 29 12:00:00 h x: y", "2024-02-29T12:00:00Z"),
            ("UTC", "2026-06-01T00:00:00Z", "Jun  3 00:00:00 h x: y", "2025-06-03T00:00:00Z"),
            ("Europe/Berlin", "2026-11-22T20:00:00Z", "Nov 22 14:30:15 h x: y", "2026-11-22T13:30:15Z"),
            ("Europe/Berlin", "2026-07-22T20:00:00Z", "Jul 22 14:30:15 h x: y", "2026-07-22T12:30:15Z"),
            ("Europe/Berlin", "2026-12-31T23:30:00Z", "Jan  1 00:29:59 h x: y", "2026-12-31T23:29:59Z"),
        ] {
            assert_eq!(parse(zone, now, line).1, at, "{line} in {zone} at {now}");
        }
    }

    /// Scenario: a line without a head behind one with a head; the year changes while a file is read.
    /// Guarantees: it has the other's time; the minute that is remembered is of its own year.
    #[test]
    fn lines_behind_lines() {
        let mut decoder = Decoder::default();
        let mut at = |line: &str, now: &str| {
            let mut fields = [("", ""); 3];
            let piece = Piece { text: line.as_bytes(), raw: line.len(), cut: false };
            decoder.record(&piece, ns(now), &TimeZone::UTC, &mut fields).0.at_ns
        };
        let then = ns("2026-12-31T23:59:59Z");
        assert_eq!(at("Dec 31 23:59:59 h x: y", "2026-12-31T23:59:59.5Z"), then);
        assert_eq!(at("\tand more", "2026-12-31T23:59:59.5Z"), then);
        assert_eq!(at("Dec 31 23:59:59 h x: y", "2027-01-01T00:00:00Z"), then);
        assert_eq!(at("Dec 31 23:59:59 h x: y", "2027-12-31T23:59:59Z"), ns("2027-12-31T23:59:59Z"));
    }

    proptest! {
        /// Scenario: any bytes, and a good line with any byte of its head damaged.
        /// Guarantees: no panic; the text is the line.
        #[test]
        fn any_bytes(line in proptest::collection::vec(any::<u8>(), 0..120), at in 0..30_usize, byte in any::<u8>(), now in any::<i64>()) {
            let mut damaged = *b"<38>Nov 22 14:30:15 h su[17]: x";
            damaged[at] = byte;
            let mut decoder = Decoder::default();
            for text in [&line[..], &damaged[..]] {
                let piece = Piece { text, raw: text.len(), cut: false };
                let mut fields = [("", ""); 3];
                prop_assert_eq!(decoder.record(&piece, now, &TimeZone::UTC, &mut fields).0.text, text);
            }
        }
    }
}
