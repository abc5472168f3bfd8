//! What is looked up in the book of series by more than one answer.

use std::collections::BTreeMap;

use super::grid::{Cells, Grid, add, round, rounded};
use crate::sink::embedded::series::{Book, Track};

/// The newest value of a name that has one series on a node.
pub fn newest(book: &Book, name: &str, node: &str) -> Option<f64> {
    book.of(name, node).next().and_then(Track::last).map(|point| point.value)
}

/// History of a name that has one series on a node.
pub fn gauge(book: &Book, name: &str, node: &str, grid: &Grid) -> Cells {
    let track = book.of(name, node).next();
    track.map_or_else(|| vec![None; grid.cells], |track| rounded(grid.values(track.points())))
}

/// Rates of a counter, summed by the value of a label.
pub fn rates_by(book: &Book, name: &str, node: &str, label: &str, grid: &Grid) -> BTreeMap<String, Cells> {
    let mut sums: BTreeMap<String, Cells> = BTreeMap::new();
    for track in book.of(name, node) {
        add(sums.entry(track.label(label).to_owned()).or_default(), &grid.rate(track.points()));
    }
    sums
}

/// The mean of the cells that have a value.
pub fn mean(cells: &[Option<f64>]) -> f64 {
    let (sum, n) = cells.iter().flatten().fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    if n > 0.0 { round(sum / n) } else { 0.0 }
}
