//! Some series of one group of samples: gives each a number, keeps its last state, makes keyframes and frames.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use ao_proto::frame::{compress, open, seal};
use ao_proto::limits::{
    MAX_FAMILIES, MAX_HEADER_BYTES, MAX_LABELS, MAX_SEALED_BYTES, MAX_SHAPES, MAX_SYMBOLS,
};
use ao_proto::metrics::{Keyframe, MetricsFrame, Reference};
use ao_proto::model::{Family, Labels, STALE_NAN, Series};
use ao_proto::v1::{Class, FrameHeader};
use bytes::Bytes;

use crate::event::{MetricSet, SampleText};
use crate::spool::Draft;

/// A new keyframe comes at this age: it bounds how far deltas grow, and what a receiver must keep.
pub(super) const KEYFRAME_AGE_MS: i64 = 15 * 60 * 1000;

/// A keyframe of this weight fits onto the wire with its header, where zstd makes it no smaller.
const MOST_WEIGHT: usize = MAX_SEALED_BYTES - MAX_HEADER_BYTES - (64 << 10);

/// What a series weighs beside its texts: its value, and the numbers of its family and its shape.
const SERIES_WEIGHT: usize = 64;
/// What a label weighs beside its texts: the numbers of its value, and of its name in the shape.
const LABEL_WEIGHT: usize = 10;

// The weight keeps all counts in bounds, with three texts of a family and two of a label.
const _: () = assert!(MOST_WEIGHT / SERIES_WEIGHT < MAX_FAMILIES && MOST_WEIGHT / SERIES_WEIGHT < MAX_SHAPES);
const _: () = assert!(MOST_WEIGHT / LABEL_WEIGHT * 2 + MAX_LABELS < MAX_SYMBOLS);

/// Series of one (source, group), as many as fit into a keyframe, across the sets that come in. Labels lie in the sealed
/// keyframe alone, and are read from it when a new one is made: an agent with 1,000 targets has 100,000 series.
pub(crate) struct SeriesTable {
    agent: [u8; 16],
    /// Labels that every series gets unless it has its own.
    base: Vec<(Arc<str>, Arc<str>)>,
    /// By number.
    states: Vec<State>,
    /// Number by key, while somebody asks for it out of order.
    numbers: OnceCell<HashMap<u64, u32>>,
    /// Of all states; at most [`MOST_WEIGHT`].
    weight: usize,
    reference: Reference,
    sealed: Bytes,
    /// Sets tend to come in the same order: the number that followed each place last time, to skip the look-up.
    order: Vec<u32>,
    frame: MetricsFrame,
}

struct State {
    /// See [`hash`].
    key: u64,
    /// About its bytes in a keyframe, at the worst.
    weight: u32,
    /// In the set under way.
    seen: bool,
    /// Its staleness marker has been sent: absent from then on.
    ended: bool,
}

/// A series' identity: its key text (name, suffix, own labels), hashed with a key that is drawn at each start. That two of a
/// table's series have the same one is as likely as that two of 10,000 do: once in 300 billion tables; the second one would
/// count as a double.
pub(super) fn hash(key: &[u8]) -> u64 {
    static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYED.hash_one(key)
}

/// What one set became.
pub(super) struct Encoded<'a> {
    /// For the spool.
    pub draft: Draft,
    /// Samples that named a series for the second time in one set; the first one counts.
    pub doubles: u64,
    /// Samples that are too large for any keyframe.
    pub refused: u64,
    /// Samples whose series are not of this table.
    pub others: Vec<&'a SampleText>,
}

/// What is to know of samples in their places.
#[derive(Default)]
struct Placed<'a> {
    /// Their series are new; with their numbers in the order of appearance.
    fresh: Vec<&'a SampleText>,
    /// See [`Encoded`].
    doubles: u64,
    refused: u64,
    others: Vec<&'a SampleText>,
}

impl SeriesTable {
    pub(crate) fn new(agent: [u8; 16], base: Vec<(Arc<str>, Arc<str>)>) -> Self {
        Self {
            agent,
            base,
            states: Vec::new(),
            numbers: OnceCell::new(),
            weight: 0,
            reference: Reference::default(),
            sealed: Bytes::new(),
            order: Vec::new(),
            frame: MetricsFrame::default(),
        }
    }

    /// Whether the series is in the keyframe, or was.
    pub(super) fn has(&self, key: u64) -> bool {
        self.number(key).is_some()
    }

    fn number(&self, key: u64) -> Option<u32> {
        let all = || self.states.iter().enumerate().map(|(n, state)| (state.key, n as u32)).collect();
        self.numbers.get_or_init(all).get(&key).copied()
    }

    /// The set is done: what only look-ups out of order need is let go.
    pub(super) fn rest(&mut self) {
        self.numbers.take();
    }

    /// Whether all series have ended, and their markers are out.
    pub(super) fn is_over(&self) -> bool {
        self.states.iter().all(|state| state.ended)
    }

