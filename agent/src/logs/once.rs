//! Files read once, from their first line to their last, for people who look: nothing is watched and nothing kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_proto::model::Labels;

use super::api::{Format, Origin, PODS};
use super::discover::{Discover, Want};
use super::identity::Node;
use super::join::Joiner;
use super::tail::{self, Reading, Tail, Turn};
use super::watch::Inbox;
use super::{Config, LogsError, cri, origin, wants, zone};
use crate::event::{Event, LogChunk};

/// Every file that the configuration wants, in order of their names.
///
/// # Errors
/// A pattern that is none, or no inotify.
pub(crate) fn files(config: &Config) -> Result<Vec<PathBuf>, LogsError> {
    let mut found = Discover::new(wants(config)?, Arc::<Inbox>::default(), Arc::default())
        .map_err(LogsError::Watch)?
        .all();
    found.sort();
    found.dedup();
    Ok(found)
}

/// Reads one file. One that the configuration does not know is of containers where its first line is so.
///
/// # Errors
/// It cannot be opened or read.
pub(crate) fn read(config: &Config, path: &Path, each: &mut dyn FnMut(LogChunk)) -> io::Result<()> {
    let (file, meta) = tail::open(path)?;
    let Some(origin) = origin_of(config, path, &file)? else { return Ok(()) };
    let (format, stats) = (origin.format, Arc::default());
    let max_line = config.max_line.0 as usize;
    let mut joiner = Joiner::new(Arc::new(origin), max_line, Arc::clone(&stats));
    let mut reading = Reading::new(max_line, zone(config, Path::new("/")), stats);
    let mut tail = Tail::new(Node::of(&meta), path.to_path_buf(), path.into(), file, format);
    if tail.identify(true)?.is_none() {
        return Ok(());
    }
    let mut out = Vec::new();
    loop {
        let turn = tail.turn(&mut joiner, &mut reading, true, &mut out)?;
        if turn != Turn::More {
            joiner.give_up(&mut out);
        }
        for event in out.drain(..) {
            if let Event::Logs(chunk) = event {
                each(chunk);
            }
        }
        if turn != Turn::More {
            return Ok(());
        }
    }
}

fn origin_of(config: &Config, path: &Path, file: &std::fs::File) -> io::Result<Option<Origin>> {
    let is_wanted = |want: &Want| {
        want.patterns.iter().any(|p| p.matches(path)) && !want.exclude.iter().any(|p| p.matches(path))
    };
    let wanted = wants(config).ok().and_then(|wants| wants.iter().position(is_wanted));
    if let Some(want) = wanted {
        return Ok(origin(config, want, path));
    }
    let head = super::identity::Head::read(file)?;
    if head.first_line(true).is_some_and(cri::is_line) {
        return Ok(origin(config, PODS, path));
    }
    let labels = Labels::from_pairs([("filename", &*path.to_string_lossy()), ("job", "files")]);
    Ok(Some(Origin {
        format: Format::Auto,
        labels: [labels.clone(), labels],
        shared: Labels::default(),
        pod: None,
    }))
}
