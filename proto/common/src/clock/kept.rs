//! The anchor on disk: a process that begins again while the system's clock stands wrong goes on with the right time.
//!
//! One line: the kernel's boot id, the anchor, and the reference measured last with its error (`-` for none), in
//! nanoseconds. The anchor of another boot says nothing, since boot time began anew.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::now::look;

/// Moves below this are not worth a write.
const WORTH_NS: i64 = 100_000_000;

/// The file, and what is in it.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    boot: String,
    written: Option<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    anchor: i64,
    reference: Option<(i64, i64)>,
}

/// The anchor cannot be kept.
#[derive(Debug, Error)]
#[error("cannot keep the clock's anchor in {path}: {why}", path = .path.display())]
pub struct KeepError {
    path: PathBuf,
    why: io::Error,
}

impl Kept {
    /// Goes on with the anchor that an earlier process of this boot has left in `folder`. Blocking; before anybody
    /// asks for the time.
    pub fn restore(folder: &Path) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut kept = Self { path: folder.join("clock"), boot: boot.trim().to_owned(), written: None };
        let text = std::fs::read_to_string(&kept.path).unwrap_or_default();
        kept.written = parse(&text, &kept.boot);
        if let Some(line) = kept.written {
            look(|anchor| anchor.restore(line.anchor, line.reference));
        }
        kept
    }

    /// Whether [`Kept::save`] has something to write.
    pub fn has_moved(&self) -> bool {
        self.worth(Line::now())
    }

    /// Writes where something has moved. Blocking.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&mut self) -> Result<(), KeepError> {
        let now = Line::now();
        if !self.worth(now) {
            return Ok(());
        }
        self.write(now).map_err(|why| KeepError { path: self.path.clone(), why })?;
        self.written = Some(now);
        Ok(())
    }

    fn worth(&self, now: Line) -> bool {
        let moved = |a: i64, b: i64| a.saturating_sub(b).saturating_abs() > WORTH_NS;
        let is_other = self.written.is_none_or(|was| {
            moved(was.anchor, now.anchor)
                || match (was.reference, now.reference) {
                    (Some((was, _)), Some((now, _))) => moved(was, now),
                    (was, now) => was.is_some() != now.is_some(),
                }
        });
        is_other && !self.boot.is_empty()
    }

    fn write(&self, line: Line) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        match line.reference {
            Some((reference, error)) => {
                writeln!(file, "{} {} {reference} {error}", self.boot, line.anchor)?;
            }
            None => writeln!(file, "{} {} - -", self.boot, line.anchor)?,
        }
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)
    }
}

impl Line {
    fn now() -> Self {
        look(|anchor| Self { anchor: anchor.anchor_ns(), reference: anchor.reference() })
    }
}

/// What a line of this boot says; anything else says nothing.
fn parse(text: &str, boot: &str) -> Option<Line> {
    let mut words = text.split_whitespace();
    if words.next()? != boot {
        return None;
    }
    let anchor = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse().ok();
    Some(Line { anchor, reference: number().zip(number()) })
}

#[cfg(test)]
mod tests {
    use super::super::now::{now_ns, system_ns};
    use super::*;

    /// Scenario: lines of this boot, of another one, and broken ones.
    /// Guarantees: only the first say something.
    #[test]
    fn lines() {
        let line = |anchor, reference| Some(Line { anchor, reference });
        for (text, expect) in [
            ("b1 5 -3 10\n", line(5, Some((-3, 10)))),
            ("b1 5 - -\n", line(5, None)),
            ("b1 5", line(5, None)),
            ("b1 x - -", None),
            ("b2 5 - -", None),
            ("", None),
        ] {
            assert_eq!(parse(text, "b1"), expect, "{text:?}");
        }
    }

    /// Scenario: a process keeps its anchor; the next one of this boot begins in the same folder.
    /// Guarantees: it finds what was kept, writes nothing where nothing moved, and time goes on.
    #[test]
    fn the_next_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::restore(folder.path());
        assert_eq!(kept.written, None);
        kept.save().unwrap();
        let text = std::fs::read_to_string(folder.path().join("clock")).unwrap();
        let mut next = Kept::restore(folder.path());
        assert_eq!(next.written, kept.written);
        std::fs::remove_file(folder.path().join("clock")).unwrap();
        next.save().unwrap();
        assert!(!folder.path().join("clock").exists() && text.ends_with('\n'));
        assert!((now_ns() - system_ns()).abs() < 200_000_000);
    }
}
