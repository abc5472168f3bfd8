//! Series: the last value and a short history of each, in a bounded number of bytes.
//!
//! A run of equal values is kept as its first and last point only, since three of four series do not change from one
//! round to the next. A value that is missing for longer than [`GAP_MS`] leaves a point of NaN, so that no chart draws
//! a line through an outage.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Labels, STALE_NAN};

/// A pause between two values that is an outage and not just a slow interval.
pub const GAP_MS: i64 = 150_000;
/// History is not cut below this for want of memory: rates need at least two rounds.
const MIN_HISTORY_MS: i64 = 60_000;
const POINT_BYTES: usize = size_of::<Point>();
/// What a series costs besides its texts and points: map entries, allocation heads, reference counts.
const SERIES_BYTES: usize = 240;
const LABEL_BYTES: usize = 64;
/// Points that a ring grows by at the least.
const MIN_GROWTH: usize = 4;
const SWEEP_MS: i64 = 60_000;

/// A value at a time; NaN marks the begin of a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Milliseconds.
    pub at_ms: i64,
    /// The value.
    pub value: f64,
}

/// One series.
#[derive(Debug)]
pub struct Track {
    labels: Labels,
    node: Arc<str>,
    points: VecDeque<Point>,
    fixed_bytes: usize,
}

/// All series, by node, name and labels.
#[derive(Debug)]
pub struct Book {
    nodes: HashMap<Arc<str>, Names>,
    max_bytes: usize,
    bytes: usize,
    max_history_ms: i64,
    history_ms: i64,
    swept_ms: i64,
    series: usize,
    refused: u64,
}

/// The series of one node.
type Names = BTreeMap<Arc<str>, HashMap<Labels, Track>>;

/// How full the room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// Series kept.
    pub series: usize,
    /// Bytes that they take, by our own count.
    pub bytes: usize,
    /// The bound.
    pub max_bytes: usize,
    /// How far back values are kept at present, milliseconds.
    pub history_ms: i64,
    /// Samples of series that found no room.
    pub refused: u64,
}

impl Track {
    /// All labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The value of a label, empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).unwrap_or_default()
    }

    /// The node that it came from.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Oldest first; NaN marks a gap.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = Point> + Clone {
        self.points.iter().copied()
    }

    /// The newest value.
    pub fn last(&self) -> Option<Point> {
        self.points.back().copied().filter(|p| !p.value.is_nan())
    }
}

impl Book {
    /// An empty book of at most so many bytes.
    pub fn new(max_bytes: usize, history_ms: i64) -> Self {
        Self {
            nodes: HashMap::new(),
            max_bytes,
            bytes: 0,
            max_history_ms: history_ms,
            history_ms,
            swept_ms: 0,
            series: 0,
            refused: 0,
        }
    }

