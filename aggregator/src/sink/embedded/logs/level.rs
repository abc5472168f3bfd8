//! The severity of a line: what its labels or metadata say, else the first word of its head that names one.

use ao_proto::logs::Pair;
use ao_proto::model::Labels;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Could not be told.
    Unknown,
    /// Debug and trace.
    Debug,
    /// Info and notice.
    Info,
    /// Warning.
    Warn,
    /// Error and anything above it.
    Error,
}

/// Names under which a level comes as label or metadata; `PRIORITY` is journald's.
const NAMES: [&str; 6] = ["level", "detected_level", "severity", "severity_text", "priority", "PRIORITY"];
/// How far into a line its level is looked for.
const HEAD_BYTES: usize = 160;

impl Level {
    /// The level of a line.
    pub fn of(labels: &Labels, metadata: &[Pair], text: &str) -> Self {
        let told = NAMES.iter().find_map(|name| {
            let label = labels.get(name);
            label.or_else(|| metadata.iter().find(|(n, _)| &**n == *name).map(|(_, v)| &**v))
        });
        told.and_then(Self::named).unwrap_or_else(|| Self::in_text(text))
    }

    /// A level by any of its usual names, or by its syslog number (RFC 5424 section 6.2.1).
    pub fn named(word: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        if is(&[
            "error", "err", "fatal", "critical", "crit", "alert", "emerg", "panic", "e", "0", "1", "2", "3",
        ]) {
            Some(Self::Error)
        } else if is(&["warn", "warning", "w", "4"]) {
            Some(Self::Warn)
        } else if is(&["info", "information", "notice", "i", "5", "6"]) {
            Some(Self::Info)
        } else if is(&["debug", "trace", "dbg", "d", "7"]) {
            Some(Self::Debug)
        } else {
            None
        }
    }

    /// The first word that is a level written as levels are: in capitals, or after `level=`, `"level":`, `[`, `<`.
    fn in_text(text: &str) -> Self {
        let head = &text.as_bytes()[..text.len().min(HEAD_BYTES)];
        let mut start = 0;
        while start < head.len() {
            if !head[start].is_ascii_alphabetic() {
                start += 1;
                continue;
            }
            let len = head[start..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
            let word = &head[start..start + len];
            let before = if start == 0 { b' ' } else { head[start - 1] };
            let capitals = word.iter().all(u8::is_ascii_uppercase);
            let marked = matches!(before, b'=' | b'"' | b'[' | b'<');
            let prefix = head.get(start + len) == Some(&b':');
            if len > 2 && (capitals || marked || prefix) {
                let level = std::str::from_utf8(word).ok().and_then(Self::named);
                if let Some(level) = level {
                    return level;
                }
            }
            start += len;
        }
        Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: heads of lines as the usual loggers write them, and lines that only mention a level.
    /// Guarantees: the level is the logger's; a word in the prose is none.
    #[test]
    fn of_lines() {
        for (line, expect) in [
            ("2026-11-22T10:00:00Z  WARN ao_agent: disk is slow", Level::Warn),
            ("ts=2026-11-22 level=error msg=\"no route\"", Level::Error),
            ("{\"time\":\"x\",\"level\":\"info\",\"msg\":\"ready\"}", Level::Info),
            ("[debug] cache miss", Level::Debug),
            ("kernel: error: bad block", Level::Error),
            ("2026/11/22 10:00:00 [error] 7#7: *1 open() failed", Level::Error),
            ("user asked about an error in the report", Level::Unknown),
            ("", Level::Unknown),
            ("\u{1f600} INFO caf\u{e9}", Level::Info),
        ] {
            assert_eq!(Level::of(&Labels::default(), &[], line), expect, "{line}");
        }
    }

    /// Scenario: journald's PRIORITY as metadata, and a label `level` that says another thing than the text.
    /// Guarantees: what was told beats what was guessed.
    #[test]
    fn told_before_guessed() {
        let told: Pair = ("PRIORITY".into(), "3".into());
        assert_eq!(Level::of(&Labels::default(), &[told], "INFO all well"), Level::Error);
        let labels = Labels::from_pairs([("level", "warn")]);
        assert_eq!(Level::of(&labels, &[], "INFO all well"), Level::Warn);
    }
}
