//! What templates can call: Go's own functions, those that Promtail adds, and the common ones of the library sprig.

use std::borrow::Cow;

use regex::{NoExpand, Regex};

use super::api::{Datum, Function};
use crate::pipeline::{dialect, digest};

type Run = fn(&[Datum], Option<&Regex>) -> Option<Datum>;

const fn f(name: &'static str, takes: usize, run: Run) -> Function {
    Function { name, takes: takes..=takes, is_regex: false, run }
}

const fn any(name: &'static str, least: usize, run: Run) -> Function {
    Function { name, takes: least..=usize::MAX, is_regex: false, run }
}

static FUNCTIONS: [Function; 41] = [
    f("ToLower", 1, |a, _| put(text(&a[0])?.to_lowercase())),
    f("ToUpper", 1, |a, _| put(text(&a[0])?.to_uppercase())),
    f("Replace", 4, |a, _| {
        let most = number(&a[3])?;
        let most = if most < 0.0 { usize::MAX } else { most as usize };
        put(text(&a[0])?.replacen(text(&a[1])?, text(&a[2])?, most))
    }),
    f("Trim", 2, |a, _| {
        let set = text(&a[1])?;
        put(text(&a[0])?.trim_matches(|c| set.contains(c)).to_owned())
    }),
    f("TrimLeft", 2, |a, _| {
        let set = text(&a[1])?;
        put(text(&a[0])?.trim_start_matches(|c| set.contains(c)).to_owned())
    }),
    f("TrimRight", 2, |a, _| {
        let set = text(&a[1])?;
        put(text(&a[0])?.trim_end_matches(|c| set.contains(c)).to_owned())
    }),
    f("TrimPrefix", 2, |a, _| without(text(&a[0])?, str::strip_prefix(text(&a[0])?, text(&a[1])?))),
    f("TrimSuffix", 2, |a, _| without(text(&a[0])?, str::strip_suffix(text(&a[0])?, text(&a[1])?))),
    f("TrimSpace", 1, |a, _| put(text(&a[0])?.trim().to_owned())),
    f("Hash", 2, |a, _| put(digest::hex(&digest::sha3_256(&salted(a)?)))),
    f("Sha2Hash", 2, |a, _| put(digest::hex(&digest::sha2_256(&salted(a)?)))),
    Function {
        name: "regexReplaceAll",
        takes: 3..=3,
        is_regex: true,
        run: |a, regex| put(compiled(a, regex)?.replace_all(text(&a[1])?, text(&a[2])?).into_owned()),
    },
    Function {
        name: "regexReplaceAllLiteral",
        takes: 3..=3,
        is_regex: true,
        run: |a, regex| {
            put(compiled(a, regex)?.replace_all(text(&a[1])?, NoExpand(text(&a[2])?)).into_owned())
        },
    },
    Function {
        name: "regexMatch",
        takes: 2..=2,
        is_regex: true,
        run: |a, regex| is(compiled(a, regex)?.is_match(text(&a[1])?)),
    },
    // Go's own.
    any("eq", 2, |a, _| is(a[1..].iter().any(|other| *other == a[0]))),
    f("ne", 2, |a, _| is(a[0] != a[1])),
    f("lt", 2, |a, _| is(order(a)?.is_lt())),
    f("le", 2, |a, _| is(order(a)?.is_le())),
    f("gt", 2, |a, _| is(order(a)?.is_gt())),
    f("ge", 2, |a, _| is(order(a)?.is_ge())),
    f("not", 1, |a, _| is(!a[0].is_true())),
    any("and", 1, |a, _| a.iter().find(|one| !one.is_true()).or(a.last()).cloned()),
    any("or", 1, |a, _| a.iter().find(|one| one.is_true()).or(a.last()).cloned()),
    f("len", 1, |a, _| Some(Datum::Number(text(&a[0])?.len() as f64))),
    any("print", 1, |a, _| put(a.iter().map(Datum::printed).collect())),
    any("printf", 1, |a, _| put(formatted(text(&a[0])?, &a[1..]))),
    // Sprig's: what they work on comes last.
    f("lower", 1, |a, _| put(text(&a[0])?.to_lowercase())),
    f("upper", 1, |a, _| put(text(&a[0])?.to_uppercase())),
    f("trim", 1, |a, _| put(text(&a[0])?.trim().to_owned())),
    f("trimAll", 2, |a, _| {
        let set = text(&a[0])?;
        put(text(&a[1])?.trim_matches(|c| set.contains(c)).to_owned())
    }),
    f("trimPrefix", 2, |a, _| without(text(&a[1])?, str::strip_prefix(text(&a[1])?, text(&a[0])?))),
    f("trimSuffix", 2, |a, _| without(text(&a[1])?, str::strip_suffix(text(&a[1])?, text(&a[0])?))),
    f("replace", 3, |a, _| put(text(&a[2])?.replace(text(&a[0])?, text(&a[1])?))),
    f("contains", 2, |a, _| is(text(&a[1])?.contains(text(&a[0])?))),
    f("hasPrefix", 2, |a, _| is(text(&a[1])?.starts_with(text(&a[0])?))),
    f("hasSuffix", 2, |a, _| is(text(&a[1])?.ends_with(text(&a[0])?))),
    f("default", 2, |a, _| Some(if a[1].is_true() { a[1].clone() } else { a[0].clone() })),
    any("coalesce", 1, |a, _| a.iter().find(|one| one.is_true()).cloned().or(Some(Datum::Nothing))),
    f("ternary", 3, |a, _| Some(if a[2].is_true() { a[0].clone() } else { a[1].clone() })),
    f("quote", 1, |a, _| put(format!("{:?}", a[0].printed()))),
    f("trunc", 2, |a, _| {
        let (most, all) = (number(&a[0])?, text(&a[1])?);
        let bytes = most.abs() as usize;
        put(match most < 0.0 {
            false => all[..all.floor_char_boundary(bytes)].to_owned(),
            true => all[all.ceil_char_boundary(all.len().saturating_sub(bytes))..].to_owned(),
        })
    }),
];

