//! What was found in a journal, for a person.

use std::fmt::{self, Display, Formatter};

use super::repair::{Act, Mend};
use super::report::{CursorReport, Damage, LogReport, Report, What};

/// A report with the moment that ages count from, milliseconds since 1970.
pub struct Text<'a>(pub &'a Report, pub i64);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(report, now) = self;
        let used = if report.in_use { ", open in a service" } else { "" };
        writeln!(f, "{}{used}", report.dir.display())?;
        for log in &report.logs {
            write_log(f, log, *now)?;
        }
        match report.damaged() {
            0 => writeln!(f, "no damage"),
            1 => writeln!(f, "1 damaged place"),
            more => writeln!(f, "{more} damaged places"),
        }
    }
}

fn write_log(f: &mut Formatter<'_>, log: &LogReport, now: i64) -> fmt::Result {
    write!(
        f,
        "\n{}: {}, {}, {}, {}",
        log.name,
        count(log.segments, "segment"),
        bytes(log.bytes),
        count(log.frames, "frame"),
        count(log.records, "record")
    )?;
    match (log.oldest_ms, log.newest_ms) {
        (Some(oldest), Some(newest)) => {
            writeln!(f, ", from {} to {} ago", age(now - oldest), age(now - newest))?
        }
        _ => writeln!(f)?,
    }
    for content in &log.contents {
        let (frames, records) = (count(content.frames, "frame"), count(content.records, "record"));
        let agent =
            if content.agent.is_empty() { String::new() } else { format!("agent {}, ", content.agent) };
        writeln!(f, "  {agent}{}: {frames}, {records}, {} as read", content.source, bytes(content.bytes))?;
    }
    if log.strange_frames > 0 {
        writeln!(f, "  {} that this build cannot read", count(log.strange_frames, "frame"))?;
    }
    for cursor in &log.cursors {
        write_cursor(f, cursor)?;
    }
    if log.gaps > 0 {
        writeln!(f, "  {} put away by repairs, {}", count(log.gaps, "damaged place"), bytes(log.gap_bytes))?;
    }
    if log.unfinished_bytes > 0 {
        writeln!(f, "  {} unfinished at the end, which the next start cuts", bytes(log.unfinished_bytes))?;
    }
    log.damage.iter().try_for_each(|damage| write_damage(f, damage))
}

fn write_cursor(f: &mut Formatter<'_>, cursor: &CursorReport) -> fmt::Result {
    let CursorReport { name, position: (segment, offset), .. } = cursor;
    if cursor.damaged {
        return writeln!(f, "  cursor {name}: DAMAGED, it will begin anew and send again");
    }
    write!(f, "  cursor {name}: at {segment:016x}:{offset}")?;
    if let Some((segment, offset)) = cursor.end {
        write!(f, ", ends at {segment:016x}:{offset}")?;
    }
    write!(f, ", {} ({}) to go", count(cursor.frames, "frame"), bytes(cursor.bytes))?;
    if let Some((segment, offset)) = cursor.pending {
        write!(f, ", a request up to {segment:016x}:{offset} under way")?;
    }
    writeln!(f)
}

fn write_damage(f: &mut Formatter<'_>, damage: &Damage) -> fmt::Result {
    let what = match damage.what {
        What::Frame => "a frame",
        What::Keyframe => "a keyframe",
        What::State => "the owner's state, which is made again",
        What::Unknown => "one or more records",
        What::Nothing => "no frame",
        What::Missing => "the file's end",
    };
    let (offset, file) = (damage.offset, damage.file.display());
    write!(f, "  DAMAGE: {} at {offset} of {file}: {what} lost", bytes(damage.bytes))?;
    match damage.undecodable_frames {
        0 => writeln!(f),
        frames => writeln!(f, ", and with it the keyframe of {}", count(frames, "healthy frame")),
    }
}

impl Display for Mend {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (file, offset, size) = (self.file.display(), self.offset, bytes(self.bytes));
        match self.act {
            Act::Fenced => write!(f, "{file}: {size} of damage at {offset} fenced in: readers step over it"),
            Act::Restored => {
                write!(f, "{file}: keyframe of {size} at {offset} restored from another segment")
            }
            Act::Cut => write!(f, "{file}: {size} cut from {offset} on, behind the last good record"),
            Act::SetAside => write!(f, "{file}: set aside, since none of its {size} is a record"),
            Act::Rewound => write!(f, "{file}: begins anew at the oldest frame, and sends again"),
        }
    }
}

fn count(n: u64, of: &str) -> String {
    if n == 1 { format!("1 {of}") } else { format!("{n} {of}s") }
}

fn bytes(n: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| n >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", n as f64 / *size as f64),
        None => count(n, "byte"),
    }
}

/// The two largest units; ahead of the clock is none.
fn age(ms: i64) -> String {
    let secs = ms.max(0) / 1000;
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}