    /// Turns samples of a set into a frame, with a new keyframe where series have come or the old one is too old.
    /// Left to others: what has no room, and what `elsewhere` says of a key.
    pub(super) fn encode<'a>(
        &mut self,
        set: &MetricSet,
        samples: &mut dyn Iterator<Item = &'a SampleText>,
        elsewhere: &dyn Fn(u64) -> bool,
    ) -> Encoded<'a> {
        let known = self.states.len();
        let Placed { fresh, doubles, refused, others } = self.place(set, samples, elsewhere);
        self.end_missing();
        let age = set.at_ms - self.reference.at_ms;
        if known == 0 || !fresh.is_empty() || !(0..KEYFRAME_AGE_MS).contains(&age) {
            self.renew(set, &fresh);
        }
        self.frame.at_ms = set.at_ms;
        self.frame.absent.clear();
        let absent = self.states.iter().enumerate().filter(|(_, s)| !s.seen && s.ended);
        self.frame.absent.extend(absent.map(|(n, _)| n as u32));
        for (n, state) in self.states.iter_mut().enumerate() {
            if !state.seen && !state.ended {
                self.frame.values[n] = f64::from_bits(STALE_NAN);
                state.ended = true;
            }
        }
        let draft = self.draft(set);
        Encoded { draft, doubles, refused, others }
    }

    /// Puts the samples' values in their places.
    fn place<'a>(
        &mut self,
        set: &MetricSet,
        samples: &mut dyn Iterator<Item = &'a SampleText>,
        elsewhere: &dyn Fn(u64) -> bool,
    ) -> Placed<'a> {
        for state in &mut self.states {
            state.seen = false;
        }
        let mut placed = Placed::default();
        let mut place = 0;
        let mut text = Vec::new();
        for sample in samples {
            write_key(&mut text, set, sample);
            let key = hash(&text);
            let guess = self.order.get(place).copied();
            let number = match guess.filter(|&n| self.states[n as usize].key == key) {
                Some(number) => Some(number),
                None => self.number(key),
            };
            let number = match number {
                Some(number) => number,
                None => {
                    let weight = self.weight_of(set, sample, text.len());
                    if weight > MOST_WEIGHT {
                        placed.refused += 1;
                        continue;
                    }
                    if self.weight + weight > MOST_WEIGHT || elsewhere(key) {
                        placed.others.push(sample);
                        continue;
                    }
                    placed.fresh.push(sample);
                    self.add(key, weight)
                }
            };
            match self.order.get_mut(place) {
                Some(slot) => *slot = number,
                None => self.order.push(number),
            }
            place += 1;
            let state = &mut self.states[number as usize];
            if std::mem::replace(&mut state.seen, true) {
                placed.doubles += 1;
            } else {
                state.ended = false;
                self.frame.values[number as usize] = sample.value;
            }
        }
        placed
    }

    /// A number for a series that has none.
    fn add(&mut self, key: u64, weight: usize) -> u32 {
        let number = self.states.len() as u32;
        if let Some(numbers) = self.numbers.get_mut() {
            numbers.insert(key, number);
        }
        self.states.push(State { key, weight: weight as u32, seen: false, ended: false });
        self.frame.values.push(0.0);
        self.weight += weight;
        number
    }

    /// As if no other series had any of its texts. `key`: bytes of its key's text.
    fn weight_of(&self, set: &MetricSet, sample: &SampleText, key: usize) -> usize {
        let base: usize = self.base.iter().map(|(name, value)| name.len() + value.len()).sum();
        let labels = self.base.len() + 1 + sample.labels.len();
        let family = &set.families[sample.family as usize];
        // The family's name is in the key once, and once more in the label `__name__`.
        let texts = key + family.name.len() + family.help.len();
        SERIES_WEIGHT + labels * LABEL_WEIGHT + texts + if self.states.is_empty() { base } else { 0 }
    }

    /// A series that was absent already stays so; nothing to do for it.
    fn end_missing(&mut self) {
        for (n, state) in self.states.iter().enumerate() {
            if !state.seen && state.ended {
                self.frame.values[n] = 0.0;
            }
        }
    }

    /// Makes a keyframe of the living series, old numbers closed up.
    fn renew(&mut self, set: &MetricSet, fresh: &[&SampleText]) {
        let mut families = Families::default();
        let mut series = Vec::with_capacity(self.states.len());
        let old = self.keyframe();
        let old_count = self.states.len() - fresh.len();
        let mut keep: Vec<bool> = self.states.iter().map(|s| s.seen || !s.ended).collect();
        for (n, kept) in keep.iter_mut().enumerate().filter(|(_, kept)| **kept) {
            if n >= old_count {
                let sample = fresh[n - old_count];
                let family = families.of_set(set, sample.family);
                series.push(Series { labels: self.labels(set, sample), family });
            } else if let Some(was) = old.series.get(n) {
                let family = families.shared(&old.families[was.family as usize]);
                series.push(Series { labels: was.labels.clone(), family });
            } else {
                *kept = false;
            }
        }
        retain_by(&mut self.states, &keep);
        self.weight = self.states.iter().map(|state| state.weight as usize).sum();
        retain_by(&mut self.frame.values, &keep);
        self.rest();
        self.states.shrink_to_fit();
        self.frame.values.shrink_to_fit();
        self.order = Vec::with_capacity(self.states.len());
        let keyframe = Keyframe {
            // 0 means "none" in a header.
            id: rand::random::<u64>().max(1),
            at_ms: set.at_ms,
            families: families.list,
            series,
            values: self.frame.values.clone(),
        };
        let raw = keyframe.encode();
        let header = FrameHeader {
            agent: self.agent.to_vec(),
            class: Class::Metrics.into(),
            keyframe: keyframe.id,
            source: set.source.to_owned(),
            records: keyframe.series.len() as u64,
            first_ms: set.at_ms,
            raw_bytes: raw.len() as u64,
            ..FrameHeader::default()
        };
        self.sealed = seal(&header, &compress(&raw));
        self.reference = keyframe.reference();
    }

    /// The newest keyframe; an empty one before the first.
    fn keyframe(&self) -> Keyframe {
        if self.sealed.is_empty() {
            return Keyframe::default();
        }
        let read = open(&self.sealed).and_then(|opened| Keyframe::decode(&opened.decompress()?));
        read.unwrap_or_else(|error| {
            tracing::error!(%error, "the agent cannot read its own keyframe; its series begin anew");
            Keyframe::default()
        })
    }

    fn labels(&self, set: &MetricSet, sample: &SampleText) -> Labels {
        let name = format!("{}{}", set.text(&set.families[sample.family as usize].name), sample.suffix);
        let own = set.labels_of(sample).map(|(n, v)| (n.into(), v.into()));
        // The last of a name stays, so own labels stand behind the base.
        let mut pairs = self.base.clone();
        pairs.push(("__name__".into(), name.into()));
        pairs.extend(own);
        Labels::new(pairs)
    }

    fn draft(&self, set: &MetricSet) -> Draft {
        let mut raw = Vec::new();
        self.frame.encode_against(&self.reference, &mut raw);
        let records = (self.states.len() - self.frame.absent.len()) as u64;
        Draft {
            header: FrameHeader {
                agent: self.agent.to_vec(),
                class: Class::Metrics.into(),
                keyframe: self.reference.id,
                source: set.source.to_owned(),
                records,
                bytes: records * SAMPLE_BYTES,
                first_ms: set.at_ms,
                raw_bytes: raw.len() as u64,
                ..FrameHeader::default()
            },
            payload: compress(&raw),
            keyframe: Some((self.reference.id.into(), self.sealed.clone())),
            stored: Vec::new(),
            forget: Vec::new(),
        }
    }
}

