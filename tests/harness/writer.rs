//! Writes log files as a kubelet does.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A container's log under a pods folder.
pub struct CriFile {
    file: File,
    at_ns: u128,
}

/// The folder of a container as the kubelet names it.
///
/// # Panics
/// Where it cannot be made.
pub fn container(pods: &Path, namespace: &str, pod: &str, uid: &str, name: &str) -> PathBuf {
    let folder = pods.join(format!("{namespace}_{pod}_{uid}")).join(name);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

impl CriFile {
    /// Appends to a file, which is made where it is not there.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub fn create(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path).expect("a log file can be made");
        Self { file, at_ns: 0 }
    }

    /// Lines `text 0`, `text 1`, ...
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn number(&mut self, text: &str, numbers: Range<u64>) {
        for chunk in numbers.clone().step_by(500) {
            let lines = chunk..numbers.end.min(chunk + 500);
            self.lines(lines.map(|n| format!("{text} {n}")));
        }
    }

    /// Lines with these texts in one write, each with a time of its own: now, or the nanosecond behind the line before.
    /// What is in a text behind a `\n` is the rest of that line, which the runtime had to write in parts.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn lines(&mut self, texts: impl Iterator<Item = String>) {
        let mut block = String::new();
        for text in texts {
            self.at_ns = now_ns().max(self.at_ns + 1);
            let at = rfc3339(self.at_ns);
            let mut parts = text.split('\n').peekable();
            while let Some(part) = parts.next() {
                let tag = if parts.peek().is_some() { 'P' } else { 'F' };
                block.push_str(&format!("{at} stdout {tag} {part}\n"));
            }
        }
        self.file.write_all(block.as_bytes()).expect("a log file can be written");
    }
}

/// Nanoseconds since 1970.
pub fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// `2026-11-22T14:00:00.000000000Z`: days to a date by Howard Hinnant's civil-from-days.
pub fn rfc3339(ns: u128) -> String {
    let (seconds, nanos) = ((ns / 1_000_000_000) as i64, ns % 1_000_000_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3_600, rest % 3_600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{nanos:09}Z")
}

/// Numbers at the ends of lines, in order.
pub fn numbers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}
