//! Times as Go writes them: a layout is the moment `Mon Jan 2 15:04:05 MST 2006` in the form that is meant. Source: the
//! documentation of Go's package time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// How a time is written.
pub(super) enum Layout {
    /// Seconds since 1970, with a fraction perhaps, times this many nanoseconds.
    Unix(i64),
    /// Piece by piece.
    Pieces(Vec<Piece>),
}

/// What stands in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Four digits, or two of this and the last century.
    Year,
    ShortYear,
    /// With this many digits at least.
    Month(usize),
    MonthName,
    ShortMonthName,
    Day(usize),
    YearDay,
    Weekday,
    ShortWeekday,
    Hour(usize),
    HalfDayHour(usize),
    HalfDay,
    Minute(usize),
    Second(usize),
    /// Digits that must be there; 0 for any.
    Fraction(usize),
    /// `Z` may stand for 0.
    Offset {
        zulu: bool,
    },
    ZoneName,
}

use Piece::{
    Day, Fraction, HalfDay, HalfDayHour, Hour, Minute, Month, MonthName, Offset as Numeric, Second,
    ShortMonthName, ShortWeekday, ShortYear, Weekday, Year, YearDay, ZoneName,
};

/// Longer ones before those that they begin with.
const WORDS: [(&str, Piece); 33] = [
    ("January", MonthName),
    ("Jan", ShortMonthName),
    ("Monday", Weekday),
    ("Mon", ShortWeekday),
    ("MST", ZoneName),
    ("2006", Year),
    ("-07:00:00", Numeric { zulu: false }),
    ("-070000", Numeric { zulu: false }),
    ("-07:00", Numeric { zulu: false }),
    ("-0700", Numeric { zulu: false }),
    ("-07", Numeric { zulu: false }),
    ("Z07:00:00", Numeric { zulu: true }),
    ("Z070000", Numeric { zulu: true }),
    ("Z07:00", Numeric { zulu: true }),
    ("Z0700", Numeric { zulu: true }),
    ("Z07", Numeric { zulu: true }),
    ("002", YearDay),
    ("__2", YearDay),
    ("01", Month(2)),
    ("02", Day(2)),
    ("03", HalfDayHour(2)),
    ("04", Minute(2)),
    ("05", Second(2)),
    ("06", ShortYear),
    ("15", Hour(1)),
    ("_2", Day(1)),
    ("PM", HalfDay),
    ("pm", HalfDay),
    ("1", Month(1)),
    ("2", Day(1)),
    ("3", HalfDayHour(1)),
    ("4", Minute(1)),
    ("5", Second(1)),
];

/// Layouts that have names.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Nanoseconds since 1970 of a time as RFC 3339 has it.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    nanos(text.parse().ok()?)
}

fn nanos(time: Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

impl Layout {
    /// From its name, or from what it looks like.
    pub(super) fn new(text: &str) -> Self {
        let unix = [("Unix", 1_000_000_000), ("UnixMs", 1_000_000), ("UnixUs", 1_000), ("UnixNs", 1)];
        if let Some((_, scale)) = unix.iter().find(|(name, _)| *name == text) {
            return Self::Unix(*scale);
        }
        let named = NAMED.iter().find(|(name, _)| *name == text);
        Self::Pieces(pieces(named.map_or(text, |(_, layout)| layout)))
    }

    /// Something of a time stands in it.
    pub(super) fn says_something(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Pieces(pieces) => pieces.iter().any(|piece| !matches!(piece, Piece::Text(_))),
        }
    }

    /// Nanoseconds since 1970; times without an offset are of `zone`, those without a year the nearest to `now`.
    pub(super) fn read(&self, text: &str, zone: &TimeZone, now: Timestamp) -> Option<i64> {
        match self {
            Self::Unix(scale) => unix(text, *scale),
            Self::Pieces(pieces) => {
                let mut found = Found::default();
                let mut rest = text;
                let mut last = None;
                for (at, piece) in pieces.iter().enumerate() {
                    rest = found.take(piece, rest)?;
                    // A fraction of a second may stand there though the layout has none.
                    let next = pieces.get(at + 1);
                    if matches!(piece, Second(_)) && !matches!(next, Some(Fraction(_))) {
                        rest = found.take(&Fraction(0), rest)?;
                    }
                    last = Some(rest);
                }
                if !last?.is_empty() {
                    return None;
                }
                found.time(zone, now)
            }
        }
    }
}

