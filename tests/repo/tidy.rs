//! The house rules that every file keeps.

use super::hold;
use super::source::{self, File};

/// Lines of a Rust file at most; aim at 150.
const MOST_LINES: usize = 500;

/// What may stand at the top level, besides dotfiles.
const FOLDERS: [&str; 6] = ["agent", "aggregator", "dashboards", "deploy", "proto", "tests"];
const FILES: [&str; 12] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = [
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "manager.rs",
    "misc.rs",
    "mod.rs",
    "types.rs",
    "util.rs",
    "utils.rs",
];

/// Words of unfinished work, in two pieces so that this file does not name them.
const LOOSE_ENDS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("To ", "come."),
    concat!("unimple", "mented!("),
    concat!("#[ign", "ore"),
];

fn ours(endings: &[&str]) -> Vec<File> {
    source::files().into_iter().filter(|file| file.is(endings) && !file.is_fixture()).collect()
}

/// Scenario: the repository's top level.
/// Guarantees: a newcomer finds the folders that ARCHITECTURE.md describes, and nothing else.
#[test]
fn top_level() {
    let wrong: Vec<String> = source::top_level()
        .into_iter()
        .filter(|(name, is_folder)| {
            let known = if *is_folder { FOLDERS.as_slice() } else { FILES.as_slice() };
            !name.starts_with('.') && !known.contains(&name.as_str())
        })
        .map(|(name, _)| format!("  {name}"))
        .collect();
    hold(
        "something stands at the top level that does not belong there: move it into one of the folders",
        &wrong,
    );
}

/// Scenario: every Rust file.
/// Guarantees: none is too long to be read at once.
#[test]
fn sizes() {
    let lines = |file: &File| file.text.lines().count();
    let wrong: Vec<String> = ours(&[".rs"])
        .iter()
        .filter(|file| lines(file) > MOST_LINES)
        .map(|file| format!("  {} has {} lines", file.path, lines(file)))
        .collect();
    hold(
        &format!(
            "more than {MOST_LINES} lines: split the file by what its parts do, or move its tests to x/tests.rs"
        ),
        &wrong,
    );
}

/// Scenario: every Rust file.
/// Guarantees: it opens by saying what its room is for.
#[test]
fn headers() {
    let wrong: Vec<String> = ours(&[".rs"])
        .iter()
        .filter(|file| !file.text.starts_with("//! ") || file.text.starts_with("//! stub"))
        .map(|file| format!("  {}", file.path))
        .collect();
    hold("the first line must be `//! ` and say what the file's room is for", &wrong);
}

/// Scenario: every Rust file's name.
/// Guarantees: self-named modules, and names that say what is inside.
#[test]
fn names() {
    let wrong: Vec<String> = ours(&[".rs"])
        .iter()
        .filter(|file| EMPTY_NAMES.contains(&file.path.rsplit('/').next().unwrap_or_default()))
        .map(|file| format!("  {}", file.path))
        .collect();
    hold("the name says nothing (or is mod.rs: use x.rs beside x/): name the file for what it holds", &wrong);
}

/// Scenario: every text of ours.
/// Guarantees: it ends with one newline, has no blanks at line ends and no carriage returns.
#[test]
fn line_ends() {
    let mut wrong = Vec::new();
    for file in ours(&[
        ".rs", ".toml", ".proto", ".sh", ".md", ".yaml", ".yml", "Makefile", ".css", ".js", ".html",
        ".ci/run",
    ]) {
        if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
            wrong.push(format!("  {} must end with exactly one newline", file.path));
        }
        for (index, line) in file.text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                wrong.push(format!("  {}:{} ends with a blank", file.path, index + 1));
            }
        }
    }
    hold("untidy line ends", &wrong);
}

/// Scenario: every source.
/// Guarantees: ASCII, so that every editor, terminal and search shows the same.
#[test]
fn ascii() {
    let mut wrong = Vec::new();
    for file in ours(&[".rs", ".toml", ".proto", ".sh", "Makefile"]) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(c) = line.chars().find(|c| !c.is_ascii()) {
                wrong.push(format!("  {}:{} has {c:?}: write {}", file.path, index + 1, c.escape_unicode()));
            }
        }
    }
    hold("sources are ASCII; write other characters as escapes", &wrong);
}

/// Scenario: every text of ours.
/// Guarantees: nothing unfinished is left behind; what is to be done stands in the issue tracker.
#[test]
fn no_loose_ends() {
    let mut wrong = Vec::new();
    for file in ours(&[".rs", ".toml", ".proto", ".sh", ".md", ".yaml", "Makefile", ".js", ".html"]) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = LOOSE_ENDS.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("  {}:{} says {word}", file.path, index + 1));
            }
        }
    }
    hold("finish it or leave it out", &wrong);
}

/// Scenario: every test function.
/// Guarantees: its comment says what is set up and what is held.
#[test]
fn tests_say_what_they_hold() {
    let mut wrong = Vec::new();
    for file in ours(&[".rs"]) {
        let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
        for (index, line) in lines.iter().enumerate() {
            if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
                continue;
            }
            // The comment stands above, perhaps with other attributes between.
            let above = lines[..index]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("///") || line.starts_with("#["));
            let comment: String = above.copied().collect::<Vec<_>>().join("\n");
            if !comment.contains("/// Scenario: ") || !comment.contains("/// Guarantees: ") {
                wrong.push(format!("  {}:{}", file.path, index + 1));
            }
        }
    }
    hold("a test lacks its `/// Scenario: ...` or `/// Guarantees: ...`", &wrong);
}
