//! `${NAME}` and `${NAME:-default}` in scalar values, put in before the YAML is read.
//!
//! The text stays line for line what the user wrote, so that errors name his lines. What a variable holds can
//! never change the shape of the document: in quotes it is escaped; a bare `${NAME}` that is the whole value
//! becomes a quoted string unless it reads as one plain scalar (so that numbers stay numbers); everything else
//! that would need quotes is refused. `$${` stands for a literal `${`; comments are left alone, and so is
//! what is no variable's name (`${1}` of a regular expression's replacement).

use serde_yaml_ng::Value;

use super::error::ConfigError;

/// How the text around a reference is quoted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    Plain,
    Single,
    Double,
    Block,
}

/// Puts the variables in.
pub(super) fn put_in(
    text: &str,
    origin: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut quote = Quote::Plain;
    // Indentation of the line that opened a block scalar (`key: |`), while inside it.
    let mut block: Option<usize> = None;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if block.is_some_and(|parent| !line.trim().is_empty() && indent <= parent) {
            block = None;
        }
        if block.is_some() {
            quote = Quote::Block;
        } else if quote == Quote::Block {
            quote = Quote::Plain;
        }
        let found = Line { origin, number: index + 1, variable: &variable };
        quote = found.put_in(line, quote, &mut out)?;
        if quote == Quote::Plain && opens_block(line) {
            block = Some(indent);
        }
    }
    Ok(out)
}

/// Whether a line ends in `|` or `>` with its modifiers: the value is the indented text below.
fn opens_block(line: &str) -> bool {
    let code = line.split(" #").next().unwrap_or_default().trim_end();
    let bare = code.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    [": |", ": >", "- |", "- >"].iter().any(|end| bare.ends_with(end))
}

/// One line of the text.
struct Line<'a, F> {
    origin: &'a str,
    number: usize,
    variable: &'a F,
}

impl<F: Fn(&str) -> Option<String>> Line<'_, F> {
    /// Appends the line with its variables put in; returns how its end is quoted.
    fn put_in(&self, line: &str, mut quote: Quote, out: &mut String) -> Result<Quote, ConfigError> {
        let mut rest = line;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let starts_value = matches!(before, ' ' | '\t' | '[' | '{' | ',' | ':' | '-');
            if let Some(behind) = rest.strip_prefix("$${") {
                out.push_str("${");
                (rest, before) = (behind, '{');
                continue;
            }
            if let Some((name, default, behind)) = reference(rest) {
                let value = (self.variable)(name).or_else(|| default.map(str::to_owned));
                let value = value.ok_or_else(|| ConfigError::Unset {
                    origin: self.origin.to_owned(),
                    line: self.number,
                    name: name.to_owned(),
                })?;
                let whole = starts_value && ends_value(behind);
                let escaped = escape(&value, quote, whole).ok_or_else(|| ConfigError::Unquoted {
                    origin: self.origin.to_owned(),
                    line: self.number,
                    name: name.to_owned(),
                })?;
                out.push_str(&escaped);
                (rest, before) = (behind, '}');
                continue;
            }
            match (quote, c) {
                (Quote::Plain, '#') if before == ' ' || before == '\t' => {
                    out.push_str(rest);
                    return Ok(quote);
                }
                (Quote::Plain, '"') if starts_value => quote = Quote::Double,
                (Quote::Plain, '\'') if starts_value => quote = Quote::Single,
                (Quote::Double, '"') | (Quote::Single, '\'') => quote = Quote::Plain,
                (Quote::Double, '\\') => {
                    // The escaped character goes with its backslash, so that `\"` closes nothing.
                    out.push(c);
                    rest = &rest[1..];
                    let Some(escaped) = rest.chars().next() else { return Ok(quote) };
                    out.push(escaped);
                    (rest, before) = (&rest[escaped.len_utf8()..], escaped);
                    continue;
                }
                _ => {}
            }
            out.push(c);
            (rest, before) = (&rest[c.len_utf8()..], c);
        }
        Ok(quote)
    }
}

/// Splits `${NAME:-default}rest`; `None` where the text does not begin with a reference.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (inside, behind) = text.strip_prefix("${")?.split_once('}')?;
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let mut letters = name.bytes();
    let named = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (named && !inside.contains('\n')).then_some((name, default, behind))
}

/// Whether a plain value ends here.
fn ends_value(behind: &str) -> bool {
    let trimmed = behind.trim_start_matches([' ', '\t', '\r']);
    trimmed.is_empty()
        || trimmed.starts_with(['\n', ',', ']', '}'])
        || (trimmed.starts_with('#') && trimmed.len() < behind.len())
}

/// The value as it may stand there; `None` where it may not.
fn escape(value: &str, quote: Quote, whole: bool) -> Option<String> {
    match quote {
        Quote::Double => Some(double_quoted(value)),
        Quote::Single => (!value.contains(['\n', '\r'])).then(|| value.replace('\'', "''")),
        Quote::Block => (!value.contains(['\n', '\r'])).then(|| value.to_owned()),
        Quote::Plain if is_plain(value) => Some(value.to_owned()),
        Quote::Plain => whole.then(|| format!("\"{}\"", double_quoted(value))),
    }
}

/// Whether the text reads as one scalar of the same spelling in every place a plain scalar can stand.
fn is_plain(value: &str) -> bool {
    let reads = |text: String| match serde_yaml_ng::from_str::<Vec<Value>>(&text).as_deref() {
        Ok([Value::String(read)]) => read == value,
        Ok([Value::Number(_) | Value::Bool(_)]) => true,
        _ => false,
    };
    !value.contains(['\n', '\r']) && reads(format!("[{value}]")) && reads(format!("- {value}"))
}

fn double_quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
