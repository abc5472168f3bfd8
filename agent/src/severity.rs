//! How severe a log line says it is, from its first bytes: a scan of what every line costs, so that it looks for what is
//! rare before it looks closer.
//!
//! In this order: the heads of syslog (`<11>`) and klog (`E0102 15:04`); a pair of a common name and a level, as in JSON
//! and logfmt (`"level":"warn"`, `severity=ERROR`, `lvl: 30`), found by the letter `v`, which all those names have; then a
//! level as a word in capitals (`ERROR`) or in brackets (`[error]`), found by bytes from 0x40 to 0x5f; then the first
//! word, as a level with a colon (`error: no such file`) or the beginning of a stack trace.

use memchr::memchr2_iter;

/// Bytes at a line's beginning in which a pair is looked for.
const PAIRS: usize = 512;
/// Bytes at a line's beginning in which a word is looked for.
const WORDS: usize = 160;

/// In Loki's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// `trace`.
    Trace,
    /// `debug`.
    Debug,
    /// `info`, also notices.
    Info,
    /// `warn`.
    Warn,
    /// `error`.
    Error,
    /// `critical`: what a program did not survive, or someone must look at.
    Critical,
}

/// Their names, from the least severe to the most.
pub(crate) const NAMES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

/// Up to eight bytes as one number, capitals as small letters: `| 0x20` makes a letter of nothing else.
const fn pack(word: &[u8]) -> u64 {
    let (mut packed, mut at) = (0, 0);
    while at < word.len() {
        packed |= ((word[at] | 0x20) as u64) << (8 * at);
        at += 1;
    }
    packed
}

/// Words and numbers of up to eight bytes, the usual ones first. The numbers are pino's and bunyan's.
const SHORT: [(u64, Level); 32] = [
    (pack(b"info"), Level::Info),
    (pack(b"error"), Level::Error),
    (pack(b"warn"), Level::Warn),
    (pack(b"debug"), Level::Debug),
    (pack(b"warning"), Level::Warn),
    (pack(b"30"), Level::Info),
    (pack(b"40"), Level::Warn),
    (pack(b"50"), Level::Error),
    (pack(b"20"), Level::Debug),
    (pack(b"10"), Level::Trace),
    (pack(b"60"), Level::Critical),
    (pack(b"trace"), Level::Trace),
    (pack(b"fatal"), Level::Critical),
    (pack(b"panic"), Level::Critical),
    (pack(b"critical"), Level::Critical),
    (pack(b"crit"), Level::Critical),
    (pack(b"alert"), Level::Critical),
    (pack(b"emerg"), Level::Critical),
    (pack(b"notice"), Level::Info),
    (pack(b"err"), Level::Error),
    (pack(b"eror"), Level::Error),
    (pack(b"severe"), Level::Error),
    (pack(b"inf"), Level::Info),
    (pack(b"wrn"), Level::Warn),
    (pack(b"dbg"), Level::Debug),
    (pack(b"trc"), Level::Trace),
    (pack(b"verbose"), Level::Trace),
    (pack(b"i"), Level::Info),
    (pack(b"w"), Level::Warn),
    (pack(b"e"), Level::Error),
    (pack(b"d"), Level::Debug),
    (pack(b"f"), Level::Critical),
];

impl Level {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Of a word or a number as programs write it; none where it is no level.
    pub(crate) fn of_word(word: &[u8]) -> Option<Self> {
        if word.len() > 8 {
            let is = |long: &str| word.eq_ignore_ascii_case(long.as_bytes());
            let info = is("information") || is("informational");
            return if info { Some(Self::Info) } else { is("emergency").then_some(Self::Critical) };
        }
        let packed = pack(word);
        SHORT.iter().find(|(known, _)| *known == packed).map(|(_, level)| *level)
    }

    /// Of a line; none where it says nothing of it.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let line = line.as_bytes();
        head(line).or_else(|| pair(line)).or_else(|| word(line)).or_else(|| first_word(line))
    }
}

/// What syslog and klog write first.
fn head(line: &[u8]) -> Option<Level> {
    match line {
        // RFC 5424, section 6.2.1: facility * 8 + severity.
        [b'<', rest @ ..] => {
            let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
            if rest.get(digits) != Some(&b'>') || !(1..=3).contains(&digits) {
                return None;
            }
            let priority = rest[..digits].iter().fold(0_u32, |sum, b| sum * 10 + u32::from(b - b'0'));
            Some(match priority % 8 {
                0..=2 => Level::Critical,
                3 => Level::Error,
                4 => Level::Warn,
                5 | 6 => Level::Info,
                _ => Level::Debug,
            })
        }
        // k8s.io/klog: severity, month and day, then the time.
        [b'I' | b'W' | b'E' | b'F', a, b, c, d, b' ', h, m, b':', ..]
            if [a, b, c, d, h, m].into_iter().all(u8::is_ascii_digit) =>
        {
            Level::of_word(&line[..1])
        }
        _ => None,
    }
}

