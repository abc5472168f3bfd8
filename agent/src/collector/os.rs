//! Which operating system the host runs, from its os-release(5).

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::zone;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `os` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Os::default()))
}

#[derive(Default)]
struct Os {
    file: TextFile,
}

/// Labels of `node_os_info` and the variables that they come from.
const LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

const SECONDS_PER_DAY: i64 = 86_400;

impl Collector for Os {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut path = roots.root.join("etc/os-release");
        if self.file.bytes(&path).is_err() {
            path = roots.root.join("usr/lib/os-release");
            self.file.bytes(&path).map_err(|e| e.absent_means_no("os-release"))?;
        }
        let text = self.file.last();
        let get = |key| variable(text, key);
        let values = LABELS.map(|(label, key)| (label, get(key).map(|(_, value)| value).unwrap_or_default()));
        let labels = values.each_ref().map(|(label, value)| (*label, &**value));
        let family = out.family("node_os_info", Gauge, "Which operating system the host runs.");
        out.push(family, &labels, 1.0);
        let of = |name: &str| labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value);
        if let Some(version) = number(of("version_id")).filter(|version| *version > 0.0) {
            let family = out.family("node_os_version", Gauge, "The operating system's version: major.minor.");
            out.push(family, &[("id", of("id")), ("id_like", of("id_like")), ("name", of("name"))], version);
        }
        if let Some((i, end)) = get("SUPPORT_END").filter(|(_, end)| !end.is_empty()) {
            let day = days(&end).ok_or_else(|| CollectError::line(&path, i, &end))?;
            let help = "When support of the operating system ends, in seconds since 1970.";
            out.one("node_os_support_end_timestamp_seconds", Gauge, help, (day * SECONDS_PER_DAY) as f64);
        }
        Ok(())
    }
}

/// A variable's value with the number of its line, without quotes; the last one holds. The file is written as for a
/// shell, without expansions.
fn variable(text: &str, key: &str) -> Option<(usize, String)> {
    let is_key = |line: &str| {
        let (name, value) = line.trim_start().split_once('=')?;
        (name == key).then(|| unquote(value.trim()))
    };
    text.lines().enumerate().filter_map(|(i, line)| Some((i, is_key(line)?))).last()
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            let inner = inner.strip_suffix(quote).unwrap_or(inner);
            return if quote == '"' { unescape(inner) } else { inner.to_owned() };
        }
    }
    unescape(value)
}

fn unescape(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

/// The number that a version begins with: digits, and a point with digits.
fn number(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(version);
    let minor =
        version.get(major..).and_then(|rest| rest.strip_prefix('.')).map_or(0, |rest| 1 + digits(rest));
    version.get(..major + minor).filter(|_| major > 0)?.trim_end_matches('.').parse().ok()
}

/// Days since 1970 at `YYYY-MM-DD`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    valid.then(|| zone::days_to(year, month) + day - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: values bare, quoted, escaped, twice, in comments.
    /// Guarantees: what a shell would give.
    #[test]
    fn variables() {
        let text = "# A=0\nA=1\nA=2\nB=\"a \\\"b\\\" \\$c\"\n C='d \\e'\nD=\nE=\"open\nAA=3\n";
        for (key, value) in [
            ("A", Some((2, "2"))),
            ("B", Some((3, "a \"b\" $c"))),
            ("C", Some((4, "d \\e"))),
            ("D", Some((5, ""))),
            ("E", Some((6, "open"))),
            ("F", None),
        ] {
            assert_eq!(variable(text, key), value.map(|(line, value)| (line, value.to_owned())), "{key}");
        }
    }

    /// Scenario: versions and dates, good and bad.
    /// Guarantees: node_exporter's numbers; days of the calendar.
    #[test]
    fn numbers() {
        for (version, value) in [
            ("24.04.1", Some(24.04)),
            ("12", Some(12.0)),
            ("7.", Some(7.0)),
            ("rolling", None),
            ("", None),
            (".5", None),
        ] {
            assert_eq!(number(version), value, "{version}");
        }
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2026-05-31"), Some(20_604));
        for bad in ["", "2026", "2026-13-01", "2026-05-00", "99999999999999-01-01", "x-1-1"] {
            assert_eq!(days(bad), None, "{bad}");
        }
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "(A=?[\"'\\\\]?\\PC{0,9}[\"'\\\\]?\n?){0,4}", date in "\\PC{0,5}-?[0-9]{0,20}-?[0-9]{0,3}") {
            let _any = variable(&text, "A");
            let _any = (number(&text), days(&date));
        }
    }
}
