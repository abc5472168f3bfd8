//! Units in configuration files: a span of time as `"15s"`, a size as `"64MiB"`. A bare number is refused, since
//! nobody can see whether it means seconds or milliseconds.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A span of time: `"250ms"`, `"15s"`, `"10m"`, `"24h"`, `"7d"`, and sums such as `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A size: `"512KiB"`, `"64MiB"`, `"2GiB"`, `"500MB"`, `"100B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Span {
    /// Whole seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl Size {
    /// Mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("0s"),
            // Smaller units are none that can be read back.
            short if short < Duration::from_secs(1) => write!(f, "{}ms", short.as_secs_f64() * 1_000.0),
            long => write!(f, "{long:?}"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{:.1}GiB", n as f64 / f64::from(1 << 30)),
            n if n >= 1 << 20 => write!(f, "{:.1}MiB", n as f64 / f64::from(1 << 20)),
            n if n >= 1 << 10 => write!(f, "{:.1}KiB", n as f64 / f64::from(1 << 10)),
            n => write!(f, "{n}B"),
        }
    }
}

/// Splits "1h30m" into (1, "h"), (30, "m"); `None` where something is no number or has no unit.
fn parts(text: &str) -> Option<Vec<(f64, &str)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(unit_at);
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        found.push((number.parse().ok()?, unit.trim()));
        rest = next;
    }
    (!found.is_empty()).then_some(found)
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a span of time such as \"250ms\", \"15s\", \"10m\" or \"24h\"");
        let mut seconds = 0.0;
        for (number, unit) in parts(text).ok_or_else(bad)? {
            seconds += number
                * match unit {
                    "ms" => 0.001,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3_600.0,
                    "d" => 86_400.0,
                    "w" => 604_800.0,
                    _ => return Err(bad()),
                };
        }
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| bad())
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a size such as \"512KiB\", \"64MiB\" or \"2GiB\"");
        let [(number, unit)] = parts(text).ok_or_else(bad)?[..] else { return Err(bad()) };
        let scale: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(bad()),
        };
        Ok(Self((number * scale as f64) as u64))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text("a span of time such as \"15s\"", PhantomData))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text("a size such as \"64MiB\"", PhantomData))
    }
}

/// Parses within the visit, since the YAML reader adds path and line only to errors of a visitor.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: spans as people write them, and ones that they should not.
    /// Guarantees: sums work; a number without a unit is refused.
    #[test]
    fn spans() {
        assert_eq!("1h30m".parse(), Ok(Span::secs(5_400)));
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        for bad in ["15", "", "s", "15x", "1.2.3s", "99999999999999999999w"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    /// Scenario: sizes as people write them.
    /// Guarantees: binary and decimal units differ; a bare number is refused.
    #[test]
    fn sizes() {
        assert_eq!("64MiB".parse(), Ok(Size::mib(64)));
        assert_eq!("1MB".parse(), Ok(Size(1_000_000)));
        for bad in ["64", "MiB", "1MiB2KiB", "1mib"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