/// A pair of a name and a level.
fn pair(line: &[u8]) -> Option<Level> {
    let seen = &line[..line.len().min(PAIRS)];
    memchr2_iter(b'v', b'V', seen).find_map(|at| value(line, name(line, at)?))
}

/// Where a name ends whose `v` stands at `at`; none where it is no name of a level.
fn name(line: &[u8], at: usize) -> Option<usize> {
    let is = |from: usize, text: &[u8]| {
        line.get(from..from + text.len()).is_some_and(|t| t.eq_ignore_ascii_case(text))
    };
    let (start, mut end) = match line.get(at + 1)? | 0x20 {
        b'e' if at >= 2 && is(at - 2, b"level") => (at - 2, at + 3),
        b'e' if at >= 2 && is(at - 2, b"severity") => (at - 2, at + 6),
        b'l' if at >= 1 && is(at - 1, b"lvl") => (at - 1, at + 2),
        _ => return None,
    };
    for suffix in [&b"name"[..], b"_text", b"text"] {
        if is(end, suffix) {
            end += suffix.len();
            break;
        }
    }
    // `level`, `log.level`, `log_level` and `loglevel`, but not `sublevel`.
    let begins = start.checked_sub(1).is_none_or(|before| !line[before].is_ascii_alphanumeric());
    let of_log = || {
        start.checked_sub(3).is_some_and(|log| {
            is(log, b"log") && log.checked_sub(1).is_none_or(|before| !line[before].is_ascii_alphanumeric())
        })
    };
    (begins || of_log()).then_some(end)
}

/// The level behind a name that ends at `at`: a quote, `=` or `:` with spaces around, a quote, the word.
fn value(line: &[u8], at: usize) -> Option<Level> {
    let mut rest = line.get(at..)?;
    if let [b'"' | b'\'', behind @ ..] = rest {
        rest = behind;
    }
    rest = rest.trim_ascii_start();
    let [b'=' | b':', behind @ ..] = rest else { return None };
    rest = behind.trim_ascii_start();
    if let [b'"' | b'\'' | b'[', behind @ ..] = rest {
        rest = behind;
    }
    let digits = rest.first()?.is_ascii_digit();
    let is_part = |b: &&u8| if digits { b.is_ascii_digit() } else { b.is_ascii_alphabetic() };
    let end = rest.iter().take(16).take_while(is_part).count();
    Level::of_word(&rest[..end])
}

