//! The repository's files, and Rust sources without their comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, with its path relative to the repository.
pub(crate) struct File {
    /// Such as `agent/src/logs.rs`.
    pub(crate) path: String,
    /// Its text; empty for what is no UTF-8.
    pub(crate) text: String,
}

impl File {
    /// Whether the path ends in one of these.
    pub(crate) fn is(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }

    /// Recorded input of tests: other programs' words, not ours.
    pub(crate) fn is_fixture(&self) -> bool {
        self.path.contains("/fixtures/") || self.path.contains("/golden/") || self.path.ends_with(".snap")
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Names at the top level, without what git ignores there.
pub(crate) fn top_level() -> Vec<(String, bool)> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let is_ignored =
        |name: &str| name == ".git" || ignored.lines().any(|line| line.strip_prefix('/') == Some(name));
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir())
    };
    let mut names: Vec<_> =
        fs::read_dir(root()).unwrap().map(entry).filter(|(name, _)| !is_ignored(name)).collect();
    names.sort();
    names
}

/// All files, sorted by path.
pub(crate) fn files() -> Vec<File> {
    let mut found = Vec::new();
    for (name, _) in top_level() {
        collect(&root().join(name), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(path: &Path, found: &mut Vec<File>) {
    if path.is_symlink() {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else {
        let relative = path.strip_prefix(root()).unwrap().display().to_string();
        found.push(File { path: relative, text: fs::read_to_string(path).unwrap_or_default() });
    }
}

/// All Rust sources.
pub(crate) fn rust_files() -> Vec<File> {
    files().into_iter().filter(|file| file.is(&[".rs"])).collect()
}

/// The text with comments and what is in literals blanked: same length in lines.
pub(crate) fn code(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let end = literal_or_comment(&source, at).unwrap_or(at);
        if end == at {
            out.push(source[at]);
            at += 1;
        } else {
            out.extend(source[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins here.
fn literal_or_comment(source: &[char], at: usize) -> Option<usize> {
    let c = |offset: usize| source.get(at + offset).copied().unwrap_or('\0');
    let in_word = at > 0 && (source[at - 1].is_alphanumeric() || source[at - 1] == '_');
    match c(0) {
        '/' if c(1) == '/' => Some(at + source[at..].iter().take_while(|&&c| c != '\n').count()),
        '/' if c(1) == '*' => Some(block_comment_end(source, at)),
        '"' => Some(string_end(source, at + 1)),
        'r' if !in_word && (c(1) == '"' || c(1) == '#') => raw_end(source, at + 1),
        'b' | 'c' if !in_word && c(1) == 'r' => raw_end(source, at + 2),
        // A character, as opposed to a lifetime.
        '\'' if c(1) == '\\' => {
            Some(at + 3 + source[(at + 3).min(source.len())..].iter().take_while(|&&c| c != '\'').count() + 1)
        }
        '\'' if c(2) == '\'' => Some(at + 3),
        _ => None,
    }
    .map(|end| end.min(source.len()))
}

fn block_comment_end(source: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < source.len() {
        match (source[at], source.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(source: &[char], mut at: usize) -> usize {
    while at < source.len() {
        match source[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw_end(source: &[char], at: usize) -> Option<usize> {
    let hashes = source[at..].iter().take_while(|&&c| c == '#').count();
    if source.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + hashes + 1;
    while end < source.len() {
        if source[end] == '"'
            && source[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
        {
            return Some(end + 1 + hashes);
        }
        end += 1;
    }
    Some(end)
}

/// Blanks the modules that are compiled for tests alone, in a text that [`code`] made.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        // Up to the first ';' (`mod tests;`) or the end of the first braces.
        let mut depth = 0;
        let mut end = from.len();
        for (index, c) in from.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    end = index + 1;
                    break;
                }
                '}' => depth -= 1,
                ';' if depth == 0 => {
                    end = index + 1;
                    break;
                }
                _ => {}
            }
        }
        out.extend(from[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

/// Scenario: a source with every kind of comment and literal around one import.
/// Guarantees: the import is left, on its line; nothing that only looks like one.
#[test]
fn blanks_what_is_no_code() {
    let text = "//! use crate::a;\n/* use /* crate::b; */ */ use crate::real;\nlet x: &'a str = \"use \\\" crate::c\";\n\
                let y = r#\"use \" crate::d\"#; let z = ('\\'', 'q', b'\"'); use crate::last;\n\
                #[cfg(test)]\nmod tests { fn f() {} use crate::e; }\n";
    let code = without_tests(&code(text));
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.lines().nth(1).unwrap().contains("use crate::real;"), "{code}");
    assert!(code.contains("use crate::last;"), "{code}");
    assert!(
        ["a;", "b;", "c\"", "d\"", "e;"].iter().all(|end| !code.contains(&format!("crate::{end}"))),
        "{code}"
    );
}
