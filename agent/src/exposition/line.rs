//! One line of the text format.

use std::borrow::Cow;

use ao_proto::model::MetricType;

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Empty, or a comment.
    Nothing,
    Help {
        name: &'a str,
        text: Cow<'a, str>,
    },
    Type {
        name: &'a str,
        kind: MetricType,
    },
    Sample {
        name: &'a str,
        labels: Vec<(&'a str, Cow<'a, str>)>,
        value: f64,
        timestamp_ms: Option<i64>,
    },
}

const BLANKS: [char; 2] = [' ', '\t'];

/// The line, without its end.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Line<'_>, String> {
    let line = line.trim_start_matches(BLANKS);
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    match line.strip_prefix('#') {
        Some(comment) => parse_comment(comment),
        None => parse_sample(line),
    }
}

/// A word and what follows it behind blanks.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(BLANKS);
    let (word, rest) = text.split_once(BLANKS).unwrap_or((text, ""));
    (word, rest.trim_start_matches(BLANKS))
}

fn parse_comment(text: &str) -> Result<Line<'_>, String> {
    let (keyword, rest) = word(text);
    if !matches!(keyword, "HELP" | "TYPE") {
        return Ok(Line::Nothing);
    }
    let (name, rest) = word(rest);
    if name.is_empty() {
        return Ok(Line::Nothing);
    }
    if !metric_name(name).1.is_empty() {
        return Err(format!("{name:?} is no name of a metric"));
    }
    if keyword == "HELP" {
        return Ok(Line::Help { name, text: unescape(rest, false)? });
    }
    let kind = match rest.trim_end_matches(BLANKS) {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        "untyped" => MetricType::Unknown,
        other => return Err(format!("{other:?} is no type of a metric")),
    };
    Ok(Line::Type { name, kind })
}

/// `name{label="value",...} value timestamp`.
fn parse_sample(line: &str) -> Result<Line<'_>, String> {
    let (name, rest) = metric_name(line);
    if name.is_empty() {
        return Err("it does not begin with the name of a metric".to_owned());
    }
    let behind = rest.trim_start_matches(BLANKS);
    let (labels, rest) = match behind.strip_prefix('{') {
        Some(labels) => parse_labels(labels)?,
        None if behind.len() == rest.len() => return Err(format!("no blank behind the name {name}")),
        None => (Vec::new(), rest),
    };
    let (text, rest) = word(rest);
    let value = number(text).ok_or_else(|| format!("{text:?} is no value"))?;
    let (text, rest) = word(rest);
    let timestamp_ms = match text {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("{text:?} is no timestamp in milliseconds"))?),
    };
    if !rest.is_empty() {
        return Err(format!("there is more behind the timestamp: {rest:?}"));
    }
    Ok(Line::Sample { name, labels, value, timestamp_ms })
}

/// The labels and what is behind the closing bracket.
#[expect(clippy::type_complexity, reason = "the labels of a sample, and a text")]
fn parse_labels(text: &str) -> Result<(Vec<(&str, Cow<'_, str>)>, &str), String> {
    let mut labels: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut rest = text.trim_start_matches(BLANKS);
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = label_name(rest);
        if name.is_empty() || name == "__name__" {
            return Err(format!("no name of a label at {:?}", head(rest)));
        }
        if labels.iter().any(|(known, _)| *known == name) {
            return Err(format!("the label {name} twice"));
        }
        let quoted = behind.trim_start_matches(BLANKS).strip_prefix('=');
        let quoted = quoted.and_then(|value| value.trim_start_matches(BLANKS).strip_prefix('"'));
        let quoted = quoted.ok_or_else(|| format!("no =\"...\" behind the label {name}"))?;
        let end = closing_quote(quoted).ok_or_else(|| format!("the value of {name} has no end"))?;
        let (value, behind) = quoted.split_at(end);
        labels.push((name, unescape(value, true)?));
        rest = behind.strip_prefix('"').unwrap_or(behind).trim_start_matches(BLANKS);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start_matches(BLANKS),
            None if rest.starts_with('}') => {}
            None => return Err(format!("neither a comma nor a bracket behind the label {name}")),
        }
    }
}

/// Where the first quote is that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// `\\`, `\n`, and in the value of a label `\"`.
fn unescape(text: &str, quotes: bool) -> Result<Cow<'_, str>, String> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = if c == '\\' {
            chars.next()
        } else {
            out.push(c);
            continue;
        };
        match plain {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quotes => out.push('"'),
            Some(other) => return Err(format!("\"\\{other}\" stands for nothing")),
            None => return Err("a backslash at the end".to_owned()),
        }
    }
    Ok(Cow::Owned(out))
}

/// A float as Prometheus writes it. (Rust takes all of that, and a few words more.)
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The longest beginning that is a name of a metric, `[a-zA-Z_:][a-zA-Z0-9_:]*`, and the rest.
fn metric_name(text: &str) -> (&str, &str) {
    name(text, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':'))
}

/// The same without colons.
fn label_name(text: &str) -> (&str, &str) {
    name(text, |byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn name(text: &str, letter: fn(u8) -> bool) -> (&str, &str) {
    let bytes = text.as_bytes();
    let is_part = |(at, &byte): (usize, &u8)| letter(byte) || (at > 0 && byte.is_ascii_digit());
    text.split_at(bytes.iter().enumerate().take_while(|&part| is_part(part)).count())
}

/// The beginning of a text that may be long.
fn head(text: &str) -> String {
    text.chars().take(20).collect()
}
