//! What is accepted, and the sentence for each mistake.

use serde::Deserialize;

use super::*;
use crate::units::{Size, Span};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    name: String,
    port: u16,
    every: Option<Span>,
    logs: Logs,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Logs {
    files: Vec<File>,
    most: Option<Size>,
    on: bool,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    path: String,
    text: String,
}

fn read(text: &str) -> Result<Config, String> {
    let variables = |name: &str| match name {
        "PORT" => Some("8800".to_owned()),
        "HOST" => Some("db.example".to_owned()),
        "NASTY" => Some("a: \"b\" # c'\n- d\\".to_owned()),
        "TRICKY" => Some("x, y: [z]".to_owned()),
        "DIGITS" => Some("007".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    parse_with(text, "x.yaml", variables).map_err(|err| err.to_string())
}

/// Scenario: no text, comments alone, an empty section.
/// Guarantees: the default.
#[test]
fn empty() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "logs:\n", "logs: {}\n"] {
        assert_eq!(read(text), Ok(Config::default()), "{text:?}");
    }
}

/// Scenario: one mistake each, as users make them.
/// Guarantees: the sentence names file, line, full path, the cause and what is allowed.
#[test]
fn refusals() {
    for (text, sentence) in [
        ("nam: x\n", "x.yaml, line 1: unknown key \"nam\"; allowed there: name, port, every, logs"),
        (
            "logs:\n  files:\n    - path: /a\n    - pth: /b\n",
            "x.yaml, line 4: unknown key \"logs.files[1].pth\"; allowed there: path, text",
        ),
        ("port: many\n", "x.yaml, line 1: \"port\": invalid type: string \"many\", expected u16"),
        ("port: 70000\n", "x.yaml, line 1: \"port\": invalid value: integer `70000`, expected u16"),
        (
            "name: a\nlogs:\n  on: maybe\n",
            "x.yaml, line 3: \"logs.on\": invalid type: string \"maybe\", expected a boolean",
        ),
        (
            "every: 15\n",
            "x.yaml, line 1: \"every\": \"15\" is not a span of time such as \"250ms\", \"15s\", \"10m\" or \"24h\"",
        ),
        (
            "logs: {most: 1gb}\n",
            "x.yaml, line 1: \"logs.most\": \"1gb\" is not a size such as \"512KiB\", \"64MiB\" or \"2GiB\"",
        ),
        ("name: a\nname: b\n", "x.yaml, line 1: not valid YAML: duplicate entry with key \"name\""),
        ("- a\n", "x.yaml, line 1: \"(top level)\": invalid type: sequence, expected struct Config"),
        (
            "name: ${NOPE}\n",
            "x.yaml, line 1: the environment variable NOPE is not set; set it, or write ${NOPE:-default}",
        ),
        (
            "a: 1\nname: http://${NASTY}/\n",
            "x.yaml, line 2: the value of the environment variable NASTY cannot stand there as it is; write the whole value in double quotes",
        ),
    ] {
        assert_eq!(read(text), Err(sentence.to_owned()), "{text:?}");
    }
    for text in ["name: [\n", "name: 'a\n", "a\n b: c: d\n", "\tname: x\n"] {
        let err = read(text).unwrap_err();
        assert!(err.starts_with("x.yaml, line ") && err.contains("not valid YAML"), "{text:?}: {err}");
    }
}

/// Scenario: variables in every kind of scalar, with values that would change the document's shape.
/// Guarantees: the value arrives as it is, numbers stay numbers, and nothing around it changes.
#[test]
fn variables() {
    let text = |yaml: &str| read(yaml).map(|config| config.name);
    for (yaml, value) in [
        ("name: ${HOST}", "db.example"),
        ("name: http://${HOST}:${PORT}/", "http://db.example:8800/"),
        ("name: ${NASTY}", "a: \"b\" # c'\n- d\\"),
        ("name: ${NASTY} # as it is", "a: \"b\" # c'\n- d\\"),
        ("name: \"<${NASTY}>\"", "<a: \"b\" # c'\n- d\\>"),
        ("{name: ${TRICKY}, port: 1}", "x, y: [z]"),
        ("name: '${TRICKY}''s'", "x, y: [z]'s"),
        ("name: ${DIGITS}", "007"),
        ("name: \"${EMPTY}\"", ""),
        ("name: ${NOPE:-a default}", "a default"),
        ("name: ${NOPE:-}", ""),
        ("name: $${HOST}", "${HOST}"),
        ("name: '${1}-$2'", "${1}-$2"),
        ("name: it's ${HOST}", "it's db.example"),
        ("name: |\n  # ${HOST}\n  \"x\nport: ${PORT}\n", "# db.example\n\"x\n"),
        ("# ${NOPE}\nname: x # ${NOPE}\n", "x"),
        ("name: \"a \\\" ${HOST}\"", "a \" db.example"),
    ] {
        assert_eq!(text(yaml), Ok(value.to_owned()), "{yaml:?}");
    }
    assert_eq!(read("port: ${PORT}").unwrap().port, 8800);
    assert_eq!(read("logs: {files: [{path: ${HOST}}]}").unwrap().logs.files[0].path, "db.example");
}

/// Scenario: a section kept as a value by its family, right and wrong.
/// Guarantees: the path of a mistake begins with the section's.
#[test]
fn sections() {
    let value = |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap();
    assert_eq!(section::<Logs>(&Value::Null, "x.yaml", "logs").unwrap(), Logs::default());
    let err = section::<Logs>(&value("files: [{pth: 1}]"), "x.yaml", "logs").unwrap_err().to_string();
    assert_eq!(err, "x.yaml: unknown key \"logs.files[0].pth\"; allowed there: path, text");
    let err = section::<Logs>(&value("on: 3"), "x.yaml", "logs").unwrap_err().to_string();
    assert_eq!(err, "x.yaml: \"logs.on\": invalid type: integer `3`, expected a boolean");
}

/// Scenario: the file is not there.
/// Guarantees: path and cause.
#[test]
fn unreadable() {
    let err = load::<Config>(Path::new("/nowhere/ao.yaml")).unwrap_err().to_string();
    assert!(err.starts_with("cannot read the configuration /nowhere/ao.yaml: No such file"), "{err}");
}

proptest::proptest! {
    /// Scenario: any text with anything in a variable.
    /// Guarantees: no panic; a quoted reference always gives back exactly the value.
    #[test]
    fn any_value_survives_quoting(value in "\\PC*|[\\x00-\\x7f]*", text in "[ -~\\n]{0,60}") {
        let config = parse_with::<Config>("name: \"${X}\"\nport: 7", "x", |_| Some(value.clone())).unwrap();
        proptest::prop_assert_eq!((config.name.as_str(), config.port), (value.as_str(), 7));
        let config = parse_with::<Config>("name: ${X}\nport: 7", "x", |_| Some(value.clone()));
        if let Ok(config) = config {
            proptest::prop_assert_eq!(config.port, 7);
        }
        drop(parse_with::<Config>(&text.replace('$', "${X}"), "x", |_| Some(value.clone())));
    }
}
