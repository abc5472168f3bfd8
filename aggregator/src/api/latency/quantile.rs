//! Quantiles of a classic histogram's growth. Within a bucket the values are taken to lie evenly on a logarithmic
//! scale, which is what buckets that double from one to the next are made for.

use std::ops::Range;

use super::super::grid::{Growth, round};

/// The growth of all buckets, cell by cell. Buckets are cumulative, as in the exposition.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Upper bound and growth, in order of the bounds.
    buckets: Vec<(f64, Vec<Growth>)>,
}

impl Histogram {
    /// Adds a bucket.
    pub fn add(&mut self, le: f64, cells: Vec<Growth>) {
        let at = self.buckets.partition_point(|(known, _)| *known < le);
        self.buckets.insert(at, (le, cells));
    }

    /// Values in a range of cells.
    pub fn count(&self, cells: Range<usize>) -> f64 {
        self.buckets.last().map_or(0.0, |(_, growth)| sum(growth, &cells))
    }

    /// The quantiles of a range of cells; `None` where no value came.
    pub fn quantiles<const N: usize>(&self, cells: Range<usize>, wanted: &[f64; N]) -> Option<[f64; N]> {
        let total = self.count(cells.clone());
        // Growth spread over time leaves crumbs of values; half of one is none.
        if total < 0.5 {
            return None;
        }
        let cumulative: Vec<(f64, f64)> =
            self.buckets.iter().map(|(le, growth)| (*le, sum(growth, &cells))).collect();
        Some(wanted.map(|q| round(at_rank(&cumulative, total, q))))
    }
}

fn sum(growth: &[Growth], cells: &Range<usize>) -> f64 {
    growth[cells.clone()].iter().map(|growth| growth.by).sum()
}

fn at_rank(cumulative: &[(f64, f64)], total: f64, q: f64) -> f64 {
    let rank = (q * total).max(total * 1e-9);
    let (mut below, mut lower) = (0.0, None);
    for (le, count) in cumulative {
        if *count >= rank && *count > below {
            let upper = if le.is_finite() { *le } else { lower.unwrap_or(0.0) };
            // The lowest bucket has no lower bound of its own: half of the upper one, as if it went on doubling.
            let lower = lower.unwrap_or(upper / 2.0);
            let share = ((rank - below) / (count - below)).clamp(0.0, 1.0);
            return lower * (upper / lower).powf(share);
        }
        below = *count;
        lower = le.is_finite().then_some(*le).or(lower);
    }
    lower.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(of: &[(f64, f64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (le, by) in of.iter().rev() {
            histogram.add(*le, vec![Growth { by: *by, covered_ms: 1 }]);
        }
        histogram
    }

    /// Scenario: all values in one bucket, values in two, and values over the last bound.
    /// Guarantees: quantiles lie within their bucket, in order, and never beyond the last finite bound.
    #[test]
    fn quantiles_lie_in_their_buckets() {
        let one = histogram(&[(1.0, 0.0), (2.0, 10.0), (4.0, 10.0), (f64::INFINITY, 10.0)]);
        let q = one.quantiles(0..1, &[0.0, 0.5, 1.0]).unwrap();
        assert_eq!(q, [1.0, round(2f64.sqrt()), 2.0]);
        let two = histogram(&[(1.0, 5.0), (2.0, 5.0), (4.0, 10.0), (f64::INFINITY, 10.0)]);
        let q = two.quantiles(0..1, &[0.5, 0.51, 1.0]).unwrap();
        assert!(q[0] == 1.0 && q[1] > 2.0 && q[2] == 4.0, "{q:?}");
        let over = histogram(&[(1.0, 0.0), (f64::INFINITY, 3.0)]);
        assert_eq!(over.quantiles(0..1, &[0.5]), Some([1.0]));
        assert_eq!(over.count(0..1), 3.0);
    }

    /// Scenario: a cell without values, a histogram without buckets.
    /// Guarantees: no quantile is invented.
    #[test]
    fn nothing_from_nothing() {
        assert_eq!(histogram(&[(1.0, 0.0), (f64::INFINITY, 0.0)]).quantiles(0..1, &[0.5]), None);
        assert_eq!(Histogram::default().quantiles(0..1, &[0.5]), None);
    }
}
