//! Smokeping's files (Config::Grammar): sections between asterisks, nodes by their number of plus signs, `key = value`,
//! a backslash for a longer line, `@include` and `@define`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files within files at most.
const DEPTH: usize = 8;
/// Nodes within nodes at most.
const LEVELS: usize = 12;
/// Lines of all files together at most.
const LINES: usize = 1_000_000;

/// A node with its values and the nodes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// What stands behind its plus signs.
    pub(super) name: String,
    /// In order; the last of two with one key counts.
    pub(super) values: BTreeMap<String, String>,
    /// The nodes in it, in order.
    pub(super) nodes: Vec<Node>,
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

/// The sections by name.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) nodes: BTreeMap<String, Node>,
    /// Files that are named and not there.
    pub(super) missing: Vec<PathBuf>,
}

/// Where values go: the section, and the way of indices to the node.
#[derive(Default)]
struct Reader {
    sections: Sections,
    section: Option<String>,
    way: Vec<usize>,
    defines: Vec<(String, String)>,
    lines: usize,
}

/// Reads `text`; what it includes is read by `open`, which gives `None` for a file that is not there.
///
/// # Errors
/// The place of what is no such configuration.
pub(super) fn read(text: &str, open: &dyn Fn(&Path) -> Option<String>) -> Result<Sections, String> {
    let mut reader = Reader::default();
    reader.file(text, open, 0)?;
    Ok(reader.sections)
}

impl Reader {
    fn file(
        &mut self,
        text: &str,
        open: &dyn Fn(&Path) -> Option<String>,
        depth: usize,
    ) -> Result<(), String> {
        let mut whole = String::new();
        for (number, line) in text.lines().enumerate() {
            self.lines += 1;
            if self.lines > LINES {
                return Err(format!("more than {LINES} lines"));
            }
            let line = line.trim();
            if whole.is_empty() && (line.is_empty() || line.starts_with('#')) {
                continue;
            }
            if let Some(begin) = line.strip_suffix('\\') {
                whole.push_str(begin.trim_end());
                whole.push(' ');
                continue;
            }
            whole.push_str(line);
            let line = std::mem::take(&mut whole);
            self.line(line.trim(), open, depth).map_err(|why| format!("line {}: {why}", number + 1))?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        line: &str,
        open: &dyn Fn(&Path) -> Option<String>,
        depth: usize,
    ) -> Result<(), String> {
        let mut line = line.to_owned();
        for (name, value) in &self.defines {
            line = line.replace(name, value);
        }
        if let Some(rest) = line.strip_prefix("@include") {
            let path = PathBuf::from(rest.trim());
            if depth >= DEPTH {
                return Err(format!("files include each other more than {DEPTH} deep"));
            }
            match open(&path) {
                Some(text) => {
                    return self
                        .file(&text, open, depth + 1)
                        .map_err(|why| format!("{}: {why}", path.display()));
                }
                None => self.sections.missing.push(path),
            }
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("@define") {
            let (name, value) =
                rest.trim().split_once(char::is_whitespace).ok_or("@define needs a name and a value")?;
            self.defines.push((name.to_owned(), value.trim().to_owned()));
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("***") {
            let name = rest.trim_end_matches('*').trim().to_owned();
            self.sections.nodes.entry(name.clone()).or_default();
            self.section = Some(name);
            self.way.clear();
            return Ok(());
        }
        let section = self
            .section
            .as_ref()
            .ok_or_else(|| format!("{line:?} stands before the first *** Section ***"))?;
        let root = self.sections.nodes.entry(section.clone()).or_default();
        let level = line.bytes().take_while(|byte| *byte == b'+').count();
        if level > 0 {
            if level > self.way.len() + 1 || level > LEVELS {
                return Err(format!("{line:?} has more plus signs than the node around it allows"));
            }
            self.way.truncate(level - 1);
            let parent = at(root, &self.way);
            parent.nodes.push(Node { name: line[level..].trim().to_owned(), ..Node::default() });
            self.way.push(parent.nodes.len() - 1);
            return Ok(());
        }
        match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !key.trim().contains(char::is_whitespace) => {
                let node = at(root, &self.way);
                node.values.insert(key.trim().to_owned(), value.trim().to_owned());
                Ok(())
            }
            // Sections of others have tables and texts: only those that are read must be understood.
            _ if matches!(section.as_str(), "Targets" | "Probes" | "Alerts") => {
                Err(format!("{line:?} is neither a node (+ name) nor key = value"))
            }
            _ => Ok(()),
        }
    }
}

fn at<'a>(root: &'a mut Node, way: &[usize]) -> &'a mut Node {
    // The way was made of nodes that are there, and none is ever taken out.
    way.iter().fold(root, |node, index| &mut node.nodes[*index])
}