/// A number with a fraction.
fn unix(text: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let places = fraction.len().min(18);
    let part: i128 = fraction[..places].parse::<i128>().unwrap_or(0) * i128::from(scale)
        / 10_i128.pow(u32::try_from(places).ok()?);
    let part = i64::try_from(part).ok()?;
    whole.checked_mul(scale)?.checked_add(if text.starts_with('-') { -part } else { part })
}

fn pieces(layout: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let is_word = |(word, _): &&(&str, Piece)| {
            rest.strip_prefix(word).is_some_and(|behind| {
                // "Month" is a word of its own.
                !matches!(*word, "Mon" | "Jan") || !behind.starts_with(|c: char| c.is_ascii_lowercase())
            })
        };
        if let Some((word, piece)) = WORDS.iter().find(is_word) {
            pieces.push(piece.clone());
            rest = &rest[word.len()..];
            continue;
        }
        let behind = &rest[c.len_utf8()..];
        let first = behind.bytes().next().filter(|b| matches!(c, '.' | ',') && matches!(b, b'0' | b'9'));
        if let Some(digit) = first {
            let digits = behind.bytes().take_while(|b| *b == digit).count();
            if !behind[digits..].starts_with(|c: char| c.is_ascii_digit()) {
                pieces.push(Fraction(if digit == b'0' { digits } else { 0 }));
                rest = &behind[digits..];
                continue;
            }
        }
        match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => pieces.push(Piece::Text(c.to_string())),
        }
        rest = behind;
    }
    pieces
}

/// What of a time was read.
#[derive(Default)]
struct Found {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
}