/// # Errors
/// With the names that there are.
pub(super) fn find(name: &str) -> Result<&'static Function, String> {
    FUNCTIONS.iter().find(|function| function.name == name).ok_or_else(|| {
        let names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        format!("there is no function {name}; there are {}", names.join(", "))
    })
}

fn put(text: String) -> Option<Datum> {
    Some(Datum::Text(text))
}

fn is(value: bool) -> Option<Datum> {
    Some(Datum::Bool(value))
}

fn text(datum: &Datum) -> Option<&str> {
    match datum {
        Datum::Text(text) => Some(text),
        _ => None,
    }
}

fn number(datum: &Datum) -> Option<f64> {
    match datum {
        Datum::Number(number) => Some(*number),
        _ => None,
    }
}

fn without(all: &str, rest: Option<&str>) -> Option<Datum> {
    put(rest.unwrap_or(all).to_owned())
}

fn salted(arguments: &[Datum]) -> Option<Vec<u8>> {
    Some([text(&arguments[0])?.as_bytes(), text(&arguments[1])?.as_bytes()].concat())
}

fn compiled<'a>(arguments: &[Datum], known: Option<&'a Regex>) -> Option<Cow<'a, Regex>> {
    match known {
        Some(regex) => Some(Cow::Borrowed(regex)),
        None => Regex::new(&dialect::from_go(text(&arguments[0])?)).ok().map(Cow::Owned),
    }
}

fn order(arguments: &[Datum]) -> Option<std::cmp::Ordering> {
    match (&arguments[0], &arguments[1]) {
        (Datum::Number(one), Datum::Number(other)) => one.partial_cmp(other),
        (Datum::Text(one), Datum::Text(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// `%s`, `%v`, `%d` and `%q`; others stay as they are.
fn formatted(form: &str, arguments: &[Datum]) -> String {
    let (mut out, mut next, mut chars) = (String::new(), arguments.iter(), form.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('s' | 'v' | 'd') => out.push_str(&next.next().unwrap_or(&Datum::Nothing).printed()),
            Some('q') => {
                out.push_str(&format!("{:?}", next.next().unwrap_or(&Datum::Nothing).printed()));
            }
            Some('%') => out.push('%'),
            other => {
                out.push('%');
                out.extend(other);
            }
        }
    }
    out
}
