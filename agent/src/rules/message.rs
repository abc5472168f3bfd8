//! A line's message with what varies left out: `user 42 not found in 3ms` is `user <*> not found in <*>`.
//!
//! Of JSON and logfmt the message is the value of its common names, of klog what stands behind the head, else the whole
//! line. Words are what stands between spaces; one that has a digit, is a path, a link or very long is a `<*>`, and of
//! `name=value` only the value is; several `<*>` in a row are one.

use memchr::memmem;

/// What stands for what varies.
pub(super) const VARIES: &str = "<*>";
/// Bytes of a line that are looked at for its message.
const LOOK: usize = 1_024;
/// Words of a message at most; behind them stands [`MORE`].
const WORDS: usize = 24;
/// Bytes of a message's text at most.
const TEXT: usize = 240;
/// A longer word is no word of people.
const LONG: usize = 40;
/// There were more words.
const MORE: &str = "...";

/// Names of the message in JSON, with the quotes and the colon.
const JSON: [&str; 8] = [
    "\"msg\":",
    "\"message\":",
    "\"@message\":",
    "\"event\":",
    "\"error\":",
    "\"err\":",
    "\"@m\":",
    "\"log\":",
];
/// Names of the message in logfmt.
const LOGFMT: [&str; 3] = ["msg=", "message=", "err="];

/// Writes the words of a line's message to `out`, a space between two; leaves it empty where there is none.
pub(super) fn mask(line: &str, out: &mut String) {
    out.clear();
    let line = &line[..line.floor_char_boundary(LOOK)];
    let line = line.split('\n').next().unwrap_or_default();
    let message = message(line);
    let mut words = 0;
    for word in message.split_ascii_whitespace() {
        if words == WORDS || out.len() >= TEXT {
            push(out, MORE);
            return;
        }
        let before = out.len();
        match word.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, value)) if varies(value) => {
                push(out, name);
                out.push('=');
                out.push_str(VARIES);
            }
            _ if !varies(word) => push(out, word),
            _ if out.as_str() == VARIES || out.ends_with(" <*>") => {}
            _ => push(out, VARIES),
        }
        words += usize::from(out.len() > before);
    }
}

fn push(out: &mut String, word: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(word);
}

/// A word that is another one in the next line.
fn varies(word: &str) -> bool {
    word.len() > LONG
        || word.bytes().any(|b| b.is_ascii_digit())
        || word.contains("://")
        || word.strip_prefix(['/', '"', '\'', '(']).is_some_and(|rest| rest.contains('/'))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// The part of a line that people wrote.
fn message(line: &str) -> &str {
    let trimmed = line.trim_ascii_start();
    if trimmed.starts_with('{') {
        return of_json(trimmed).unwrap_or(trimmed);
    }
    // klog, whose head says where in the source: `E1122 15:04:05.6 7 a.go:1] text`.
    if trimmed.as_bytes().get(1..5).is_some_and(|date| date.iter().all(u8::is_ascii_digit))
        && let Some((_, text)) = trimmed.split_once("] ")
    {
        return text;
    }
    LOGFMT.iter().find_map(|name| of_logfmt(trimmed, name)).unwrap_or(trimmed)
}

fn of_json(line: &str) -> Option<&str> {
    JSON.iter().find_map(|name| {
        let at = memmem::find(line.as_bytes(), name.as_bytes())?;
        let text = line[at + name.len()..].trim_ascii_start().strip_prefix('"')?;
        let text = quoted(text);
        (!text.is_empty()).then_some(text)
    })
}

fn of_logfmt<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let at = memmem::find(line.as_bytes(), name.as_bytes())?;
    if at > 0 && line.as_bytes()[at - 1] != b' ' {
        return None;
    }
    let value = &line[at + name.len()..];
    let text = match value.strip_prefix('"') {
        Some(text) => quoted(text),
        None => value.split(' ').next()?,
    };
    (!text.is_empty()).then_some(text)
}

/// Up to the quote that ends it.
fn quoted(text: &str) -> &str {
    let mut escaped = false;
    let end = text.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(line: &str) -> String {
        let mut out = "of before".to_owned();
        mask(line, &mut out);
        out
    }

    /// Scenario: lines of several forms.
    /// Guarantees: the message alone, with what varies left out.
    #[test]
    fn lines() {
        let many = "a ".repeat(30);
        for (line, expect) in [
            (r#"{"level":"error","msg":"user 42 not \"found\"","ts":1}"#, r#"user <*> not \"found\""#),
            (r#"{"message": "no route to 10.0.0.3:5432, giving up"}"#, "no route to <*> giving up"),
            (r#"{"msg":"","error":"timed out"}"#, "timed out"),
            (
                r#"ts=2026-11-22 level=error msg="cannot open /var/lib/x after 3ms" n=1"#,
                "cannot open <*> after <*>",
            ),
            ("level=warn err=timeout", "timeout"),
            ("E1122 15:04:05.678 7 a.go:142] \"Sync failed\" pod=\"shop/a-1\"", "\"Sync failed\" pod=<*>"),
            (
                "2026-11-22 23:35:31.123 ERROR [main] a.B - refused by db1",
                "<*> ERROR [main] a.B - refused by <*>",
            ),
            ("GET https://a.example/b failed: err=EOF took=3s", "EOF"),
            ("it failed: code=ENOENT took=3s", "it failed: code=ENOENT took=<*>"),
            ("1 2 3", "<*>"),
            ("error at\n  stack", "error at"),
            ("", ""),
            (&many, &format!("{}...", "a ".repeat(WORDS))),
        ] {
            assert_eq!(masked(line), expect, "{line}");
        }
    }

    proptest! {
        /// Scenario: any text, as it is and within JSON and logfmt.
        /// Guarantees: no panic, bounded words and bytes; what is masked stays as it is when it is masked again.
        #[test]
        fn any_text(text in r#"\PC{0,300}|[a-c0-2 "\\=/{}\n]{0,300}"#) {
            for line in [text.clone(), format!("{{\"msg\":\"{text}\"}}"), format!("msg={text}")] {
                let out = masked(&line);
                prop_assert!(out.split(' ').count() <= WORDS + 1, "{out}");
                prop_assert!(out.len() <= TEXT + 2 * LONG + MORE.len() + 8, "{out}");
            }
        }
    }
}