/// The ledger's size of a sample: a time and a value.
const SAMPLE_BYTES: u64 = 16;

/// Name, suffix and labels of a sample, told apart by bytes that UTF-8 has not.
pub(super) fn write_key(key: &mut Vec<u8>, set: &MetricSet, sample: &SampleText) {
    key.clear();
    key.extend_from_slice(set.text(&set.families[sample.family as usize].name).as_bytes());
    key.push(0xfe);
    key.extend_from_slice(sample.suffix.as_bytes());
    for (name, value) in set.labels_of(sample) {
        key.push(0xff);
        key.extend_from_slice(name.as_bytes());
        key.push(0xfe);
        key.extend_from_slice(value.as_bytes());
    }
}

fn retain_by<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut kept = keep.iter();
    list.retain(|_| kept.next().copied().unwrap_or(false));
}

/// Families of a keyframe, each once.
#[derive(Default)]
struct Families {
    list: Vec<Family>,
    by_name: HashMap<Arc<str>, u32>,
}

impl Families {
    fn shared(&mut self, family: &Family) -> u32 {
        if let Some(&known) = self.by_name.get(&family.name) {
            return known;
        }
        let number = self.list.len() as u32;
        self.by_name.insert(Arc::clone(&family.name), number);
        self.list.push(family.clone());
        number
    }

    fn of_set(&mut self, set: &MetricSet, number: u32) -> u32 {
        let text = |range: &Range<u32>| -> Arc<str> { set.text(range).into() };
        let family = &set.families[number as usize];
        let name = text(&family.name);
        if let Some(&known) = self.by_name.get(&name) {
            return known;
        }
        let unit = ["seconds", "bytes", "celsius", "ratio"]
            .into_iter()
            .find(|unit| name.trim_end_matches("_total").ends_with(&format!("_{unit}")))
            .unwrap_or_default();
        self.shared(&Family { name, kind: family.kind, help: text(&family.help), unit: unit.into() })
    }
}