    /// The series of a name, in no order.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Track> {
        self.of(name, "")
    }

    /// The series of a name from one node (any, where it is empty).
    pub fn of<'a>(&'a self, name: &'a str, node: &'a str) -> impl Iterator<Item = &'a Track> {
        let all = self.nodes.values().filter(move |_| node.is_empty());
        let names = self.nodes.get(node).into_iter().chain(all);
        names.filter_map(move |names| names.get(name)).flat_map(HashMap::values)
    }

    /// Names with the number of their series.
    pub fn names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for (name, tracks) in self.nodes.values().flatten() {
            *names.entry(&**name).or_default() += tracks.len();
        }
        names
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        Fill {
            series: self.series,
            bytes: self.bytes,
            max_bytes: self.max_bytes,
            history_ms: self.history_ms,
            refused: self.refused,
        }
    }

    /// Takes in the values of a frame: those of the series with these numbers.
    pub(super) fn absorb(
        &mut self,
        keyframe: &Keyframe,
        frame: &MetricsFrame,
        records: &[u32],
        node: &Arc<str>,
        now_ms: i64,
    ) {
        for number in records {
            let number = *number as usize;
            let (Some(series), Some(value)) = (keyframe.series.get(number), frame.values.get(number)) else {
                continue;
            };
            let own = super::labels::node(&series.labels).filter(|own| *own != &**node);
            let node = own.map_or_else(|| node.clone(), Arc::from);
            if value.to_bits() == STALE_NAN {
                self.end(&series.labels, &node, frame.at_ms);
            } else if !value.is_nan() {
                self.put(&series.labels, &node, Point { at_ms: frame.at_ms, value: *value });
            }
        }
        if now_ms.saturating_sub(self.swept_ms) >= SWEEP_MS {
            self.sweep(now_ms);
        }
    }

    fn put(&mut self, labels: &Labels, node: &Arc<str>, point: Point) {
        if self.track(node, labels).is_none() {
            let fixed_bytes = cost(labels);
            if !self.make_room(fixed_bytes + MIN_GROWTH * POINT_BYTES) {
                self.refused += 1;
                return;
            }
            self.bytes += fixed_bytes;
            self.series += 1;
            let track =
                Track { labels: labels.clone(), node: node.clone(), points: VecDeque::new(), fixed_bytes };
            let names = self.nodes.entry(node.clone()).or_default();
            names.entry(name(labels).into()).or_default().insert(labels.clone(), track);
        }
        if let Some(growth) = self.track(node, labels).and_then(|track| track.growth()) {
            // Where not even this fits after all history was cut, the oldest points make way for the new one.
            let fits = self.make_room(growth * POINT_BYTES);
            let Some(track) = self.track(node, labels) else { return };
            if !fits {
                track.points.drain(..track.points.len().min(2));
            } else if let Some(growth) = track.growth() {
                let before = track.points.capacity();
                track.points.reserve_exact(growth);
                let grown = track.points.capacity() - before;
                self.bytes += grown * POINT_BYTES;
            }
        }
        let oldest = point.at_ms.saturating_sub(self.history_ms);
        if let Some(track) = self.track(node, labels) {
            track.push(point, oldest);
        }
    }

    fn track(&mut self, node: &str, labels: &Labels) -> Option<&mut Track> {
        self.nodes.get_mut(node)?.get_mut(name(labels))?.get_mut(labels)
    }

    /// Ends a series, unless a newer value has come in the meantime.
    fn end(&mut self, labels: &Labels, node: &str, at_ms: i64) {
        let Some(names) = self.nodes.get_mut(node) else { return };
        let Some(tracks) = names.get_mut(name(labels)) else { return };
        if tracks.get(labels).is_none_or(|track| track.newest_ms() > at_ms) {
            return;
        }
        if let Some(track) = tracks.remove(labels) {
            self.bytes -= track.bytes();
            self.series -= 1;
        }
        if tracks.is_empty() {
            names.remove(name(labels));
        }
        if names.is_empty() {
            self.nodes.remove(node);
        }
    }

    /// Shortens history until `more` bytes fit; false where they do not fit at all.
    fn make_room(&mut self, more: usize) -> bool {
        while self.bytes + more > self.max_bytes {
            if self.history_ms <= MIN_HISTORY_MS {
                return false;
            }
            self.history_ms = (self.history_ms / 4 * 3).max(MIN_HISTORY_MS);
            self.trim();
        }
        true
    }

    /// Drops what is older than the present history and gives the memory back.
    fn trim(&mut self) {
        for track in self.nodes.values_mut().flat_map(BTreeMap::values_mut).flat_map(HashMap::values_mut) {
            let oldest = track.newest_ms().saturating_sub(self.history_ms);
            self.bytes -= track.points.capacity() * POINT_BYTES;
            track.drop_before(oldest);
            track.points.shrink_to_fit();
            self.bytes += track.points.capacity() * POINT_BYTES;
        }
    }

    /// Forgets series that ended without a word, and lengthens history again where there is room.
    fn sweep(&mut self, now_ms: i64) {
        self.swept_ms = now_ms;
        let (mut bytes, mut gone) = (0, 0);
        for tracks in self.nodes.values_mut().flat_map(BTreeMap::values_mut) {
            tracks.retain(|_, track| {
                let keep = track.newest_ms() > now_ms.saturating_sub(self.max_history_ms);
                if !keep {
                    bytes += track.bytes();
                    gone += 1;
                }
                keep
            });
        }
        self.bytes -= bytes;
        self.series -= gone;
        self.nodes.retain(|_, names| {
            names.retain(|_, tracks| !tracks.is_empty());
            !names.is_empty()
        });
        if self.bytes < self.max_bytes / 2 {
            self.history_ms = (self.history_ms / 2 * 3).min(self.max_history_ms);
        }
    }
}

impl Track {
    fn newest_ms(&self) -> i64 {
        self.points.back().map_or(i64::MIN, |p| p.at_ms)
    }

    fn bytes(&self) -> usize {
        self.fixed_bytes + self.points.capacity() * POINT_BYTES
    }

    /// Points to grow by before the next push (it may add a gap as well), if any.
    fn growth(&self) -> Option<usize> {
        let full = self.points.len() + 2 > self.points.capacity();
        full.then(|| (self.points.capacity() / 2).max(MIN_GROWTH))
    }

    fn push(&mut self, point: Point, oldest: i64) {
        self.drop_before(oldest);
        let n = self.points.len();
        match self.points.back_mut() {
            Some(last) if point.at_ms > last.at_ms => {
                if point.at_ms - last.at_ms > GAP_MS {
                    let gap = Point { at_ms: last.at_ms + 1, value: f64::NAN };
                    self.points.push_back(gap);
                } else if n >= 2 && same(self.points[n - 1], point) && same(self.points[n - 2], point) {
                    self.points[n - 1].at_ms = point.at_ms;
                    return;
                }
                self.points.push_back(point);
            }
            None => self.points.push_back(point),
            // A late value from the backlog lane; of two at one time the later one stays.
            Some(_) if point.at_ms >= oldest => {
                match self.points.binary_search_by_key(&point.at_ms, |p| p.at_ms) {
                    Ok(i) => self.points[i] = point,
                    Err(i) => self.points.insert(i, point),
                }
            }
            Some(_) => {}
        }
    }

    /// Drops points before `oldest`, but keeps the last of them: it begins the line into the window.
    fn drop_before(&mut self, oldest: i64) {
        while self.points.len() > 1 && self.points[1].at_ms <= oldest {
            self.points.pop_front();
        }
    }
}

fn name(labels: &Labels) -> &str {
    labels.get("__name__").unwrap_or_default()
}

fn same(a: Point, b: Point) -> bool {
    a.value.to_bits() == b.value.to_bits()
}

fn cost(labels: &Labels) -> usize {
    SERIES_BYTES + labels.iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len()).sum::<usize>()
}
