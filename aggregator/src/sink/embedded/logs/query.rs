//! The filter over lines: words that must occur, words that must not, and a least level.

use super::level::Level;
use super::line::Line;

/// Words of a filter that are looked at; the rest of a longer one is ignored.
const MAX_TERMS: usize = 16;

/// Compiled from what a person types: `timeout -health "connection refused"`.
#[derive(Clone, Debug, Default)]
pub struct Query {
    wanted: Vec<Vec<u8>>,
    unwanted: Vec<Vec<u8>>,
    level: Option<Level>,
}

impl Query {
    /// Words separated by blanks all must occur, in any letter case; `-word` must not; quotes hold a phrase together.
    pub fn new(text: &str, level: Option<Level>) -> Self {
        let mut query = Self { level, ..Self::default() };
        let mut rest = text.trim_start();
        while !rest.is_empty() && query.wanted.len() + query.unwanted.len() < MAX_TERMS {
            let negated = rest.len() > 1 && rest.starts_with('-');
            let from = rest.strip_prefix('-').filter(|_| negated).unwrap_or(rest);
            let (term, behind) = match from.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => from.split_once(char::is_whitespace).unwrap_or((from, "")),
            };
            rest = behind.trim_start();
            if !term.is_empty() {
                let term = term.as_bytes().to_ascii_lowercase();
                if negated { query.unwanted.push(term) } else { query.wanted.push(term) }
            }
        }
        query
    }

    /// Whether a line passes. A line whose level could not be told passes any level but the highest two.
    pub fn matches(&self, line: &Line) -> bool {
        if let Some(least) = self.level {
            let level = if line.level == Level::Unknown { Level::Info } else { line.level };
            if level < least {
                return false;
            }
        }
        let hit = |term: &Vec<u8>| contains(line.text.as_bytes(), term) || in_stream(line, term);
        self.wanted.iter().all(hit) && !self.unwanted.iter().any(hit)
    }
}

/// Label values count as well, so that a pod's or file's name finds its lines.
fn in_stream(line: &Line, term: &[u8]) -> bool {
    line.stream.iter().any(|(_, value)| contains(value.as_bytes(), term))
}

/// `needle` is in lower case and not empty.
fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let (first, upper) = (needle[0], needle[0].to_ascii_uppercase());
    let last = hay.len().saturating_sub(needle.len());
    hay.len() >= needle.len()
        && (0..=last).any(|i| {
            (hay[i] == first || hay[i] == upper) && hay[i..i + needle.len()].eq_ignore_ascii_case(needle)
        })
}
