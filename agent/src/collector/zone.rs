//! Which time zone holds at a moment, from a compiled zone file (RFC 9636): a table of changes, and behind the last
//! of them a rule, `CET-1CEST,M3.5.0,M10.5.0/3`.

use std::str;

/// A zone's name and distance at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone<'a> {
    /// As people write it: `CET`, `CEST`, `-03`.
    pub(super) name: &'a str,
    /// Seconds ahead of UTC.
    pub(super) offset_seconds: i32,
}

/// What holds where there is no zone file.
pub(super) const UTC: Zone<'static> = Zone { name: "UTC", offset_seconds: 0 };

const HEADER_BYTES: usize = 44;
const DAY: i64 = 86_400;

/// The zone at `now` (seconds since 1970); `None` where `file` is no zone file.
pub(super) fn at(file: &[u8], now: i64) -> Option<Zone<'_>> {
    let old = Block::read(file, 4)?;
    // From version 2 on, a second block with 64-bit times follows the one that old readers want.
    let block = if *file.get(4)? >= b'2' { Block::read(old.rest, 8)? } else { old };
    let next = block.times.iter().position(|&change| change > now);
    let index = match next {
        Some(0) => return block.zone(0),
        Some(next) => next - 1,
        None => {
            let rule = str::from_utf8(block.rest).ok().and_then(|r| r.strip_prefix('\n')?.split('\n').next());
            if let Some(zone) = rule.and_then(|rule| by_rule(rule, now)) {
                return Some(zone);
            }
            match block.times.len() {
                0 => return block.zone(0),
                changes => changes - 1,
            }
        }
    };
    block.zone(usize::from(*block.kinds.get(index)?))
}

/// One of a file's two blocks.
struct Block<'a> {
    times: Vec<i64>,
    kinds: &'a [u8],
    types: &'a [u8],
    names: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Block<'a> {
    fn read(file: &'a [u8], time_bytes: usize) -> Option<Self> {
        let header = file.get(..HEADER_BYTES)?;
        if !header.starts_with(b"TZif") {
            return None;
        }
        let count = |n: usize| {
            let bytes = header.get(20 + 4 * n..24 + 4 * n)?;
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
        };
        let (utc, std, leap, time, kind, chars) =
            (count(0)?, count(1)?, count(2)?, count(3)?, count(4)?, count(5)?);
        let rest = &file[HEADER_BYTES..];
        let (times, rest) = rest.split_at_checked(time.checked_mul(time_bytes)?)?;
        let (kinds, rest) = rest.split_at_checked(time)?;
        let (types, rest) = rest.split_at_checked(kind.checked_mul(6)?)?;
        let (names, rest) = rest.split_at_checked(chars)?;
        let tail = leap.checked_mul(time_bytes + 4)?.checked_add(std)?.checked_add(utc)?;
        let rest = rest.get(tail..)?;
        let number = |bytes: &[u8]| match bytes.try_into() {
            Ok(long) => i64::from_be_bytes(long),
            Err(_) => bytes.try_into().map_or(0, |short| i64::from(i32::from_be_bytes(short))),
        };
        Some(Self { times: times.chunks_exact(time_bytes).map(number).collect(), kinds, types, names, rest })
    }

    fn zone(&self, kind: usize) -> Option<Zone<'a>> {
        let entry = self.types.get(kind * 6..kind * 6 + 6)?;
        let name = self.names.get(usize::from(entry[5])..)?.split(|&b| b == 0).next()?;
        let offset_seconds = i32::from_be_bytes(entry[..4].try_into().ok()?);
        Some(Zone { name: str::from_utf8(name).ok()?, offset_seconds })
    }
}

/// Evaluates a rule (POSIX, Base Definitions 8.3, `TZ`).
fn by_rule(rule: &str, now: i64) -> Option<Zone<'_>> {
    let mut rest = rule;
    let standard = Zone { name: name(&mut rest)?, offset_seconds: -seconds(&mut rest)? };
    if rest.is_empty() {
        return Some(standard);
    }
    let summer_name = name(&mut rest)?;
    let summer_offset = match rest.starts_with(',') {
        true => standard.offset_seconds + 3_600,
        false => -seconds(&mut rest)?,
    };
    let summer = Zone { name: summer_name, offset_seconds: summer_offset };
    let (begin, end) = rest.strip_prefix(',')?.split_once(',')?;
    let year = year_of(now.checked_add(i64::from(standard.offset_seconds))?.div_euclid(DAY));
    // Each change is given in the time that holds before it.
    let begin = change(begin, year)? - i64::from(standard.offset_seconds);
    let end = change(end, year)? - i64::from(summer.offset_seconds);
    let is_summer = if begin <= end { (begin..end).contains(&now) } else { !(end..begin).contains(&now) };
    Some(if is_summer { summer } else { standard })
}

fn name<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (name, behind) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())),
    };
    *rest = behind;
    (!name.is_empty()).then_some(name)
}

/// `[+-]hh[:mm[:ss]]`, up to 167 hours.
fn seconds(rest: &mut &str) -> Option<i32> {
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    let digits = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let (text, behind) = digits.split_at(end);
    *rest = behind;
    let mut total = 0;
    for (part, unit) in text.splitn(3, ':').zip([3_600, 60, 1]) {
        total += part.parse::<i32>().ok().filter(|part| *part <= 167)? * unit;
    }
    Some(sign * total)
}

