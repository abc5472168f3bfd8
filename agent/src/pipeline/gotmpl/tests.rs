//! Templates as people write them for Promtail.

use proptest::prelude::*;

use super::*;

fn run(template: &str) -> Option<String> {
    let fields = |name: &str| match name {
        "Value" => Some(Cow::Borrowed(" Hello World! ")),
        "level" => Some(Cow::Borrowed("WARN")),
        "app" => Some(Cow::Borrowed("loki")),
        "Entry" => Some(Cow::Borrowed("the line")),
        "empty" => Some(Cow::Borrowed("")),
        "x-y" => Some(Cow::Borrowed("dashed")),
        _ => None,
    };
    Template::parse(template).unwrap().run(&fields)
}

/// Scenario: templates of Promtail's documentation, and of each function.
/// Guarantees: as Go runs them.
#[test]
fn as_go_runs_them() {
    for (template, expect) in [
        ("plain", "plain"),
        ("{{ .app }}-{{.level}}", "loki-WARN"),
        (r#"{{ .Value | TrimSpace | ToLower }}"#, "hello world!"),
        (r#"{{ ToUpper .app }}"#, "LOKI"),
        (r#"{{ Replace .app "k" "KK" -1 }}"#, "loKKi"),
        (r#"{{ Replace "aaa" "a" "b" 2 }}"#, "bba"),
        (r#"{{ Trim .Value " !" }}"#, "Hello World"),
        (r#"{{ TrimLeft .Value " H" }}|"#, "ello World! |"),
        (r#"{{ TrimRight .Value " !" }}|"#, " Hello World|"),
        (r#"{{ TrimPrefix .app "lo" }}{{ TrimSuffix .app "ki" }}{{ TrimSuffix .app "x" }}"#, "kiloloki"),
        (r#"{{ regexReplaceAll "(l)o" .app "${1}0" }}"#, "l0ki"),
        (r#"{{ regexReplaceAllLiteral "(l)o" .app "${1}" }}"#, "${1}ki"),
        (r#"{{ .app | regexReplaceAll "o" "x" }}"#, "x"),
        (r#"{{ Hash "salt" "secret" }}"#, "9b29fc9a4e465ac68173daff91d5dc30eedb55fd4641a75c45e577e284ee7934"),
        (
            r#"{{ Sha2Hash "salt" "secret" }}"#,
            "bede90386d450cea8b77b822f8887065e4e5abf132c2f9dccfcc7fbd4cba5e35",
        ),
        (
            r#"{{ if eq .level "WARN" }}{{ Replace .level "WARN" "warning" -1 }}{{ else }}{{ .level }}{{ end }}"#,
            "warning",
        ),
        (r#"{{ if .missing }}a{{ else if eq .app "x" "loki" }}b{{ else }}c{{ end }}"#, "b"),
        (r#"{{ if and .app (not .empty) }}yes{{ end }}{{ if or .empty .missing }}no{{ end }}"#, "yes"),
        (r#"{{ if contains "ok" .app }}in{{ end }}{{ .empty | default "none" }}"#, "innone"),
        (r#"a {{- .app -}} b"#, "alokib"),
        (r#"{{/* a comment */}}{{ `raw\n` }}"#, r"raw\n"),
        (r#"{{ index . "x-y" }} {{ .missing }}"#, "dashed <no value>"),
        (r#"{{ printf "%s=%d" .app (len .app) }}"#, "loki=4"),
        (r#"{{ .Entry | trunc 3 }}{{ ternary "a" "b" (lt 1 2) }}"#, "thea"),
    ] {
        assert_eq!(run(template).as_deref(), Some(expect), "{template}");
    }
    // A function is given nothing, or a number for a text.
    for template in [
        "{{ ToUpper .missing }}",
        "{{ ToUpper 1 }}",
        r#"{{ regexReplaceAll .Value "a" "(" | regexMatch "(" }}"#,
    ] {
        assert_eq!(
            Template::parse(template).ok().and_then(|template| template.run(&|_| None)),
            None,
            "{template}"
        );
    }
}

/// Scenario: templates with what there is not.
/// Guarantees: an error that names it.
#[test]
fn refused() {
    for (template, message) in [
        ("{{ .a", "}} is missing"),
        ("{{ range .a }}{{ end }}", "there is no {{range}}"),
        ("{{ if .a }}", "no {{end}}"),
        ("{{ end }}", "ends nothing"),
        ("{{ if .a }}{{ else }}{{ else }}{{ end }}", "two {{else}}"),
        ("{{ $x := 1 }}", "no variables"),
        ("{{ nosuch .a }}", "there is no function nosuch; there are ToLower, "),
        ("{{ ToUpper }}", "ToUpper takes 1 arguments, not 0"),
        ("{{ Replace .a }}", "Replace takes 4 arguments, not 1"),
        ("{{ .a.b }}", "has no fields"),
        ("{{ .a .b }}", "takes no arguments"),
        (r#"{{ regexReplaceAll "(" .a "b" }}"#, "unclosed group"),
        ("{{ (.a }}", "a ( is not closed"),
        ("{{ .a ) }}", "is of no ("),
        ("{{ . }}", "name a field"),
    ] {
        let error = Template::parse(template).err().unwrap_or_default();
        assert!(error.contains(message), "{template}: {error}");
    }
}

proptest! {
    /// Scenario: any text, of the characters and words that templates are made of.
    /// Guarantees: no panic.
    #[test]
    fn any_text(words in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{-", " -}}", ".a", ".", "|", "(", ")", "if ", "else ", "end", "eq ", "trunc ", "Replace ", "\"x\"",
        "`", "\"", "-1", "7", "9e", "\u{e9}", " ", "regexMatch ", "/*", "*/", "print ", "$",
    ]), 0..24)) {
        if let Ok(template) = Template::parse(&words.concat()) {
            let _text = template.run(&|_| Some(Cow::Borrowed("\u{e9}x(")));
        }
    }
}
