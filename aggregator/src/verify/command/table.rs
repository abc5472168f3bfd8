//! A table of text: columns as wide as their widest cell, figures to the right.

use std::io::{self, Write};

/// See the module.
pub(super) struct Table {
    heads: Vec<String>,
    lines: Vec<Line>,
}

enum Line {
    Row(Vec<String>),
    Note(String),
}

impl Table {
    pub(super) fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), lines: Vec::new() }
    }

    /// A cell for every column.
    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.lines.push(Line::Row(cells.into_iter().map(Into::into).collect()));
    }

    /// A line of text below the last row.
    pub(super) fn note(&mut self, text: String) {
        self.lines.push(Line::Note(text));
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = || {
            self.lines.iter().filter_map(|line| match line {
                Line::Row(cells) => Some(cells),
                Line::Note(_) => None,
            })
        };
        let cell =
            |cells: &Vec<String>, column: usize| cells.get(column).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| {
                rows().map(|cells| cell(cells, column)).chain([cell(&self.heads, column)]).max().unwrap_or(0)
            })
            .collect();
        let figures: Vec<bool> = (0..self.heads.len())
            .map(|column| {
                let mut cells = rows().filter_map(|cells| cells.get(column)).filter(|cell| !cell.is_empty());
                cells.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit() || first == '-'))
            })
            .collect();
        let write = |out: &mut dyn Write, cells: &[String]| {
            let padded = cells.iter().zip(&widths).zip(&figures).map(|((cell, width), figures)| {
                if *figures { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        write(out, &self.heads)?;
        for line in &self.lines {
            match line {
                Line::Row(cells) => write(out, cells)?,
                Line::Note(text) => writeln!(out, "{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: text and figures of several widths, with a note between.
    /// Guarantees: columns line up, figures end below each other, nothing trails.
    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["node", "read", "verdict"]);
        table.row(["web-1", "12", "settled"]);
        table.note("  a word about it".to_owned());
        table.row(["db", "9 000", ""]);
        let mut text = Vec::new();
        table.write(&mut text).expect("written");
        let expect = "node    read  verdict\nweb-1     12  settled\n  a word about it\ndb     9 000\n";
        assert_eq!(String::from_utf8_lossy(&text), expect);
    }
}
