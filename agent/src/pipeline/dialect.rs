//! Go's regular expressions in the regex crate's words. Both know RE2's syntax, but: in Go, `\d`, `\w`, `\s` and `\b`
//! mean ASCII alone, a `{` that begins no repetition is itself, so is a `[` within a class, and `\Q...\E` quotes.
//! Source: Go's package regexp/syntax, and the regex crate's documentation on syntax.

/// The same expression for the regex crate. What is wrong stays wrong.
pub(crate) fn from_go(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut class) = (text, None);
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match (c, class) {
            ('\\', _) => escape(behind, class.is_some(), &mut out),
            ('[', None) => {
                let len = behind.bytes().take_while(|b| *b == b'^').take(1).count();
                out.push('[');
                out.push_str(&behind[..len]);
                class = Some(behind.len() - len);
                &behind[len..]
            }
            // Right behind its beginning it is itself.
            (']', Some(begin)) if rest.len() == begin => {
                out.push_str(r"\]");
                behind
            }
            (']', Some(_)) => {
                class = None;
                out.push(']');
                behind
            }
            ('[', Some(_)) if behind.starts_with(':') => {
                let end = behind.find(":]").map_or(0, |at| at + 2);
                out.push('[');
                out.push_str(&behind[..end]);
                &behind[end..]
            }
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
                behind
            }
            ('{', None) if !repeats(behind) => {
                out.push_str(r"\{");
                behind
            }
            _ => {
                out.push(c);
                behind
            }
        };
    }
    out
}

/// What stands behind a backslash; returns what follows it.
fn escape<'a>(behind: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(c) = behind.chars().next() else {
        out.push('\\');
        return behind;
    };
    let rest = &behind[c.len_utf8()..];
    match (c, in_class) {
        ('d', false) => out.push_str("[0-9]"),
        ('d', true) => out.push_str("0-9"),
        ('D', _) => out.push_str("[^0-9]"),
        ('w', false) => out.push_str("[0-9A-Za-z_]"),
        ('w', true) => out.push_str("0-9A-Za-z_"),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('s', false) => out.push_str(r"[\t\n\f\r ]"),
        ('s', true) => out.push_str(r"\t\n\f\r "),
        ('S', _) => out.push_str(r"[^\t\n\f\r ]"),
        ('b', false) => out.push_str(r"(?-u:\b)"),
        ('Q', false) => {
            let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(c);
            // What has braces of its own.
            if matches!(c, 'p' | 'P' | 'x')
                && rest.starts_with('{')
                && let Some(end) = rest.find('}')
            {
                out.push_str(&rest[..=end]);
                return &rest[end + 1..];
            }
        }
    }
    rest
}

/// What follows a `{` makes it a repetition: `3}`, `3,}`, `3,5}`.
fn repeats(behind: &str) -> bool {
    let Some((inside, _)) = behind.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && least.bytes().chain(most.bytes()).all(|b| b.is_ascii_digit())
}

/// A Go string at the beginning of a text, in double quotes with escapes or in backquotes without, and what follows it.
pub(crate) fn go_string(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('`') {
        return rest.split_once('`').map(|(value, rest)| (value.to_owned(), rest));
    }
    let inside = text.strip_prefix('"')?;
    let (mut value, mut chars) = (Vec::new(), inside.char_indices());
    while let Some((at, c)) = chars.next() {
        let plain = match c {
            '"' => return Some((String::from_utf8_lossy(&value).into_owned(), &inside[at + 1..])),
            '\\' => match chars.next()?.1 {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                c @ ('x' | 'u' | 'U') => {
                    let digits = match c {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let digits: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&digits, 16).ok()?;
                    if c == 'x' {
                        // A byte, be it part of a character.
                        value.push(u8::try_from(code).ok()?);
                        continue;
                    }
                    char::from_u32(code)?
                }
                c @ ('\\' | '"' | '\'') => c,
                _ => return None,
            },
            '\n' => return None,
            c => c,
        };
        value.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: expressions that Go and the crate read in two ways.
    /// Guarantees: each matches what Go matches, and not what Go does not.
    #[test]
    fn as_go_reads_them() {
        for (go, yes, no) in [
            (r#"^{"a":\d+}$"#, r#"{"a":12}"#, "{\"a\":\u{0661}}"),
            (r"^a{2}b{1,}c{1,2}$", "aabbc", "aab"),
            (r"^[^[]+$", "abc", "a[c"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[\w&&~]+$", "a&~", "-"),
            (r"^\Qa.b{\E+$", "a.b{{", "aXb{"),
            (r"^[[:alpha:]]+$", "ab", "12"),
            (r"^\p{Greek}\x{41}$", "\u{3b1}A", "aA"),
            (r"^\S+\s\W$", "a -", "a b"),
            (r"\bend\b", "the end.", "\u{e9}nde"),
        ] {
            let regex = regex::Regex::new(&from_go(go)).unwrap();
            assert!(regex.is_match(yes), "{go} as {regex}: {yes}");
            assert!(!regex.is_match(no), "{go} as {regex}: {no}");
        }
    }

    /// Scenario: strings as Go writes them, and what is none.
    /// Guarantees: the text and what follows.
    #[test]
    fn strings() {
        for (text, expect) in [
            (r#""a\tb\"c\\" rest"#, Some(("a\tb\"c\\", " rest"))),
            (r"`a\tb`", Some((r"a\tb", ""))),
            (r#""\u00e9\xc3\xa9""#, Some(("\u{e9}\u{e9}", ""))),
            (r#""open"#, None),
            (r#""\q""#, None),
            ("plain", None),
        ] {
            let found = go_string(text);
            assert_eq!(found.as_ref().map(|(value, rest)| (&**value, *rest)), expect, "{text}");
        }
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn any_text(text in r"[\\\[\]{}^QEdwxp&~:a0,]{0,24}|\PC{0,24}") {
            let _out = (from_go(&text), go_string(&text));
        }
    }
}
