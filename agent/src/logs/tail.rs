//! One file, from the position reached to its end, a part at a time.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ao_common::clock::now_ns;
use ao_proto::model::FileId;
use jiff::tz::TimeZone;

use super::api::{Format, LogsStats};
use super::escrow::{Care, Kept};
use super::identity::{Head, Node, Prefix};
use super::join::Joiner;
use super::lines::{Lines, Piece};
use super::unpack::Unpack;
use super::{cri, docker, plain, syslog};
use crate::event::Event;

/// Bytes read of one file before it is another one's turn.
pub(super) const TURN: usize = 64 << 10;

/// One file.
pub(super) struct Tail {
    pub node: Node,
    /// Where it was last seen.
    pub path: PathBuf,
    /// The name whose lines it holds: key of its chain.
    pub stem: Arc<Path>,
    /// Held open, unless idle while too many are.
    pub file: Option<File>,
    /// `None` before its first line is complete.
    pub id: Option<FileId>,
    /// Behind the last byte taken in.
    pub pos: u64,
    /// Its size when its end was reached.
    pub size: u64,
    /// The largest that it was seen to be, by whoever looked.
    pub seen: u64,
    pub place: Place,
    /// Waits for its turn.
    pub queued: bool,
    /// Its end was reached, so that the next file of the chain may be read.
    pub caught_up: bool,
    /// When to look at it again if nothing comes.
    pub due: Option<Instant>,
    /// It is in the list of those to look at again.
    pub armed: bool,
    /// What stands before the position is left out, which has not been said yet.
    pub skipped: bool,
    /// It is compressed; all else here speaks of what it holds.
    pub packed: bool,
    /// It is damaged: what stands behind its last line end is no whole line.
    torn: bool,
    /// It was there when the source started.
    pub existed: bool,
    /// What was done to find it again after a restart.
    pub care: Care,
    /// It was emptied in place: checkpoints speak of what it held before.
    pub rewritten: bool,
    format: Format,
    prefix: Option<Prefix>,
    unpack: Option<Box<Unpack>>,
    decoder: Decoder,
}

/// Where a file is, seen from the name whose lines it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Under that name.
    Live,
    /// Under another one: rotated.
    Aside,
    /// Nowhere that we can see.
    Gone,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more to read now.
    More,
    /// Nothing more for now.
    End,
    /// The file is not what it was, or shorter than what was read of it.
    Truncated,
}

enum Decoder {
    Cri(cri::Decoder),
    Docker(docker::Decoder),
    Syslog(syslog::Decoder),
    Plain(plain::Decoder),
}

/// What all tails share: the buffer, and the limits.
pub(super) struct Reading {
    pub max_line: usize,
    pub stats: Arc<LogsStats>,
    zone: TimeZone,
    buffer: Vec<u8>,
}

impl Reading {
    /// `zone`: of times that do not say theirs.
    pub(super) fn new(max_line: usize, zone: TimeZone, stats: Arc<LogsStats>) -> Self {
        Self { max_line, stats, zone, buffer: vec![0; TURN] }
    }
}

/// Opens a log file; never waits, whatever it is.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok((file, meta))
}

impl Tail {
    pub(super) fn new(node: Node, path: PathBuf, stem: Arc<Path>, file: File, format: Format) -> Self {
        let place = if *path == *stem { Place::Live } else { Place::Aside };
        Self {
            node,
            path,
            stem,
            file: Some(file),
            id: None,
            pos: 0,
            size: 0,
            seen: 0,
            place,
            queued: false,
            caught_up: false,
            due: None,
            armed: false,
            skipped: false,
            packed: false,
            torn: false,
            existed: false,
            care: Care::default(),
            rewritten: false,
            format,
            prefix: None,
            unpack: None,
            decoder: Decoder::of(format, &[]),
        }
    }

    /// Computes the identity, once that is possible.
    pub(super) fn identify(&mut self, ended: bool) -> io::Result<Option<(FileId, Head)>> {
        let Some(file) = &self.file else { return Ok(None) };
        let head = Head::read(file)?;
        let Some(first) = head.first_line(ended) else { return Ok(None) };
        let id = self.node.id(first);
        self.is(id, first, self.pos);
        Ok(Some((id, head)))
    }

