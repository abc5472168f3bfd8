//! The systemd journal, from its own files: a container has neither journalctl nor libsystemd, a journalctl of another
//! release than the host's may not know its files, and what is read in place needs no process beside ours. The format is
//! documented and only ever extended with flags, of which unknown ones are refused.
//!
//! ```text
//! folders -> follow: format (entries, fields) -> said -> chunks -> Event::Logs
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`format`] | the bytes on disk |
//! | [`said`] | what an entry says: message, time, labels, metadata |
//! | [`chunks`] | lines into chunks with spans |
//! | [`follow`] | which file is read next; rotation, damage |
//!
//! **Once and only once.** A file is known by the id in its header, which it keeps when it is rotated, and a position is
//! that of an entry in it, which only grows: spans and checkpoints are those of any file. The journal is mapped into
//! memory by its writer, which the kernel tells nobody about: so headers are looked at once a second, and folders when
//! their time of change is another one.
//!
//! **Not twice.** What a syslog daemon writes to files it has from the journal. Where [`super::Config::host`] has such
//! files, they are read and the journal is not; `logs.host: null` says the opposite. When journald moves /run/log/journal
//! to /var/log/journal at boot it writes all entries anew: an agent begins after systemd-journal-flush.service.

mod chunks;
mod follow;
mod format;
#[cfg(test)]
mod fuzzing;
mod said;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub(super) use self::follow::part;
use self::follow::{Follow, Settings};
use super::{Begin, HOST_FILES, LogsError, LogsStats, Memory};
use crate::context::Context;

/// Between two looks at the headers.
const PACE: Duration = Duration::from_secs(1);

/// Section `logs.journal`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders of journals: of machines' folders MACHINE_ID, and of files; `null` for none. They may appear later.
    pub folders: Option<Vec<PathBuf>>,
    /// Units (`sshd.service`) whose entries are read; empty: all entries, also those of no unit, as of the kernel.
    pub units: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { folders: Some(vec!["/var/log/journal".into(), "/run/log/journal".into()]), units: Vec::new() }
    }
}

/// Reads the journal until the context says stop.
///
/// # Errors
/// None of a file: what cannot be read is counted and told.
pub async fn run(
    config: super::Config,
    ctx: Context,
    memory: Memory,
    stats: Arc<LogsStats>,
) -> Result<(), LogsError> {
    let Some(folders) = config.journal.folders.clone() else { return idle(&ctx).await };
    let (checkpoints, files) = part(&memory.checkpoints);
    let settings = Settings {
        folders,
        units: config.journal.units.clone(),
        max_line: config.max_line.0 as usize,
        linger: config.linger.0,
        rescan: config.rescan.0,
        skip_existing: config.from == Begin::End && checkpoints.is_empty() && files.is_empty(),
        checkpoints,
    };
    let mut follow = Follow::new(settings, stats);
    loop {
        if let Some(file) = config.host.as_deref().and_then(syslog) {
            tracing::info!(file = %file.display(), "the journal is not read, as the files that a syslog daemon makes of it are (logs.host)");
            return idle(&ctx).await;
        }
        let (events, stop) = (ctx.events.clone(), ctx.shutdown.clone());
        let round = tokio::task::spawn_blocking(move || {
            let more = follow.round(&stop, &mut |event| events.blocking_send(event).is_ok());
            (follow, more)
        });
        let more;
        (follow, more) = round.await?;
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            () = ctx.events.closed() => return Ok(()),
            () = tokio::time::sleep(if more { Duration::ZERO } else { PACE }) => {}
        }
    }
}

/// There is nothing to read.
async fn idle(ctx: &Context) -> Result<(), LogsError> {
    ctx.shutdown.cancelled().await;
    Ok(())
}

/// A file that a syslog daemon writes to or wrote to before it was rotated.
fn syslog(folder: &Path) -> Option<PathBuf> {
    let names = HOST_FILES.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.1"))]);
    names.into_iter().find(|path| path.exists())
}

#[cfg(test)]
mod tests;