/// When a rule's change (`M3.5.0/2`, `J60`, `59`) comes in `year`, in seconds since 1970 of local time.
fn change(rule: &str, year: i64) -> Option<i64> {
    let (day, time) = rule.split_once('/').unwrap_or((rule, "2"));
    let new_year = days_to(year, 1);
    let leap = days_to(year, 3) - days_to(year, 2) == 29;
    let day = if let Some(rule) = day.strip_prefix('M') {
        let mut parts = rule.split('.').map(|part| part.parse::<i64>().ok());
        let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1..=12).contains(&month) || !(1..=5).contains(&week) || !(0..=6).contains(&weekday) {
            return None;
        }
        let first = days_to(year, month);
        let next_month = if month == 12 { days_to(year + 1, 1) } else { days_to(year, month + 1) };
        // 1 January 1970 was a Thursday, 4.
        let day = first + (weekday - (first + 4)).rem_euclid(7) + 7 * (week - 1);
        // The fifth week means the last one.
        if day < next_month { day } else { day - 7 }
    } else if let Some(day) = day.strip_prefix('J') {
        // 1 to 365: 29 February is never counted.
        let day = day.parse::<i64>().ok().filter(|day| (1..=365).contains(day))?;
        new_year + day - 1 + i64::from(leap && day >= 60)
    } else {
        new_year + day.parse::<i64>().ok().filter(|day| (0..=365).contains(day))?
    };
    let mut time = time;
    Some(day * DAY + i64::from(seconds(&mut time)?))
}

/// Days from 1970 to the first of a month in the Gregorian calendar.
pub(super) fn days_to(year: i64, month: i64) -> i64 {
    // Years that begin in March have their leap day at their end.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days + (153 * month + 2) / 5 - 719_468
}

fn year_of(day: i64) -> i64 {
    // 400 years have 146,097 days; the guess is off by one at most.
    let guess = 1970 + (day * 400).div_euclid(146_097);
    (guess - 1..=guess + 1).rev().find(|&year| days_to(year, 1) <= day).unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: rules of the north, the south, a fixed zone, Julian days, at moments around their changes.
    /// Guarantees: what `date` of the C library says.
    #[test]
    fn rules() {
        for (rule, now, name, offset_seconds) in [
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1_774_745_999, "CET", 3_600),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1_774_746_000, "CEST", 7_200),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1_792_889_999, "CEST", 7_200),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1_792_890_000, "CET", 3_600),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_767_225_600, "AEDT", 39_600),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_782_864_000, "AEST", 36_000),
            ("<+0530>-5:30", 0, "+0530", 19_800),
            ("<-03>3", 0, "-03", -10_800),
            ("EST5EDT,J60/0,J300/0", 1_709_269_200, "EDT", -14_400),
            ("EST5EDT,J60/0,J300/0", 1_709_269_199, "EST", -18_000),
        ] {
            assert_eq!(by_rule(rule, now), Some(Zone { name, offset_seconds }), "{rule} {now}");
        }
        for bad in ["", "CET", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0", "<", "CET-1CEST,M3.5.0"] {
            assert_eq!(by_rule(bad, 0), None, "{bad}");
        }
    }

    /// Scenario: a file with one change and no rule.
    /// Guarantees: the first type before it, its own type behind it; a file cut anywhere gives nothing or a zone.
    #[test]
    fn files() {
        let mut file = b"TZif2".to_vec();
        file.resize(HEADER_BYTES, 0);
        file.extend_from_slice(b"TZif2");
        file.resize(HEADER_BYTES + 20, 0);
        for count in [0_u32, 0, 0, 1, 2, 8] {
            file.extend_from_slice(&count.to_be_bytes());
        }
        file.extend_from_slice(&1_000_i64.to_be_bytes());
        file.push(1);
        for (offset, name) in [(0_i32, 0_u8), (3_600, 4)] {
            file.extend_from_slice(&offset.to_be_bytes());
            file.extend_from_slice(&[0, name]);
        }
        file.extend_from_slice(b"LMT\0CET\0\n\n");
        assert_eq!(at(&file, 999), Some(Zone { name: "LMT", offset_seconds: 0 }));
        assert_eq!(at(&file, 1_000), Some(Zone { name: "CET", offset_seconds: 3_600 }));
        for end in 0..file.len() {
            let _any = at(&file[..end], 1_000);
        }
    }

    /// Scenario: the first and last days of a hundred years.
    /// Guarantees: day and year belong together.
    #[test]
    fn years() {
        for year in 1950..2150 {
            assert_eq!(year_of(days_to(year, 1)), year);
            assert_eq!(year_of(days_to(year + 1, 1) - 1), year);
        }
        assert_eq!((days_to(1970, 1), days_to(2000, 3)), (0, 11_017));
    }

    proptest! {
        /// Scenario: any rule and any file.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(rule in "[A-Z<>]{0,5}[-+]?[0-9:]{0,9}[A-Z]{0,4},[MJ]?[0-9./]{0,12},[MJ]?[0-9./-]{0,12}",
                        now in any::<i64>(), tail in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _any = by_rule(&rule, now);
            let mut file = b"TZif2".to_vec();
            file.extend(tail);
            let _any = at(&file, now);
        }
    }
}
