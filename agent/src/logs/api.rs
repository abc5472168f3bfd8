//! The small types that the rooms of the log source share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ao_proto::model::Labels;
use serde::Deserialize;

use crate::event::PodRef;

/// Number of what is wanted of the pods.
pub(super) const PODS: usize = 0;

/// Of containers on a plain Docker host.
pub(super) const DOCKER: usize = 1;

/// Of the host's syslog daemon.
pub(super) const HOST: usize = 2;

/// Files of syslog daemons, as Debian's and Red Hat's configurations have them.
pub(super) const HOST_FILES: [&str; 5] = ["syslog", "messages", "auth.log", "secure", "kern.log"];

/// Of the first of the configured files; the others' follow.
pub(super) const FILES: usize = 3;

/// Which of a container's outputs; a plain file has one, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// What a line of any format says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub stream: Stream,
    /// Nanoseconds since 1970.
    pub at_ns: i64,
    pub text: &'a [u8],
    /// The next record of the same stream goes on where this one ends.
    pub partial: bool,
    /// What its head says: structured metadata.
    pub fields: &'a [(&'static str, &'a str)],
}

/// How the lines of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As its first line is: one of the following.
    #[default]
    Auto,
    /// What container runtimes write for the kubelet.
    Cri,
    /// Docker's `json-file`.
    Docker,
    /// A syslog daemon's, with or without a year.
    Syslog,
    /// Just text.
    Plain,
}

/// Where lines come from: what all files that a name has stood for, one after the other, have in common.
#[derive(Debug)]
pub(super) struct Origin {
    pub format: Format,
    /// Labels by stream.
    pub labels: [Labels; 2],
    /// Structured metadata of all lines.
    pub shared: Labels,
    pub pod: Option<PodRef>,
}

/// What the log source has done since it started: counters, but for `files_open` and `files_followed`.
#[derive(Debug, Default)]
pub struct LogsStats {
    /// Lines handed over.
    pub lines: AtomicU64,
    /// Bytes of files handed over, line ends and format heads included.
    pub bytes: AtomicU64,
    /// Files that are followed now.
    pub files_followed: AtomicU64,
    /// Files that are held open now.
    pub files_open: AtomicU64,
    /// Files that were begun.
    pub files_found: AtomicU64,
    /// Files whose name was given to another file.
    pub rotated: AtomicU64,
    /// Files that were emptied in place.
    pub truncated: AtomicU64,
    /// Rotated files and copies of emptied ones that were read on from where reading had come.
    pub adopted: AtomicU64,
    /// Files that are gone and were read to their end.
    pub finished: AtomicU64,
    /// Files that went while they were not held open, their last bytes possibly unread.
    pub abandoned: AtomicU64,
    /// Bytes of such files, and of emptied ones, that were seen and not read.
    pub unread_bytes: AtomicU64,
    /// Cuts within lines longer than `max_line`: each makes one line more, no byte is lost.
    pub cuts: AtomicU64,
    /// Partial lines whose rest did not come in time, handed over as lines of their own.
    pub partials_split: AtomicU64,
    /// Lines with bytes that are not UTF-8; these became U+FFFD.
    pub invalid_utf8: AtomicU64,
    /// Hard links made to files that lost their names before they were stored.
    pub escrow_linked: AtomicU64,
    /// Bytes copied of such files.
    pub escrow_copied_bytes: AtomicU64,
    /// Compressed files that are cut off or damaged.
    pub damaged_packed: AtomicU64,
    /// Lines of a container log or a syslog that are not in its format; handed over as they are.
    pub malformed: AtomicU64,
    /// Entries of journals' files, and arrays of them, that are damaged and left out.
    pub journal_damaged: AtomicU64,
    /// Entries of journals' files of which a field could not be unpacked; without their message they are left out.
    pub journal_unreadable: AtomicU64,
    /// Entries that journald wrote anew to another folder, and that were read there or here already.
    pub journal_copies: AtomicU64,
    /// Pipes, sockets and devices under a name that is wanted.
    pub left_out: AtomicU64,
    /// Zeros at the beginning of files, which are not read: a file emptied under a writer that goes on behind them.
    pub zero_bytes: AtomicU64,
    /// Failures to open or read a file.
    pub read_errors: AtomicU64,
    /// Folders that could not be watched; they are looked through at each rescan instead.
    pub watch_errors: AtomicU64,
    /// Times that the kernel, or we, had more changes than could be kept: everything was looked at anew.
    pub overflows: AtomicU64,
}

impl LogsStats {
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}
