//! `multiline`: the lines of a block, such as a stack trace, become one.
//!
//! A block is begun by a line that the expression matches, and ended by the next one, by [`Config::max_lines`], or when
//! nothing came for [`Config::max_wait_time`]. Streams are told apart by their labels. Lines before the first block go
//! on as they are.

use std::collections::HashMap;

use ao_common::units::Span;
use ao_proto::model::Labels;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;
use tokio::time::Instant;

use super::api::{Entry, Out, Place, Stage};
use super::option::{self, Built, Site};

/// Options of the stage `multiline`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Matches the first line of a block.
    firstline: String,
    /// How long a block waits for its next line.
    #[serde(default = "three_seconds")]
    max_wait_time: Span,
    /// Lines of a block at most.
    #[serde(default = "most_lines")]
    max_lines: usize,
}

fn three_seconds() -> Span {
    Span::secs(3)
}

fn most_lines() -> usize {
    128
}

/// Bytes of a block at most, however long its lines are: what a frame may hold.
const MOST_BYTES: usize = 1 << 20;

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let config: Config = option::section(section)?;
    let first = option::pattern("firstline", &config.firstline)?;
    Ok(Box::new(Multiline { first, config, open: HashMap::new() }))
}

struct Multiline {
    first: regex::Regex,
    config: Config,
    open: HashMap<Labels, Block>,
}

/// A block that may go on. One that was long enough leaves, and what follows is a block again.
struct Block {
    entry: Option<Entry>,
    lines: usize,
    due: Instant,
}

impl Multiline {
    fn take(&mut self, entry: Entry, out: &mut Out) {
        let due = out.now + self.config.max_wait_time.0;
        let is_first = self.first.is_match(&entry.line);
        let block = match self.open.get_mut(&entry.labels) {
            Some(block) => block,
            None if is_first => {
                self.open.entry(entry.labels.clone()).or_insert(Block { entry: None, lines: 0, due })
            }
            None => return out.entries.push(entry),
        };
        if is_first {
            out.entries.extend(block.entry.take());
        }
        match &mut block.entry {
            None => (block.entry, block.lines) = (Some(entry), 1),
            Some(first) => {
                first.line.push('\n');
                first.line.push_str(&entry.line);
                first.note(&entry);
                block.lines += 1;
            }
        }
        block.due = due;
        let is_long = |entry: &Entry| entry.line.len() >= MOST_BYTES;
        if block.lines >= self.config.max_lines || block.entry.as_ref().is_some_and(is_long) {
            out.entries.extend(block.entry.take());
        }
    }
}

impl Stage for Multiline {
    fn pass(&mut self, out: &mut Out) {
        for entry in std::mem::take(&mut out.entries) {
            self.take(entry, out);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().map(|block| block.due).min()
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        let ended = self.open.extract_if(|_, block| now.is_none_or(|now| block.due <= now));
        let mut ended: Vec<_> = ended.filter_map(|(_, block)| block.entry).collect();
        ended.sort_by_key(|entry| entry.place.end);
        out.entries.extend(ended);
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        let entries = self.open.values().filter_map(|block| block.entry.as_ref());
        entries.flat_map(Entry::places).for_each(each);
    }
}
