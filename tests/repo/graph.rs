//! Which file imports which: paths that begin with `crate`, `self`, `super`, a child module or one of our crates,
//! resolved to files.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, File};

/// Our crates: the folder of the sources, the name in Rust.
pub(crate) const CRATES: [(&str, &str); 4] = [
    ("agent/src/", "ao_agent"),
    ("aggregator/src/", "ao_aggregator"),
    ("proto/common/src/", "ao_common"),
    ("proto/src/", "ao_proto"),
];

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// The file that imports, its path in the repository.
    pub(crate) from: String,
    /// Where in it, from 1.
    pub(crate) line: usize,
    /// The file imported from; of another crate: its name in Rust.
    pub(crate) to: String,
}

/// All imports of one crate outside its tests.
pub(crate) fn edges(files: &[File], folder: &str) -> Vec<Edge> {
    let own: Vec<&File> =
        files.iter().filter(|file| file.path.starts_with(folder) && !is_test(&file.path)).collect();
    let modules: BTreeMap<Vec<String>, &str> =
        own.iter().map(|file| (module_of(&file.path, folder), file.path.as_str())).collect();
    let mut edges = BTreeSet::new();
    for file in own {
        let code = source::without_tests(&source::code(&file.text));
        let base = module_of(&file.path, folder);
        for (line, path) in paths(&code) {
            if let Some(to) = resolve(&base, &path, &modules).filter(|to| *to != file.path) {
                edges.insert(Edge { from: file.path.clone(), line, to });
            }
        }
    }
    edges.into_iter().collect()
}

/// Files that are compiled for tests alone.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `agent/src/logs/tail.rs` is `logs::tail`; a crate's root is empty.
pub(crate) fn module_of(path: &str, folder: &str) -> Vec<String> {
    let inside = path.strip_prefix(folder).unwrap_or(path).trim_end_matches(".rs");
    match inside {
        "lib" => Vec::new(),
        inside => inside.split('/').map(str::to_owned).collect(),
    }
}

/// The file that a path leads to: that of its longest beginning that is a module.
fn resolve(base: &[String], path: &[String], modules: &BTreeMap<Vec<String>, &str>) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let mut absolute: Vec<String> = match first.as_str() {
        "crate" if !rest.is_empty() => Vec::new(),
        "self" | "super" if !rest.is_empty() => base.to_vec(),
        name if CRATES.iter().any(|(_, krate)| *krate == name) => return Some(name.to_owned()),
        name => {
            let child: Vec<String> = base.iter().cloned().chain([name.to_owned()]).collect();
            // A bare word is a module only as the beginning of a path.
            return (!rest.is_empty() && modules.contains_key(&child))
                .then(|| resolve(base, &[&["self".to_owned()], path].concat(), modules))
                .flatten();
        }
    };
    if first == "super" {
        absolute.pop();
    }
    for name in rest {
        if name == "super" {
            absolute.pop();
        } else if name != "self" {
            absolute.push(name.clone());
        }
    }
    loop {
        if let Some(file) = modules.get(&absolute) {
            return Some((*file).to_owned());
        }
        absolute.pop()?;
    }
}

/// All paths of a source with their lines; groups (`a::{b, c::d}`) are spread out. A macro's path is left out.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let joined = at > 0 && (tokens[at - 1].1 == "::" || tokens[at - 1].1 == ".");
        if is_word(tokens[at].1) && !joined {
            at = path(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path from `at` on; returns where it ends.
fn path(
    tokens: &[(usize, &str)],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let line = tokens[at].0;
    let mut words = before.to_vec();
    while at < tokens.len() && is_word(tokens[at].1) {
        words.push(tokens[at].1.to_owned());
        at += 1;
        if tokens.get(at).is_none_or(|token| token.1 != "::") {
            if tokens.get(at).is_none_or(|token| token.1 != "!") {
                found.push((line, words));
            }
            return at;
        }
        at += 1;
    }
    if tokens.get(at).is_some_and(|token| token.1 == "{") {
        at += 1;
        while at < tokens.len() && tokens[at].1 != "}" {
            at = if is_word(tokens[at].1) { path(tokens, at, &words, found) } else { at + 1 };
        }
        return at + 1;
    }
    // `*`, or the `<` of a generic.
    found.push((line, words));
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(c) = rest.chars().next() {
            let length = if c.is_alphanumeric() || c == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                c.len_utf8()
            };
            tokens.push((index + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The circles: groups of more than one node in which everyone reaches everyone (Tarjan would be faster; the crates
/// are small enough for the plain way).
pub(crate) fn circles(edges: &[(String, String)]) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        next.entry(from).or_default().insert(to);
    }
    let reach = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start.to_owned()];
        while let Some(node) = open.pop() {
            for to in next.get(node.as_str()).into_iter().flatten() {
                if seen.insert((*to).to_owned()) {
                    open.push((*to).to_owned());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<String, BTreeSet<String>> =
        next.keys().map(|node| ((*node).to_owned(), reach(node))).collect();
    let mut groups = BTreeSet::new();
    for (node, seen) in reached.iter().filter(|(node, seen)| seen.contains(*node)) {
        let back = |other: &&String| reached.get(*other).is_some_and(|seen| seen.contains(node));
        groups.insert(seen.iter().filter(back).cloned().collect::<Vec<_>>());
    }
    groups.into_iter().collect()
}

/// Scenario: one crate in miniature with every form of import.
/// Guarantees: each leads to its file; macros, tests, one's own items and words that are no modules lead nowhere.
#[test]
fn resolves_imports() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("agent/src/lib.rs", "pub mod a;\npub mod b;\n"),
        file("agent/src/a.rs", "mod c;\nuse c::X;\nuse crate::{b::{self, Y}, a::Own};\ncrate::b::m!(1);\n"),
        file(
            "agent/src/a/c.rs",
            "use super::super::b::Z;\nfn f() { self.b::<X>(); ao_common::units::f(); super::g() }\n",
        ),
        file("agent/src/b.rs", "#[cfg(test)]\nmod tests { use crate::a::X; }\npub(crate) fn f(b: b::T) {}\n"),
        file("agent/src/b/tests.rs", "use crate::a::X;\n"),
    ];
    let found: Vec<_> =
        edges(&files, "agent/src/").into_iter().map(|edge| (edge.from, edge.line, edge.to)).collect();
    let edge = |from: &str, line, to: &str| (from.to_owned(), line, to.to_owned());
    assert_eq!(
        found,
        [
            edge("agent/src/a.rs", 2, "agent/src/a/c.rs"),
            edge("agent/src/a.rs", 3, "agent/src/b.rs"),
            edge("agent/src/a/c.rs", 1, "agent/src/b.rs"),
            edge("agent/src/a/c.rs", 2, "agent/src/a.rs"),
            edge("agent/src/a/c.rs", 2, "ao_common"),
        ]
    );
    let pairs: Vec<_> = found.into_iter().map(|(from, _, to)| (from, to)).collect();
    assert_eq!(circles(&pairs), [["agent/src/a.rs", "agent/src/a/c.rs"]]);
}
