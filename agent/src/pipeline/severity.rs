//! `severity`: how severe a line is, as its structured metadata `detected_level`: trace, debug, info, warn, error or
//! critical. Not of Promtail; Loki's own names.

use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};

/// Options of the stage `severity`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The value to look at first; those of common names where left out, then the line.
    source: Option<String>,
    /// Name of the metadata.
    target: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: None, target: "detected_level".into() }
    }
}

/// Values that have it already.
const NAMES: [&str; 6] = ["level", "severity", "lvl", "loglevel", "log_level", "severity_text"];
/// `level=warn`, `"severity": "ERROR"`, `lvl: 30`.
const PAIR: &str =
    r#"(?i)(?:^|[^a-z0-9])(?:log[._]?level|level|lvl|severity(?:_text)?)"?\s*[=:]\s*"?([a-z]+|[0-9]{1,2}\b)"#;
/// A word in capitals, one in brackets, or one with a colon at the beginning; the heads of klog and of syslog.
const WORD: &str = r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|CRIT|PANIC|EMERG|ALERT)\b|\[ ?((?i:trace|debug|info|notice|warn|warning|error|err|fatal|critical|crit|panic|emerg|alert)) ?\]|^((?i:debug|info|warn|warning|error|fatal|panic))\b:|^([IWEF])[0-9]{4} [0-9]{2}:|^<([0-9]{1,3})>";

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { source, target } = option::section(section)?;
    option::label("target", &target)?;
    let (pair, word) = (option::pattern("severity", PAIR)?, option::pattern("severity", WORD)?);
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let names: &[&str] = if source.is_some() { &[] } else { &NAMES };
        let found = source.as_deref().into_iter().chain(names.iter().copied()).find_map(|name| {
            let text = entry.extracted.text(name)?;
            of_word(&text)
        });
        if let Some(level) = found.or_else(|| of_line(&entry.line, &pair, &word)) {
            entry.describe(&target, level);
        }
        Verdict::Keep
    })))
}

/// Bytes at a line's beginning that are looked at.
const LOOK: usize = 4_096;

fn of_line(line: &str, pair: &Regex, word: &Regex) -> Option<&'static str> {
    let line = &line[..line.floor_char_boundary(LOOK)];
    let named = pair.captures_iter(line).find_map(|found| of_word(&found[1]));
    named.or_else(|| {
        let found = word.captures(line)?;
        let group = |number: usize| found.get(number).map(|group| group.as_str());
        if let Some(priority) = group(5) {
            // RFC 5424: facility * 8 + severity.
            return of_syslog(priority.parse::<u8>().ok()? % 8);
        }
        of_word(group(1).or(group(2)).or(group(3)).or(group(4))?)
    })
}

fn of_syslog(severity: u8) -> Option<&'static str> {
    ["critical", "critical", "critical", "error", "warn", "info", "info", "debug"]
        .get(usize::from(severity))
        .copied()
}

fn of_word(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        // The numbers are pino's and bunyan's.
        "trace" | "trc" | "verbose" | "10" => "trace",
        "debug" | "dbg" | "d" | "20" => "debug",
        "info" | "inf" | "information" | "informational" | "notice" | "i" | "30" => "info",
        "warn" | "warning" | "wrn" | "w" | "40" => "warn",
        "error" | "err" | "eror" | "e" | "50" => "error",
        "critical" | "crit" | "fatal" | "panic" | "emerg" | "emergency" | "alert" | "f" | "60" => "critical",
        _ => return None,
    })
}