    /// It is the file `id`, which begins with `first`, and was read up to `pos`.
    pub(super) fn is(&mut self, id: FileId, first: &[u8], pos: u64) {
        self.id = Some(id);
        self.prefix = Some(Prefix::new(first));
        self.decoder = Decoder::of(self.format, first);
        self.pos = pos;
    }

    /// Its size now; 0 if it is not open.
    pub(super) fn size_now(&self) -> io::Result<u64> {
        if self.packed {
            return Ok(self.size);
        }
        self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|m| m.len()))
    }

    /// What is read is its copy in escrow.
    pub(super) fn is_copied(&self) -> bool {
        self.place == Place::Gone && self.care.kept == Some(Kept::Copy)
    }

    /// Lets go the file; it is opened again when there is something to read.
    pub(super) fn close(&mut self) -> bool {
        self.unpack = None;
        self.file.take().is_some()
    }

    /// Whether it can be opened again.
    pub(super) fn may_close(&self) -> bool {
        self.place == Place::Live || self.care.kept == Some(Kept::Link)
    }

    /// Leaves out what is there: goes on behind its last line end.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut end = file.metadata()?.len();
        let mut part = [0; 4096];
        while end > 0 {
            let from = end.saturating_sub(part.len() as u64);
            let part = &mut part[..(end - from) as usize];
            file.read_exact_at(part, from)?;
            if let Some(at) = memchr::memrchr(b'\n', part) {
                self.pos = from + at as u64 + 1;
                return Ok(());
            }
            end = from;
        }
        Ok(())
    }

    /// Leaves out a hole at the beginning: who empties a file under a writer that does not append gets one.
    pub(super) fn skip_hole(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut part = [0; 4096];
        if file.read_at(&mut part[..1], 0)? == 0 || part[0] != 0 {
            return Ok(());
        }
        let mut at = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(0)) {
            Ok(at) => at,
            // Nothing but a hole (lseek(2), SEEK_DATA): not to be read, it may be as large as a file can be.
            Err(rustix::io::Errno::NXIO) => {
                self.pos = file.metadata()?.len();
                return Ok(());
            }
            Err(_) => 0,
        };
        loop {
            let read = file.read_at(&mut part, at)?;
            let zeros = part[..read].iter().take_while(|b| **b == 0).count();
            at += zeros as u64;
            if zeros < read || read == 0 {
                self.pos = at;
                return Ok(());
            }
        }
    }

    /// Begins anew with what the file holds now. Gives the identity that is no more.
    pub(super) fn restart(&mut self) -> Option<FileId> {
        self.pos = 0;
        self.size = 0;
        self.seen = 0;
        self.prefix = None;
        self.rewritten = true;
        self.skipped = false;
        self.id.take()
    }

    /// Reads on. The identity must be known. `ended`: the file will not grow any more.
    ///
    /// # Errors
    /// The file cannot be read; nothing was taken in then.
    pub(super) fn turn(
        &mut self,
        joiner: &mut Joiner,
        reading: &mut Reading,
        ended: bool,
        out: &mut Vec<Event>,
    ) -> io::Result<Turn> {
        let (Some(file), Some(id)) = (&self.file, self.id) else { return Ok(Turn::End) };
        if let Some(prefix) = self.prefix.as_ref().filter(|_| !self.packed)
            && !prefix.holds(file)?
        {
            return Ok(Turn::Truncated);
        }
        // The head of a CRI line counts beside its text.
        let max = match self.decoder {
            Decoder::Cri(_) => reading.max_line + cri::HEAD,
            Decoder::Docker(_) => reading.max_line.max(docker::LINE),
            _ => reading.max_line,
        };
        if self.packed && self.unpack.is_none() {
            self.unpack = Some(Box::new(Unpack::new(file)?));
        }
        if std::mem::take(&mut self.skipped) {
            joiner.mark(id, self.pos, out);
        }
        // Asked before it is read, the size spares the read that finds nothing more. What comes later is told to us.
        let size = if self.packed { None } else { Some(file.metadata()?.len()) };
        let mut want = TURN;
        loop {
            let there = size.map_or(u64::MAX, |size| size.saturating_sub(self.pos));
            let part = usize::try_from(there).unwrap_or(want).min(want);
            let read = fill(file, self.unpack.as_deref_mut(), &mut reading.buffer, part, self.pos)?;
            let bytes = &reading.buffer[..read];
            let at_end = read < part || read as u64 == there;
            joiner.begin(id, self.pos, out);
            let now = now_ns();
            let before = self.pos;
            for piece in Lines::new(bytes, max, ended && at_end && !self.torn) {
                self.decoder.take_in(&piece, (now, &reading.zone), joiner, &reading.stats, out);
                self.pos += piece.raw as u64;
            }
            joiner.flush(out);
            if at_end {
                self.size = match (&mut self.unpack, size) {
                    (None, Some(size)) if read == part => size,
                    (None, _) => file.metadata()?.len(),
                    (Some(unpack), _) => {
                        if let Some(error) = unpack.damage() {
                            self.torn = true;
                            LogsStats::add(&reading.stats.damaged_packed, 1);
                            let path = self.path.display();
                            tracing::warn!(%path, %error, "a compressed log is read up to where it is damaged");
                        }
                        unpack.size().unwrap_or(self.pos)
                    }
                };
                return Ok(if self.size < self.pos { Turn::Truncated } else { Turn::End });
            }
            if self.pos > before {
                return Ok(Turn::More);
            }
            // A line longer than the buffer; at `max` it is cut, so that this ends.
            want *= 2;
        }
    }
}

