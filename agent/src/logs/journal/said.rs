//! What an entry says: its message, and those of its other fields that labels and structured metadata are made of
//! (systemd.journal-fields(7)).

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{self, Bad, Entry, Head, ReadAt};
use crate::severity::Level;

/// Names of fields, and what they are called as structured metadata.
const DESCRIBING: [(&str, &str); 10] = [
    ("_HOSTNAME", "hostname"),
    ("SYSLOG_IDENTIFIER", "app"),
    ("_PID", "pid"),
    ("_COMM", "comm"),
    ("_UID", "uid"),
    ("_BOOT_ID", "boot_id"),
    ("_SYSTEMD_USER_UNIT", "user_unit"),
    ("CONTAINER_NAME", "container_name"),
    ("CONTAINER_ID_FULL", "container_id"),
    ("MESSAGE_ID", "message_id"),
];

/// Those that differ from entry to entry, and are not remembered.
const MESSAGE: &str = "MESSAGE";
const SOURCE_TIME: &str = "_SOURCE_REALTIME_TIMESTAMP";
const PRIORITY: &str = "PRIORITY";
const UNIT: &str = "_SYSTEMD_UNIT";
const TRANSPORT: &str = "_TRANSPORT";
const OTHERS: [&str; 5] = [MESSAGE, SOURCE_TIME, PRIORITY, UNIT, TRANSPORT];

/// Fields remembered of a file: entries name the same ones again and again.
const REMEMBERED: usize = 4_096;
/// Longest value of a field that is no message; the rest of it is left out.
const LONGEST: usize = 1_024;
/// How far before its entry, and behind it, a message's own time may lie, microseconds: programs that were held up, and
/// not clocks that were wrong.
const BEFORE_US: u64 = 3_600_000_000;
const BEHIND_US: u64 = 1_000_000;

/// An entry as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Nanoseconds since 1970.
    pub at_ns: i64,
    pub message: Option<Vec<u8>>,
    /// Why there is no message, or less of the other fields than there was.
    pub unread: Option<String>,
    pub unit: Option<Arc<str>>,
    pub transport: Option<Arc<str>>,
    pub level: Option<Level>,
    /// Structured metadata.
    pub metadata: Vec<(&'static str, Arc<str>)>,
}

/// Fields by where they lie; `None`: of no use.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<u64, Option<(&'static str, Arc<str>)>>);

impl Fields {
    /// All that an entry says.
    ///
    /// # Errors
    /// The file cannot be read. What is damaged or not readable alone is left out, and said in [`Said::unread`].
    pub(super) fn said(&mut self, file: &impl ReadAt, head: &Head, entry: &Entry) -> Result<Said, Bad> {
        let mut said = Said::default();
        let mut times = (entry.at_us, None);
        let mut priority = None;
        for &at in &entry.data {
            let field = match self.0.get(&at) {
                Some(known) => known.clone(),
                None => match format::field(file, head, at, &|name| known(name).is_some()) {
                    Ok(None) => self.remember(at, None),
                    Ok(Some(payload)) => self.take(at, payload, &mut said),
                    Err(Bad::Io(error)) => return Err(Bad::Io(error)),
                    Err(bad) => {
                        said.unread = Some(bad.to_string());
                        None
                    }
                },
            };
            let Some((name, value)) = field else { continue };
            match name {
                SOURCE_TIME => times.1 = value.parse().ok(),
                PRIORITY => priority = value.parse::<u8>().ok(),
                UNIT => said.unit = Some(value),
                TRANSPORT => said.transport = Some(value),
                name if said.metadata.iter().all(|(known, _)| *known != name) => {
                    said.metadata.push((name, value));
                }
                _ => {}
            }
        }
        said.at_ns = nanos(times);
        said.level = level(priority, said.transport.as_deref());
        // A hash of its fields, and so their order, is by chance.
        said.metadata.sort_unstable();
        Ok(said)
    }

    /// A field that was read. The message goes to where it is wanted.
    fn take(&mut self, at: u64, payload: Vec<u8>, said: &mut Said) -> Option<(&'static str, Arc<str>)> {
        let end = memchr::memchr(b'=', &payload)?;
        let name = known(&payload[..end])?;
        if name == MESSAGE {
            let mut message = payload;
            message.drain(..=end);
            said.message.get_or_insert(message);
            return None;
        }
        let text = String::from_utf8_lossy(&payload[end + 1..]);
        let value: Arc<str> = text[..text.floor_char_boundary(LONGEST)].into();
        if name == SOURCE_TIME { Some((name, value)) } else { self.remember(at, Some((name, value))) }
    }

    fn remember(
        &mut self,
        at: u64,
        field: Option<(&'static str, Arc<str>)>,
    ) -> Option<(&'static str, Arc<str>)> {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(at, field.clone());
        field
    }
}

/// What a field's name means here: its own name, or that of the metadata which it becomes.
fn known(name: &[u8]) -> Option<&'static str> {
    let describing = DESCRIBING.iter().find(|(field, _)| field.as_bytes() == name);
    let other = || OTHERS.into_iter().find(|field| field.as_bytes() == name);
    describing.map(|(_, metadata)| *metadata).or_else(other)
}

/// When it was said, nanoseconds since 1970: as the program that said so has it, unless its clock was another one.
fn nanos((entry, source): (u64, Option<u64>)) -> i64 {
    let is_sane = |us: &u64| *us >= entry.saturating_sub(BEFORE_US) && *us <= entry.saturating_add(BEHIND_US);
    let us = source.filter(is_sane).unwrap_or(entry);
    i64::try_from(us).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// As syslog numbers it. What a service prints has 6 unless it says otherwise, which says nothing: its text may.
fn level(priority: Option<u8>, transport: Option<&str>) -> Option<Level> {
    match priority? {
        0..=2 => Some(Level::Critical),
        3 => Some(Level::Error),
        4 => Some(Level::Warn),
        6 if transport == Some("stdout") => None,
        5 | 6 => Some(Level::Info),
        7 => Some(Level::Debug),
        _ => None,
    }
}
