//! Which paths are meant by a pattern such as `/var/log/*/*.log`: `*`, `?`, `[a-z]`, `[!0-9]` within one name, `**`
//! for any number of folders. A pattern also says which folders are worth watching for it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// An absolute path with wildcards.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    names: Vec<Name>,
    base: PathBuf,
}

/// The pattern of one name of a path.
#[derive(Clone, Debug)]
enum Name {
    Literal(Vec<u8>),
    Wild(Vec<Token>),
    /// `**`
    Deep,
}

#[derive(Clone, Debug)]
enum Token {
    Byte(u8),
    One,
    Many,
    Class { ranges: Vec<(u8, u8)>, negated: bool },
}

impl Pattern {
    /// # Errors
    /// Says what is wrong with the pattern: not absolute, a `[` that is never closed, or `..`.
    pub(super) fn parse(text: &Path) -> Result<Self, &'static str> {
        let mut names = Vec::new();
        let mut base = PathBuf::from("/");
        if !text.is_absolute() {
            return Err("it is not an absolute path");
        }
        for component in text.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => names.push(Name::parse(name.as_bytes())?),
                Component::ParentDir | Component::Prefix(_) => {
                    return Err("\"..\" has no place in a pattern");
                }
            }
        }
        if names.is_empty() {
            return Err("it names no file");
        }
        // The last name is the file's: even without wildcards, it is the folder around it that is watched.
        for name in &names[..names.len() - 1] {
            let Name::Literal(bytes) = name else { break };
            base.push(std::ffi::OsStr::from_bytes(bytes));
        }
        Ok(Self { names, base })
    }

    /// The deepest folder that every matching path lies in.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Whether `path` is one of those meant.
    pub(super) fn matches(&self, path: &Path) -> bool {
        walk(&self.names, &names_of(path), false)
    }

    /// Whether a path below the folder `dir` could match.
    pub(super) fn reaches_into(&self, dir: &Path) -> bool {
        walk(&self.names, &names_of(dir), true)
    }
}

fn names_of(path: &Path) -> Vec<&[u8]> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.as_bytes()),
            _ => None,
        })
        .collect()
}

/// `prefix`: whether it is enough that the path ends before the pattern does. As [`wild`]: the last `**` is the one
/// point to fall back to, so that no path takes long, whoever names it.
fn walk(pattern: &[Name], path: &[&[u8]], prefix: bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut deep: Option<(usize, usize)> = None;
    while i < path.len() {
        match pattern.get(p) {
            // It takes in all that is below.
            Some(Name::Deep) if prefix => return true,
            Some(Name::Deep) => {
                deep = Some((p, i));
                p += 1;
            }
            Some(name) if name.matches(path[i]) => (p, i) = (p + 1, i + 1),
            _ => {
                let Some((at, from)) = deep else { return false };
                deep = Some((at, from + 1));
                (p, i) = (at + 1, from + 1);
            }
        }
    }
    if prefix { p < pattern.len() } else { pattern[p..].iter().all(|name| matches!(name, Name::Deep)) }
}

impl Name {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if text == b"**" {
            return Ok(Self::Deep);
        }
        if !text.iter().any(|b| b"*?[".contains(b)) {
            return Ok(Self::Literal(text.to_vec()));
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                b'*' => tokens.push(Token::Many),
                b'?' => tokens.push(Token::One),
                b'[' => {
                    let close =
                        rest.iter().skip(1).position(|&b| b == b']').ok_or("\"[\" is never closed")? + 1;
                    tokens.push(class(&rest[..close]));
                    rest = &rest[close + 1..];
                }
                byte => tokens.push(Token::Byte(byte)),
            }
        }
        Ok(Self::Wild(tokens))
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Literal(name) => name == text,
            Self::Wild(tokens) => wild(tokens, text),
            Self::Deep => true,
        }
    }
}

fn class(inside: &[u8]) -> Token {
    let (negated, mut inside) = match inside {
        [b'!' | b'^', rest @ ..] if !rest.is_empty() => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    loop {
        match inside {
            [from, b'-', to, rest @ ..] => {
                ranges.push((*from, *to));
                inside = rest;
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                inside = rest;
            }
            [] => return Token::Class { ranges, negated },
        }
    }
}

/// Greedy with one point to fall back to, hence linear times the number of stars and never exponential.
fn wild(tokens: &[Token], text: &[u8]) -> bool {
    let (mut t, mut i) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while i < text.len() {
        let fits = match tokens.get(t) {
            Some(Token::Many) => {
                star = Some((t, i));
                t += 1;
                continue;
            }
            Some(Token::One) => true,
            Some(Token::Byte(byte)) => *byte == text[i],
            Some(Token::Class { ranges, negated }) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&text[i])) != *negated
            }
            None => false,
        };
        if fits {
            (t, i) = (t + 1, i + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (t, i) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    tokens[t..].iter().all(|token| matches!(token, Token::Many))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a pattern of many `**`, and a path of many names that fits it until its end.
    /// Guarantees: the answer comes at once.
    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::parse(Path::new(&format!("{}/x.log", "/**/a".repeat(200)))).unwrap();
        let path = "/a".repeat(20_000);
        assert!(!pattern.matches(Path::new(&path)) && pattern.reaches_into(Path::new(&path)));
        assert!(pattern.matches(Path::new(&(path + "/x.log"))));
    }

    /// Scenario: patterns as people write them against paths.
    /// Guarantees: a star stays within one name, `**` crosses folders, classes and their negation work.
    #[test]
    fn matching() {
        for (pattern, path, expect) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/a.log.1", false),
            ("/var/log/*.log", "/var/log/x/a.log", false),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/x/y/a.log", true),
            ("/var/log/**", "/var/log/x/y", true),
            ("/var/log/syslog", "/var/log/syslog", true),
            ("/a/[0-9].log", "/a/7.log", true),
            ("/a/[!0-9].log", "/a/7.log", false),
            ("/a/b?*c", "/a/bxyzc", true),
            ("/a/b?*c", "/a/bc", false),
            ("/a/*a*a*b", "/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let parsed = Pattern::parse(Path::new(pattern)).unwrap();
            assert_eq!(parsed.matches(Path::new(path)), expect, "{pattern} {path}");
        }
    }

    /// Scenario: folders on the way to matching files, and beside it.
    /// Guarantees: only folders that can hold a match are entered; the base is the last folder without wildcards.
    #[test]
    fn folders() {
        let pattern = Pattern::parse(Path::new("/var/log/pods/*/*/*.log")).unwrap();
        assert_eq!(pattern.base(), Path::new("/var/log/pods"));
        for (dir, expect) in
            [("/var", true), ("/var/log/pods/a/b", true), ("/var/log/pods/a/b/c", false), ("/srv", false)]
        {
            assert_eq!(pattern.reaches_into(Path::new(dir)), expect, "{dir}");
        }
        assert_eq!(Pattern::parse(Path::new("/var/log/syslog")).unwrap().base(), Path::new("/var/log"));
    }

    /// Scenario: patterns that mean nothing.
    /// Guarantees: each is refused with its reason.
    #[test]
    fn refused() {
        for bad in ["var/*.log", "/var/../x.log", "/var/[a.log", "/"] {
            assert!(Pattern::parse(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