/// Reads up to `want` bytes; fewer only at the end of the file. The buffer is as large as the longest line needs.
fn fill(
    file: &File,
    unpack: Option<&mut Unpack>,
    buffer: &mut Vec<u8>,
    want: usize,
    at: u64,
) -> io::Result<usize> {
    if buffer.len() < want {
        buffer.resize(want, 0);
    }
    if let Some(unpack) = unpack {
        return unpack.read_at(&mut buffer[..want], at);
    }
    let mut have = 0;
    while have < want {
        match file.read_at(&mut buffer[have..want], at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(have)
}

impl Decoder {
    /// For a file that begins with `first`.
    fn of(format: Format, first: &[u8]) -> Self {
        let line = first.trim_ascii_end();
        match format {
            Format::Docker => Self::Docker(docker::Decoder::default()),
            // A pod's log may be a link to the runtime's own file.
            Format::Auto | Format::Cri if docker::is_line(line) => Self::Docker(docker::Decoder::default()),
            Format::Cri => Self::Cri(cri::Decoder::default()),
            Format::Auto if cri::is_line(line) => Self::Cri(cri::Decoder::default()),
            Format::Syslog => Self::Syslog(syslog::Decoder::default()),
            Format::Auto if syslog::is_line(line) => Self::Syslog(syslog::Decoder::default()),
            Format::Auto | Format::Plain => Self::Plain(plain::Decoder::default()),
        }
    }

    fn take_in(
        &mut self,
        piece: &Piece<'_>,
        (now, zone): (i64, &TimeZone),
        joiner: &mut Joiner,
        stats: &LogsStats,
        out: &mut Vec<Event>,
    ) {
        if piece.cut {
            LogsStats::add(&stats.cuts, 1);
        }
        let mut fields = [("", ""); 3];
        let (record, good) = match self {
            Self::Plain(plain) => (plain.record(piece, now), true),
            Self::Cri(cri) => cri.record(piece, now),
            Self::Docker(docker) => docker.record(piece, now),
            Self::Syslog(syslog) => syslog.record(piece, now, zone, &mut fields),
        };
        if !good {
            LogsStats::add(&stats.malformed, 1);
        }
        joiner.record(&record, piece.raw, out);
    }
}