/// A word in capitals, or one in brackets.
fn word(line: &[u8]) -> Option<Level> {
    let seen = &line[..line.len().min(WORDS)];
    let mut at = 0;
    while at < seen.len() {
        // Eight bytes at a time, as long as none is a capital or a bracket.
        if let Some(eight) = seen.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
            match capital(u64::from_le_bytes(eight)) {
                Some(first) => at += first,
                None => {
                    at += 8;
                    continue;
                }
            }
        }
        match seen[at] {
            b'[' => {
                if let Some(level) = bracketed(&line[at + 1..]) {
                    return Some(level);
                }
                at += 1;
            }
            b'A'..=b'Z' => {
                let end = line[at..].iter().take_while(|b| b.is_ascii_uppercase()).count() + at;
                let level = if is_apart(line, at, end) { capitals(&line[at..end]) } else { None };
                if level.is_some() {
                    return level;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// The first of eight bytes that is from 0x40 to 0x5f.
fn capital(eight: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_where = (eight & (ONES * 0xe0)) ^ (ONES * 0x40);
    // A byte of it is zero: what is subtracted borrows from its highest bit (Warren, Hacker's Delight, 6-1). Only the
    // first such byte is exact, and only that one is asked for.
    let zeros = zero_where.wrapping_sub(ONES) & !zero_where & (ONES * 0x80);
    (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
}

/// No part of a longer word. Terminals' colours stand before and behind words without a space.
fn is_apart(line: &[u8], start: usize, end: usize) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let ends = line.get(end).is_none_or(|b| !is_part(b));
    let begins = match start.checked_sub(1).map(|at| line[at]) {
        Some(b'm') => line[start.saturating_sub(12)..start].contains(&0x1b),
        Some(before) => !is_part(&before),
        None => true,
    };
    begins && ends
}

/// Words that are levels where they stand in capitals, at any place.
fn capitals(word: &[u8]) -> Option<Level> {
    match word {
        b"VERBOSE" | b"EROR" | b"INFORMATION" | b"INFORMATIONAL" => None,
        // What most words in capitals begin with, no level does.
        [b'A' | b'C'..=b'F' | b'I' | b'N' | b'P' | b'T' | b'W', _, _, ..] => Level::of_word(word),
        _ => None,
    }
}

/// `error]` and ` error ]`.
fn bracketed(rest: &[u8]) -> Option<Level> {
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let end = rest.iter().take(10).take_while(|b| b.is_ascii_alphabetic()).count();
    let behind = &rest[end..];
    let closed = matches!(behind, [b']', ..] | [b' ', b']', ..]);
    if closed && end > 2 { Level::of_word(&rest[..end]) } else { None }
}

/// A level with a colon at the very beginning, and what languages write before a stack trace.
fn first_word(line: &[u8]) -> Option<Level> {
    let end = line.iter().take(10).take_while(|b| b.is_ascii_alphabetic()).count();
    match &line[end..] {
        [b':', ..] if end > 2 => Level::of_word(&line[..end]),
        [b' ', ..] if line.starts_with(b"fatal error: ") => Some(Level::Critical),
        [b' ', ..] if line.starts_with(b"Traceback (most recent call last)") => Some(Level::Error),
        [b' ', ..] if line.starts_with(b"Exception in thread ") => Some(Level::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: lines as programs, runtimes and frameworks write them.
    /// Guarantees: their level; none where a word only looks like one.
    #[test]
    fn lines() {
        let long = format!("{{\"msg\":\"{}\",\"level\":\"error\"}}", "v".repeat(PAIRS - 40));
        for (line, level) in [
            ("ts=1 level=warn msg=error", Some(Level::Warn)),
            (r#"{"severity":"ERROR","m":1}"#, Some(Level::Error)),
            (r#"{"level":30}"#, Some(Level::Info)),
            (r#"{"level": 300}"#, None),
            (r#"{"log.level":"debug","level":"x"}"#, Some(Level::Debug)),
            (r#"{"levelname": "CRITICAL"}"#, Some(Level::Critical)),
            (r#"{"severity_text":"Information"}"#, Some(Level::Info)),
            (r#"{"time":"x","LogLevel":"Warning"}"#, Some(Level::Warn)),
            (&long, Some(Level::Error)),
            ("sublevel=error", None),
            ("level=high severity=warn", Some(Level::Warn)),
            ("2026-01-02 ERROR it broke", Some(Level::Error)),
            ("2026-01-02T10:00:00Z  WARN main: x", Some(Level::Warn)),
            ("2026-01-02 12:00:00,123 [main-1] FATAL a.B - x", Some(Level::Critical)),
            ("\u{1b}[2m2026\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m", Some(Level::Info)),
            ("\u{1b}[31mERROR\u{1b}[0m x", Some(Level::Error)),
            ("WARN[0000] no config", Some(Level::Warn)),
            ("[warning] x", Some(Level::Warn)),
            ("2026/01/02 10:00:00 [error] 31#31: open() failed", Some(Level::Error)),
            ("2026-01-02 10:00 UTC [1] FATAL:  no such role", Some(Level::Critical)),
            ("2026-01-02 10:00 UTC [1] LOG:  ready", None),
            ("npm ERR! code 1", Some(Level::Error)),
            ("I0102 15:04:05.0 1 main.go:1] x", Some(Level::Info)),
            ("E0102 15:04:05.0 1 main.go:1] x", Some(Level::Error)),
            ("E102 15:04: x", None),
            ("W1122 14: it", Some(Level::Warn)),
            ("<11>Nov 22 host su: x", Some(Level::Error)),
            ("<165>1 2003", Some(Level::Info)),
            ("<html>", None),
            ("panic: nil map", Some(Level::Critical)),
            ("fatal error: all goroutines are asleep", Some(Level::Critical)),
            ("Traceback (most recent call last):", Some(Level::Error)),
            ("Exception in thread \"main\" x", Some(Level::Error)),
            ("error: no such file", Some(Level::Error)),
            ("LEVEL=Information", Some(Level::Info)),
            ("no level here, an information desk", None),
            ("TERROR in NO_ERROR land", None),
            ("GET /ERRORS HTTP/1.1", None),
            ("", None),
            ("v", None),
            ("lvl", None),
            ("level=", None),
        ] {
            assert_eq!(Level::of_line(line), level, "{line}");
        }
        assert_eq!(NAMES.map(|name| Level::of_word(name.as_bytes()).map(Level::name)), NAMES.map(Some));
    }

    proptest! {
        /// Scenario: any text; a word in capitals at any place among lower ones.
        /// Guarantees: no panic; the word is found wherever it stands within what is looked at.
        #[test]
        fn any_text(text in r#"\PC{0,80}|[levsrity"=:\[\]<0-9 A-Z]{0,60}"#, before in 0..WORDS - 8) {
            let _any = Level::of_line(&text);
            let line = format!("{} ERROR x", "a".repeat(before));
            prop_assert_eq!(Level::of_line(&line), Some(Level::Error));
        }
    }
}
