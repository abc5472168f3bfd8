//! Shares of CPU time by mode, from the growth of `node_cpu_seconds_total`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::grid::{Cells, Grid, last, round};
use crate::sink::embedded::series::Book;

const NAME: &str = "node_cpu_seconds_total";
/// In the order in which they are stacked; `idle` is what is left. Other modes are added to `system`.
const MODES: [&str; 7] = ["system", "user", "nice", "iowait", "irq", "softirq", "steal"];

/// Shares from 0 to 1 of the time of all CPUs.
#[derive(Debug, Default, Serialize)]
pub struct Cpu {
    /// Mode and history.
    pub modes: Vec<(&'static str, Cells)>,
    /// Everything but idle and iowait, at present.
    pub busy: Option<f64>,
    /// The same of each CPU, in order.
    pub each: Vec<Option<f64>>,
}

/// Growth in seconds of one CPU, by mode.
type Modes<'a> = BTreeMap<&'a str, Vec<f64>>;

/// Computes the shares.
pub(super) fn of(book: &Book, node: &str, grid: &Grid) -> Cpu {
    let cpus = growth(book, node, grid);
    if cpus.is_empty() {
        return Cpu::default();
    }
    let all: Vec<&Modes<'_>> = cpus.values().collect();
    let total = sum(&all, grid, |_| true);
    let share_of = |wanted: &dyn Fn(&str) -> bool| share(&sum(&all, grid, wanted), &total);
    let modes = MODES.map(|mode| {
        let wanted = |of: &str| of == mode || (mode == "system" && of != "idle" && !MODES.contains(&of));
        (mode, share_of(&wanted))
    });
    let each = cpus.values().map(|cpu| {
        let cpu = [cpu];
        last(&share(&sum(&cpu, grid, busy), &sum(&cpu, grid, |_| true)))
    });
    Cpu { modes: modes.into(), busy: last(&share_of(&busy)), each: each.collect() }
}

/// Share of everything but idle and iowait.
pub(crate) fn busy_cells(book: &Book, node: &str, grid: &Grid) -> Cells {
    let cpus = growth(book, node, grid);
    let all: Vec<&Modes<'_>> = cpus.values().collect();
    share(&sum(&all, grid, busy), &sum(&all, grid, |_| true))
}

/// Number of CPUs.
pub(crate) fn count(book: &Book, node: &str) -> usize {
    book.of(NAME, node).map(|track| track.label("cpu")).collect::<BTreeSet<_>>().len()
}

fn busy(mode: &str) -> bool {
    mode != "idle" && mode != "iowait"
}

fn growth<'a>(book: &'a Book, node: &'a str, grid: &Grid) -> BTreeMap<u32, Modes<'a>> {
    let mut cpus: BTreeMap<u32, Modes<'_>> = BTreeMap::new();
    for track in book.of(NAME, node) {
        let cpu = track.label("cpu").parse().unwrap_or(u32::MAX);
        let grown = grid.increase(track.points()).into_iter().map(|growth| growth.by).collect();
        cpus.entry(cpu).or_default().insert(track.label("mode"), grown);
    }
    cpus
}

fn sum(cpus: &[&Modes<'_>], grid: &Grid, wanted: impl Fn(&str) -> bool) -> Vec<f64> {
    let mut sum = vec![0.0; grid.cells];
    for (_, cells) in cpus.iter().flat_map(|modes| modes.iter()).filter(|(mode, _)| wanted(mode)) {
        for (sum, cell) in sum.iter_mut().zip(cells) {
            *sum += cell;
        }
    }
    sum
}

/// `part / whole` where anything grew.
fn share(part: &[f64], whole: &[f64]) -> Cells {
    let cells = part.iter().zip(whole);
    cells.map(|(part, whole)| (*whole > 0.0).then(|| round((part / whole).clamp(0.0, 1.0)))).collect()
}
