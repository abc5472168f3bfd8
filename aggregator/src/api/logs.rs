//! `/api/v1/logs`: the newest lines that match, and what is new since a number.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::params::{ApiError, Params};
use crate::sink::embedded::Store;
use crate::sink::embedded::logs::{Fill, Level, Query};

/// Lines in order of their times.
#[derive(Debug, Serialize)]
pub struct Page {
    /// Ask for what is `after` this next time.
    pub newest: u64,
    /// How full the room is.
    pub fill: Fill,
    /// Labels of the streams that the lines name by number.
    pub streams: Vec<Map<String, Value>>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its number, in order of arrival.
    pub number: u64,
    /// Milliseconds.
    pub at_ms: i64,
    /// Its severity.
    pub level: Level,
    /// Number of its stream.
    pub stream: usize,
    /// The line.
    pub text: Arc<str>,
    /// Structured metadata.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Answers.
///
/// # Errors
/// Where a parameter is out of bounds.
pub fn of(store: &Store, params: &Params) -> Result<Page, ApiError> {
    let limit = params.number("limit", 200, (1, 1_000))? as usize;
    let after = params.number("after", 0, (0, u64::MAX))?;
    let level = match params.text("level") {
        "" => None,
        name => Some(
            Level::named(name)
                .ok_or_else(|| ApiError::Bad(format!("level is error, warn, info or debug, not {name:?}")))?,
        ),
    };
    let query = Query::new(params.text("q"), level);
    let ring = store.logs();
    // A number from before a restart is ahead of ours: everything is new then.
    let after = if after > ring.newest() { 0 } else { after };
    let found = ring.find(params.text("node"), &query, after, limit);
    let (newest, fill) = (ring.newest(), ring.fill());
    drop(ring);
    let object = |pairs: &mut dyn Iterator<Item = (&str, &str)>| -> Map<String, Value> {
        pairs.map(|(name, value)| (name.to_owned(), value.into())).collect()
    };
    let (mut numbers, mut streams) = (HashMap::new(), Vec::new());
    let lines = found.into_iter().map(|line| {
        let stream = *numbers.entry(Arc::as_ptr(&line.stream)).or_insert_with(|| {
            streams.push(object(&mut line.stream.iter()));
            streams.len() - 1
        });
        let shared = line.shared.iter().flat_map(|shared| shared.iter());
        Line {
            number: line.number,
            at_ms: line.at_ns / 1_000_000,
            level: line.level,
            stream,
            text: line.text.clone(),
            metadata: object(&mut shared.chain(line.metadata.iter().map(|(n, v)| (&**n, &**v)))),
        }
    });
    let lines = lines.collect();
    Ok(Page { newest, fill, streams, lines })
}
