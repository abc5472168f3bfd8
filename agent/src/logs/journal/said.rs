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

const MESSAGE: &[u8] = b"MESSAGE";
const SOURCE_TIME: &[u8] = b"_SOURCE_REALTIME_TIMESTAMP";
const PRIORITY: &[u8] = b"PRIORITY";
const UNIT: &[u8] = b"_SYSTEMD_UNIT";
const TRANSPORT: &[u8] = b"_TRANSPORT";

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
    /// Values of those fields that are labels, in their order.
    pub labels: Vec<Option<Arc<str>>>,
    pub level: Option<Level>,
    /// Structured metadata.
    pub metadata: Vec<(&'static str, Arc<str>)>,
}

/// What a field is of use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    own: Option<Own>,
    /// Number of the label.
    label: Option<usize>,
    /// What it is called as structured metadata.
    metadata: Option<&'static str>,
}

/// Fields that are more than a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Message,
    SourceTime,
    Priority,
    Unit,
    Transport,
}

/// Fields of one file: those that it names again and again are remembered by where they lie.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Names of those that are labels.
    labels: Arc<[String]>,
    /// `None`: of no use.
    known: HashMap<u64, Option<(Use, Arc<str>)>>,
}

impl Fields {
    pub(super) fn new(labels: Arc<[String]>) -> Self {
        Self { labels, known: HashMap::new() }
    }

    /// All that an entry says.
    ///
    /// # Errors
    /// The file cannot be read. What is damaged or not readable alone is left out, and said in [`Said::unread`].
    pub(super) fn said(&mut self, file: &impl ReadAt, head: &Head, entry: &Entry) -> Result<Said, Bad> {
        let mut said = Said { labels: vec![None; self.labels.len()], ..Said::default() };
        let mut times = (entry.at_us, None);
        let (mut priority, mut transport) = (None, None);
        for &at in &entry.data {
            let field = match self.known.get(&at) {
                Some(known) => known.clone(),
                None => match format::field(file, head, at, &|name| self.of(name).is_some()) {
                    Ok(None) => self.remember(at, None),
                    Ok(Some(payload)) => self.take(at, payload, &mut said),
                    Err(Bad::Io(error)) => return Err(Bad::Io(error)),
                    Err(bad) => {
                        said.unread = Some(bad.to_string());
                        None
                    }
                },
            };
            let Some((of, value)) = field else { continue };
            match of.own {
                Some(Own::SourceTime) => times.1 = value.parse().ok(),
                Some(Own::Priority) => priority = value.parse::<u8>().ok(),
                Some(Own::Unit) => said.unit = Some(value.clone()),
                Some(Own::Transport) => transport = Some(value.clone()),
                Some(Own::Message) | None => {}
            }
            if let Some(label) = of.label.and_then(|number| said.labels.get_mut(number)) {
                label.get_or_insert_with(|| value.clone());
            }
            if let Some(name) = of.metadata
                && said.metadata.iter().all(|(known, _)| *known != name)
            {
                said.metadata.push((name, value));
            }
        }
        said.at_ns = nanos(times);
        said.level = level(priority, transport.as_deref());
        // A hash of its fields, and so their order, is by chance.
        said.metadata.sort_unstable();
        Ok(said)
    }

    /// A field that was read. The message goes to where it is wanted.
    fn take(&mut self, at: u64, payload: Vec<u8>, said: &mut Said) -> Option<(Use, Arc<str>)> {
        let end = memchr::memchr(b'=', &payload)?;
        let of = self.of(&payload[..end])?;
        if of.own == Some(Own::Message) {
            let mut message = payload;
            message.drain(..=end);
            said.message.get_or_insert(message);
            return None;
        }
        let text = String::from_utf8_lossy(&payload[end + 1..]);
        let value: Arc<str> = text[..text.floor_char_boundary(LONGEST)].into();
        // It differs from entry to entry.
        let is_time = of.own == Some(Own::SourceTime);
        if is_time { Some((of, value)) } else { self.remember(at, Some((of, value))) }
    }

    fn remember(&mut self, at: u64, field: Option<(Use, Arc<str>)>) -> Option<(Use, Arc<str>)> {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(at, field.clone());
        field
    }

    /// What a field of this name is of use for, if it is.
    fn of(&self, name: &[u8]) -> Option<Use> {
        let own = match name {
            MESSAGE => Some(Own::Message),
            SOURCE_TIME => Some(Own::SourceTime),
            PRIORITY => Some(Own::Priority),
            UNIT => Some(Own::Unit),
            TRANSPORT => Some(Own::Transport),
            _ => None,
        };
        let label = self.labels.iter().position(|field| field.as_bytes() == name);
        let describing = DESCRIBING.iter().find(|(field, _)| field.as_bytes() == name);
        let of = Use { own, label, metadata: describing.map(|(_, metadata)| *metadata) };
        (of != Use::default()).then_some(of)
    }
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
