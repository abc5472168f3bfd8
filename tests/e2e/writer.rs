//! Writes log files as a kubelet and as a plain program do.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A container's log under a pods folder.
pub(crate) struct CriFile {
    file: File,
    at_ns: u128,
}

/// The folder of a container as the kubelet names it.
pub(crate) fn container(pods: &Path, namespace: &str, pod: &str, uid: &str, name: &str) -> PathBuf {
    let folder = pods.join(format!("{namespace}_{pod}_{uid}")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl CriFile {
    pub(crate) fn create(path: &Path) -> Self {
        let at_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        Self { file: File::options().create(true).append(true).open(path).unwrap(), at_ns }
    }

    /// Lines `text 0`, `text 1`, ... each with a time of its own.
    pub(crate) fn number(&mut self, text: &str, numbers: std::ops::Range<u64>) {
        let mut block = String::new();
        for n in numbers {
            self.at_ns += 1_000;
            block.push_str(&format!("{} stdout F {text} {n}\n", rfc3339(self.at_ns)));
        }
        self.file.write_all(block.as_bytes()).unwrap();
    }
}

/// `2026-11-22T14:00:00.000000000Z`: days to a date by Howard Hinnant's civil-from-days.
fn rfc3339(ns: u128) -> String {
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
pub(crate) fn numbers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}
