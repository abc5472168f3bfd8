//! A grid of equal steps of time, and series laid onto it: what a chart is drawn from.

use serde::Serialize;

use crate::sink::embedded::series::Point;

/// Spans of time that the console offers, each with its step, milliseconds.
const SPANS: [(i64, i64); 3] = [(5 * 60_000, 5_000), (15 * 60_000, 5_000), (30 * 60_000, 10_000)];

/// Equal steps; cell `i` is `(start + i * step, start + (i + 1) * step]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// Milliseconds; a multiple of the step, so that charts do not tremble from one poll to the next.
    pub start_ms: i64,
    /// Milliseconds.
    pub step_ms: i64,
    /// Number of cells.
    pub cells: usize,
}

/// A value for each cell that has one.
pub type Cells = Vec<Option<f64>>;

impl Grid {
    /// The grid that ends now and reaches about so many minutes back.
    pub fn ending(now_ms: i64, minutes: i64) -> Self {
        let (span, step) = SPANS.into_iter().find(|(span, _)| *span >= minutes * 60_000).unwrap_or(SPANS[2]);
        Self::stepped(now_ms, span, step)
    }

    /// The grid that ends now with steps of a given length.
    pub fn stepped(now_ms: i64, span_ms: i64, step_ms: i64) -> Self {
        let cells = usize::try_from(span_ms / step_ms).unwrap_or(1);
        Self { start_ms: now_ms.div_euclid(step_ms) * step_ms - span_ms, step_ms, cells }
    }

    /// End of a cell, milliseconds.
    pub fn end_of(&self, cell: usize) -> i64 {
        self.start_ms + (cell as i64 + 1) * self.step_ms
    }

    /// How much a counter grew in each cell; a counter that falls has begun again at zero. What grew between two
    /// values is spread evenly over the time between them.
    pub fn increase(&self, points: impl Iterator<Item = Point>) -> Vec<Growth> {
        let mut cells = vec![Growth::default(); self.cells];
        let mut before: Option<Point> = None;
        for point in points {
            if let Some(from) = before.filter(|p| !p.value.is_nan() && !point.value.is_nan()) {
                let by = if point.value >= from.value { point.value - from.value } else { point.value };
                self.spread(&mut cells, from.at_ms, point.at_ms, by);
            }
            before = Some(point);
        }
        cells
    }

    fn spread(&self, cells: &mut [Growth], from: i64, to: i64, by: f64) {
        let end = self.start_ms + self.cells as i64 * self.step_ms;
        let (mut at, last) = (from.max(self.start_ms), to.min(end));
        while at < last {
            let cell = usize::try_from((at - self.start_ms) / self.step_ms).unwrap_or(0);
            let until = last.min(self.end_of(cell));
            let share = (until - at) as f64 / (to - from) as f64;
            if let Some(growth) = cells.get_mut(cell) {
                growth.by += by * share;
                growth.covered_ms += until - at;
            }
            at = until;
        }
    }

    /// A counter's growth a second in each cell.
    pub fn rate(&self, points: impl Iterator<Item = Point>) -> Cells {
        self.increase(points).into_iter().map(Growth::rate).collect()
    }

    /// A gauge's value at the end of each cell; the newest value holds for a minute.
    pub fn values(&self, points: impl Iterator<Item = Point>) -> Cells {
        let mut points = points.peekable();
        let mut current: Option<Point> = None;
        (0..self.cells)
            .map(|cell| {
                let end = self.end_of(cell);
                while let Some(point) = points.next_if(|point| point.at_ms <= end) {
                    current = Some(point);
                }
                // Within a run of equal values the next point is the run's end; behind the last one, it goes stale.
                let held = points.peek().is_some() || current.is_some_and(|p| end - p.at_ms <= 60_000);
                current.filter(|p| held && !p.value.is_nan()).map(|p| p.value)
            })
            .collect()
    }
}

/// What a counter did within a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// Growth.
    pub by: f64,
    /// Milliseconds of the cell that lie between two values.
    pub covered_ms: i64,
}

impl Growth {
    /// Growth a second, where any of the cell is covered.
    pub fn rate(self) -> Option<f64> {
        (self.covered_ms > 0).then(|| self.by / self.covered_ms as f64 * 1_000.0)
    }
}

/// Adds cell by cell; a cell without a value adds nothing.
pub fn add(sum: &mut Cells, more: &[Option<f64>]) {
    sum.resize(more.len().max(sum.len()), None);
    for (sum, more) in sum.iter_mut().zip(more) {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0.0) + more);
        }
    }
}

/// The newest value.
pub fn last(cells: &[Option<f64>]) -> Option<f64> {
    cells.iter().rev().find_map(|cell| *cell)
}

/// Five digits are enough for any chart, and half the bytes.
pub fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(4 - value.abs().log10().floor() as i32);
    if scale.is_normal() { (value * scale).round() / scale } else { value }
}

/// [`round`] of each.
pub fn rounded(cells: Cells) -> Cells {
    cells.into_iter().map(|cell| cell.map(round)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(i64, f64)]) -> impl Iterator<Item = Point> + Clone {
        of.iter().map(|(at_ms, value)| Point { at_ms: *at_ms, value: *value })
    }

    const GRID: Grid = Grid { start_ms: 10_000, step_ms: 5_000, cells: 4 };

    /// Scenario: a counter in steps that do not fall on the grid, and one that begins again at zero.
    /// Guarantees: growth is spread over time and none is lost; a reset counts what came after it, not less than zero.
    #[test]
    fn counters() {
        let grown = GRID.increase(points(&[(10_000, 0.0), (12_500, 5.0), (20_000, 20.0), (25_000, 4.0)]));
        let by: Vec<f64> = grown.iter().map(|g| g.by).collect();
        assert_eq!(by, [10.0, 10.0, 4.0, 0.0]);
        assert_eq!(grown[3].rate(), None);
        assert_eq!(GRID.rate(points(&[(0, 0.0), (40_000, 80.0)])), [Some(2.0); 4]);
    }

    /// Scenario: an outage inside of the window, marked by NaN.
    /// Guarantees: no growth is invented for it.
    #[test]
    fn gaps() {
        let series = [(10_000, 1.0), (15_000, 2.0), (15_001, f64::NAN), (25_000, 50.0), (30_000, 51.0)];
        assert_eq!(GRID.rate(points(&series)), [Some(0.2), None, None, Some(0.2)]);
        assert_eq!(GRID.values(points(&series)), [Some(2.0), None, Some(50.0), Some(51.0)]);
    }

    /// Scenario: a gauge whose run of equal values spans cells, and whose last value is old.
    /// Guarantees: the run holds, the last value holds for a minute only.
    #[test]
    fn gauges() {
        assert_eq!(GRID.values(points(&[(12_000, 7.0), (28_000, 7.0)])), [Some(7.0); 4]);
        assert_eq!(GRID.values(points(&[(-51_000, 7.0)])), [None; 4]);
    }

    /// Scenario: numbers of all sizes.
    /// Guarantees: five digits stay, no size makes NaN.
    #[test]
    fn rounding() {
        assert_eq!(round(123_456.0), 123_460.0);
        assert_eq!(round(0.000_123_456), 0.000_123_46);
        assert_eq!(round(-1.0), -1.0);
        for odd in [0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::INFINITY] {
            assert!(!round(odd).is_nan(), "{odd}");
        }
    }
}