impl Found {
    /// Reads a piece; returns what follows it.
    fn take<'a>(&mut self, piece: &Piece, text: &'a str) -> Option<&'a str> {
        let mut rest = text;
        match piece {
            Piece::Text(wanted) => rest = rest.strip_prefix(&**wanted)?,
            Year => self.year = Some(digits(&mut rest, 4, 4)?),
            ShortYear => {
                let year: i16 = digits(&mut rest, 2, 2)?;
                self.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
            }
            Month(least) => self.month = Some(digits(&mut rest, *least, 2)?),
            MonthName => self.month = Some(name(&mut rest, &MONTHS, false)?),
            ShortMonthName => self.month = Some(name(&mut rest, &MONTHS, true)?),
            Weekday => _ = name(&mut rest, &WEEKDAYS, false)?,
            ShortWeekday => _ = name(&mut rest, &WEEKDAYS, true)?,
            Day(least) => {
                rest = rest.strip_prefix(' ').filter(|_| *least == 1).unwrap_or(rest);
                self.day = Some(digits(&mut rest, *least, 2)?);
            }
            YearDay => {
                rest = rest.trim_start();
                self.year_day = Some(digits(&mut rest, 1, 3)?);
            }
            Hour(least) | HalfDayHour(least) => self.hour = digits(&mut rest, *least, 2)?,
            Minute(least) => self.minute = digits(&mut rest, *least, 2)?,
            Second(least) => self.second = digits(&mut rest, *least, 2)?,
            HalfDay => {
                let (half, behind) = rest.split_at_checked(2)?;
                self.afternoon = Some(match half {
                    "PM" | "pm" => true,
                    "AM" | "am" => false,
                    _ => return None,
                });
                rest = behind;
            }
            Fraction(exact) => rest = self.fraction(rest, *exact)?,
            Numeric { zulu } => match rest.strip_prefix('Z').filter(|_| *zulu) {
                Some(behind) => (self.offset, rest) = (Some(0), behind),
                None => self.offset = Some(offset(&mut rest)?),
            },
            ZoneName => {
                let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                if !(3..=5).contains(&name.len()) {
                    return None;
                }
                rest = behind;
                if matches!(name, "UTC" | "GMT") {
                    let mut signed = behind;
                    self.offset = Some(0);
                    if let Some(hours) = offset(&mut signed).filter(|_| name == "GMT") {
                        (self.offset, rest) = (Some(hours), signed);
                    }
                }
            }
        }
        Some(rest)
    }

    fn fraction<'a>(&mut self, text: &'a str, exact: usize) -> Option<&'a str> {
        let digits = text.strip_prefix(['.', ',']).unwrap_or_default();
        let there = digits.bytes().take_while(u8::is_ascii_digit).count();
        if there == 0 && exact == 0 {
            return Some(text);
        }
        let count = if exact == 0 { there } else { exact };
        if there < count {
            return None;
        }
        let padded = format!("{:0<9.9}", &digits[..count]);
        self.nanos = padded.parse().ok()?;
        Some(&digits[count..])
    }

    fn time(&self, zone: &TimeZone, now: Timestamp) -> Option<i64> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if self.hour > 12 => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        let today = zone.to_datetime(now);
        let month = self.month.unwrap_or(1);
        let year = self.year.unwrap_or_else(|| match (today.month(), month) {
            (12, 1) => today.year() + 1,
            (1, 12) => today.year() - 1,
            _ => today.year(),
        });
        let mut at =
            DateTime::new(year, month, self.day.unwrap_or(1), hour, self.minute, self.second, self.nanos)
                .ok()?;
        if let Some(day) = self.year_day {
            at = at.with().day_of_year(day).build().ok()?;
        }
        let zone = match self.offset {
            Some(seconds) => &TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            None => zone,
        };
        nanos(zone.to_timestamp(at).ok()?)
    }
}

/// A number of so many digits.
fn digits<T: std::str::FromStr>(rest: &mut &str, least: usize, most: usize) -> Option<T> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, behind) = rest.split_at(count);
    *rest = behind;
    if count < least { None } else { number.parse().ok() }
}

/// Which of these names it is, from 1; the first three letters where `short`.
fn name(rest: &mut &str, names: &[&str], short: bool) -> Option<i8> {
    let cut = |name: &&str| if short { 3 } else { name.len() };
    let is_it =
        |name: &&str| rest.get(..cut(name)).is_some_and(|text| text.eq_ignore_ascii_case(&name[..cut(name)]));
    let at = names.iter().position(is_it)?;
    *rest = &rest[cut(&names[at])..];
    i8::try_from(at + 1).ok()
}

