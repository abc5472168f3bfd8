//! What a stage is: the trait, and what it works on. Imports no sibling.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use ao_proto::limits::{MAX_LABEL_VALUE_BYTES, MAX_LABELS};
use ao_proto::model::{FileId, Labels};
use tokio::time::Instant;

/// Works on lines, in order. Holds some back where it must see what follows.
pub(crate) trait Stage: Send {
    /// Works on the lines of `out`: what can go on stays there.
    fn pass(&mut self, out: &mut Out);

    /// When something that is held back is due.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Puts out what is due at this time; everything where there is none.
    fn release(&mut self, _now: Option<Instant>, _out: &mut Out) {}

    /// Calls `each` with every place whose lines are held back.
    fn held(&self, _each: &mut dyn FnMut(&Place)) {}
}

/// A line on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The text.
    pub(crate) line: String,
    /// Nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// The stream's labels.
    pub(crate) labels: Labels,
    /// Structured metadata of all lines of its stream.
    pub(crate) shared: Labels,
    /// Structured metadata.
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    /// What stages made of it.
    pub(crate) extracted: Extracted,
    /// Where it was read; of joined lines the first.
    pub(crate) place: Place,
    /// Where the others of joined lines were read.
    pub(crate) joined: Vec<Place>,
}

impl Entry {
    /// A line of no file.
    #[cfg(test)]
    pub(crate) fn of(labels: Labels, line: &str) -> Self {
        let place = Place { file: FileId([0; 16]), start: 0, end: 0, bytes: 0 };
        let extracted = Extracted::new(labels.clone());
        let (line, shared) = (line.to_owned(), Labels::default());
        Self { line, at_ns: 0, labels, shared, metadata: Vec::new(), extracted, place, joined: Vec::new() }
    }

    /// The value of this name, or the line where none is named; none where there is no such value.
    pub(crate) fn source(&self, name: Option<&str>) -> Option<Cow<'_, str>> {
        match name {
            None => Some(Cow::Borrowed(&self.line)),
            Some(name) => self.extracted.text(name),
        }
    }

    /// Where it was read; of joined lines every place.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.place).chain(&self.joined)
    }

    /// Changes the labels.
    pub(crate) fn relabel(&mut self, change: impl FnOnce(&mut Vec<(Arc<str>, Arc<str>)>)) {
        let mut pairs = self.labels.pairs().to_vec();
        change(&mut pairs);
        self.labels = Labels::new(pairs);
    }

    /// Sets a pair of structured metadata.
    pub(crate) fn describe(&mut self, name: &str, value: &str) {
        let value = value[..value.floor_char_boundary(MAX_LABEL_VALUE_BYTES)].into();
        match self.metadata.iter().position(|(known, _)| **known == *name) {
            Some(at) => self.metadata[at].1 = value,
            None if self.metadata.len() < MAX_LABELS => self.metadata.push((name.into(), value)),
            None => {}
        }
    }

    /// A further line was joined to it, which was read there.
    pub(crate) fn note(&mut self, line: &Self) {
        for place in line.places() {
            self.note_place(*place);
        }
    }

    fn note_place(&mut self, place: Place) {
        let mut known = std::iter::once(&mut self.place).chain(&mut self.joined);
        match known.find(|known| known.file == place.file) {
            Some(known) => {
                known.start = known.start.min(place.start);
                known.end = known.end.max(place.end);
                known.bytes += place.bytes;
            }
            None => self.joined.push(place),
        }
    }
}

/// Bytes of a file that a line was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: FileId,
    /// Where the line begins.
    pub(crate) start: u64,
    /// Where it ends; behind the start there may be bytes of the other stream too.
    pub(crate) end: u64,
    /// The bytes of the line, its head and end included.
    pub(crate) bytes: u64,
}

/// Values that stages extracted, by name; at the beginning the labels are among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extracted {
    /// None where a stage took it away.
    own: Vec<(Arc<str>, Option<Value>)>,
    labels: Labels,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// JSON's null, or a name that was not found.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// As a text, as Promtail writes it; none for null.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Text(value) => Some(Cow::Borrowed(value)),
        }
    }
}

impl Extracted {
    /// With the labels that a line begins with.
    pub(crate) fn new(labels: Labels) -> Self {
        Self { own: Vec::new(), labels }
    }

    /// The value of a name as a text; none where it is null or was never set.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.own(name) {
            Some(value) => value.as_ref().and_then(Value::text),
            None => self.labels.get(name).map(Cow::Borrowed),
        }
    }

    /// There is a value of this name, if only null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.own(name).map_or_else(|| self.labels.get(name).is_some(), Option::is_some)
    }

    fn own(&self, name: &str) -> Option<&Option<Value>> {
        self.own.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// Sets a value.
    pub(crate) fn set(&mut self, name: &Arc<str>, value: Value) {
        self.put(name, Some(value));
    }

    /// Takes a value away.
    pub(crate) fn remove(&mut self, name: &Arc<str>) {
        self.put(name, None);
    }

    fn put(&mut self, name: &Arc<str>, value: Option<Value>) {
        match self.own.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.own.push((Arc::clone(name), value)),
        }
    }
}

/// What comes out of a stage.
pub(crate) struct Out {
    /// The time of this pass.
    pub(crate) now: Instant,
    /// Lines that go on.
    pub(crate) entries: Vec<Entry>,
    /// Lines that do not, with the reason for the ledger.
    pub(crate) dropped: Vec<(Arc<str>, Entry)>,
}

impl Out {
    /// Empty.
    pub(crate) fn new(now: Instant) -> Self {
        Self { now, entries: Vec::new(), dropped: Vec::new() }
    }
}

/// What a stage that looks at one line alone says of it.
pub(crate) enum Verdict {
    /// It goes on.
    Keep,
    /// It ends here, for this reason.
    Drop(Arc<str>),
}

/// A stage that works on one line at a time and holds nothing back, from a function.
pub(crate) struct Each<F>(pub(crate) F);

impl<F: FnMut(&mut Entry, Instant) -> Verdict + Send> Stage for Each<F> {
    fn pass(&mut self, out: &mut Out) {
        let (now, why) = (out.now, Cell::new(None));
        let ends = |entry: &mut Entry| match (self.0)(entry, now) {
            Verdict::Keep => false,
            Verdict::Drop(reason) => {
                why.set(Some(reason));
                true
            }
        };
        for entry in out.entries.extract_if(.., ends) {
            out.dropped.extend(why.take().map(|reason| (reason, entry)));
        }
    }
}
