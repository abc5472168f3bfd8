//! The systemd journal, from its own files: a container has neither journalctl nor libsystemd, a journalctl of another
//! release than the host's may not know its files, and what is read in place needs no process beside ours. The format is
//! documented and only ever extended with flags, of which unknown ones are refused.
//!
//! ```text
//! folders -> follow: tracked (format, said) -> copies -> chunks -> Event::Logs
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`mod@format`] | the bytes on disk |
//! | [`said`] | what an entry says: message, time, labels, metadata |
//! | [`chunks`] | lines into chunks with spans |
//! | [`copies`] | entries that journald moved from memory to disk |
//! | [`tracked`] | one file, a part at a time; damage |
//! | [`follow`] | which file is read next; rotation |
//!
//! **Once and only once.** A file is known by the id in its header, which it keeps when it is rotated, and a position is
//! that of an entry in it, which only grows: spans and checkpoints are those of any file. The journal is mapped into
//! memory by its writer, which the kernel tells nobody about: so headers are looked at once a second, and folders when
//! their time of change is another one.
//!
//! **Not twice.** What a syslog daemon writes to files it has from the journal. Where [`super::Config::host`] has such
//! files, written to in the last two days, they are read and the journal is not; `logs.host: null` says the opposite.
//!
//! **Packed fields** are read where they are packed with zstd (journald's choice since 246) or lz4 (since 216, where it was built
//! with that). Older ones, and builds without lz4, pack with xz: such fields are left out and counted, as
//! `ao_logs_journal_unreadable_total`. Only fields of more than half a KiB are packed at all, so that most lines of such a
//! host come; the rest are not worth a third decoder, which hardly any host that still runs would need.

mod chunks;
mod copies;
mod follow;
mod format;
pub(super) mod fuzzing;
mod said;
mod tracked;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ao_common::clock::now_ns;
use ao_common::units::Span;
use serde::Deserialize;
use tokio::task::JoinError;

use self::follow::Follow;
pub(super) use self::follow::{Settings, part};
use super::api::{HOST_FILES, LogsStats};
use crate::context::Context;

/// Between two looks at the headers of files.
const PACE: Duration = Duration::from_secs(1);
/// A syslog daemon that has written nothing for so long is none any more: a host that was upgraded keeps its files.
const STALE: Duration = Duration::from_secs(2 * 24 * 3600);

/// Section `logs.journal`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders of journals: of machines' folders MACHINE_ID, and of files; `null` for none. They may appear later.
    pub folders: Option<Vec<PathBuf>>,
    /// Units (`sshd.service`) whose entries are read; empty: all entries, also those of no unit, as of the kernel.
    pub units: Vec<String>,
    /// Entries that were older at the very first start are not read; `null`: all are.
    pub max_age: Option<Span>,
    /// Labels of its lines; `job` is `systemd-journal` unless it is among them.
    pub labels: BTreeMap<String, String>,
    /// Labels, and the fields of an entry that they are (systemd.journal-fields(7)); few values each.
    pub fields: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        let folders = ["/var/log/journal", "/run/log/journal"];
        let fields = [("unit", "_SYSTEMD_UNIT"), ("transport", "_TRANSPORT")];
        Self {
            folders: Some(folders.map(PathBuf::from).to_vec()),
            units: Vec::new(),
            max_age: Some(Span::secs(7 * 3600)),
            labels: BTreeMap::new(),
            fields: fields.map(|(label, field)| (label.to_owned(), field.to_owned())).into(),
        }
    }
}

/// Reads the journal until the context says stop; not while a syslog daemon writes files to the folder `host`.
///
/// # Errors
/// None of a file: what cannot be read is counted and told.
pub(super) async fn run(
    settings: Settings,
    host: Option<&Path>,
    ctx: &Context,
    stats: Arc<LogsStats>,
) -> Result<(), JoinError> {
    // Where there is nothing that could be written to, nothing is missed by looking as seldom as for what was kept from us.
    let seldom = settings.rescan.max(PACE);
    let mut follow = Follow::new(settings, stats);
    loop {
        if let Some(file) = host.and_then(syslog) {
            tracing::info!(file = %file.display(), "the journal is not read, as the files that a syslog daemon makes of it are (logs.host)");
            return idle(ctx).await;
        }
        let (events, stop) = (ctx.events.clone(), ctx.shutdown.clone());
        let round = tokio::task::spawn_blocking(move || {
            let more = follow.round(&stop, &mut |event| events.blocking_send(event).is_ok());
            (follow, more)
        });
        let more;
        (follow, more) = round.await?;
        let pace = match more {
            true => Duration::ZERO,
            false if follow.is_empty() => seldom,
            false => PACE,
        };
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            () = ctx.events.closed() => return Ok(()),
            () = tokio::time::sleep(pace) => {}
        }
    }
}

/// There is nothing to read.
async fn idle(ctx: &Context) -> Result<(), JoinError> {
    ctx.shutdown.cancelled().await;
    Ok(())
}

/// A file that a syslog daemon writes to, or wrote to before it was rotated.
fn syslog(folder: &Path) -> Option<PathBuf> {
    let is_live = |path: &PathBuf| {
        let written = std::fs::metadata(path).and_then(|meta| meta.modified());
        let written = written.ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let now = Duration::from_nanos(u64::try_from(now_ns()).unwrap_or_default());
        written.is_some_and(|at| at + STALE > now)
    };
    let names = HOST_FILES.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.1"))]);
    names.into_iter().find(is_live)
}

#[cfg(test)]
mod tests;