/// Seconds east of Greenwich: `+02`, `+0200`, `+02:00`, with seconds or without.
fn offset(rest: &mut &str) -> Option<i32> {
    let (sign, mut behind) = match rest.as_bytes().first()? {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let mut seconds = digits::<i32>(&mut behind, 1, 2)? * 3_600;
    for scale in [60, 1] {
        let mut next = behind.strip_prefix(':').unwrap_or(behind);
        let Some(more) = digits::<i32>(&mut next, 2, 2) else { break };
        seconds += more * scale;
        behind = next;
    }
    *rest = behind;
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T12:00:00Z
    fn now() -> Timestamp {
        Timestamp::from_second(1_795_348_800).unwrap()
    }

    /// Scenario: layouts by name and by look, and times in them.
    /// Guarantees: what `date -d` says, to the nanosecond.
    #[test]
    fn times() {
        for (layout, text, expect) in [
            ("Unix", "1562708916", Some(1_562_708_916_000_000_000)),
            ("Unix", "1562708916.414123", Some(1_562_708_916_414_123_000)),
            ("Unix", "-1.5", Some(-1_500_000_000)),
            ("UnixMs", "1562708916414", Some(1_562_708_916_414_000_000)),
            ("UnixUs", "1562708916414123", Some(1_562_708_916_414_123_000)),
            ("UnixNs", "1562708916000000123", Some(1_562_708_916_000_000_123)),
            ("Unix", "soon", None),
            ("RFC3339", "2019-07-09T21:48:36Z", Some(1_562_708_916_000_000_000)),
            ("RFC3339", "2019-07-09T23:48:36.5+02:00", Some(1_562_708_916_500_000_000)),
            ("RFC3339Nano", "2019-07-09T21:48:36.000000123Z", Some(1_562_708_916_000_000_123)),
            ("RFC822", "09 Jul 19 21:48 UTC", Some(1_562_708_880_000_000_000)),
            ("RFC822Z", "09 Jul 19 23:48 +0200", Some(1_562_708_880_000_000_000)),
            ("RFC850", "Tuesday, 09-Jul-19 21:48:36 GMT", Some(1_562_708_916_000_000_000)),
            ("RFC1123Z", "Tue, 09 Jul 2019 21:48:36 -0000", Some(1_562_708_916_000_000_000)),
            ("ANSIC", "Tue Jul  9 21:48:36 2019", Some(1_562_708_916_000_000_000)),
            ("RubyDate", "Tue Jul 09 21:48:36 +0000 2019", Some(1_562_708_916_000_000_000)),
            ("02/Jan/2006:15:04:05 -0700", "09/Jul/2019:21:48:36 +0000", Some(1_562_708_916_000_000_000)),
            ("2006-01-02 15:04:05,000", "2019-07-09 21:48:36,250", Some(1_562_708_916_250_000_000)),
            ("2006-01-02 15:04:05", "2019-07-09 21:48:36.25", Some(1_562_708_916_250_000_000)),
            ("1/2/06 3:04:05 PM", "7/9/19 9:48:36 PM", Some(1_562_708_916_000_000_000)),
            ("2006 002 15", "2019 190 21", Some(1_562_706_000_000_000_000)),
            ("Jan _2 15:04:05", "Nov  2 00:00:01", Some(1_793_577_601_000_000_000)),
            ("2006-01-02", "2019-02-30", None),
            ("2006-01-02", "2019-02-03x", None),
            ("2006-01-02 15:04:05,000", "2019-07-09 21:48:36", None),
            ("15:04", "25:00", None),
        ] {
            assert_eq!(Layout::new(layout).read(text, &TimeZone::UTC, now()), expect, "{layout}: {text}");
        }
    }

    /// Scenario: times without an offset, of a place; a December's line that is read in January.
    /// Guarantees: the place's offset of that day; the year before.
    #[test]
    fn places_and_years() {
        let east = TimeZone::fixed(Offset::from_seconds(7_200).unwrap());
        let read = Layout::new("2006-01-02 15:04").read("2019-07-09 23:48", &east, now());
        assert_eq!(read, Some(1_562_708_880_000_000_000));
        let january = Timestamp::from_second(1_798_761_600).unwrap();
        let read = Layout::new("Jan 2 15:04").read("Dec 31 23:59", &TimeZone::UTC, january);
        assert_eq!(read, Some(1_798_761_540_000_000_000));
    }

    proptest! {
        /// Scenario: any layout and any text.
        /// Guarantees: no panic.
        #[test]
        fn any_text(layout in "[JanMo0-9 :.,TZ+-]{0,24}", text in "[JanMo0-9 :.,TZ+-]{0,24}|\\PC{0,24}") {
            let _read = Layout::new(&layout).read(&text, &TimeZone::UTC, now());
            let _read = Layout::new("RFC3339Nano").read(&text, &TimeZone::UTC, now());
            let _read = Layout::new("Unix").read(&text, &TimeZone::UTC, now());
            let _read = Layout::new("UnixDate").read(&text, &TimeZone::UTC, now());
        }
    }
}
