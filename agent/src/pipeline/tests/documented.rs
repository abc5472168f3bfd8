//! What Promtail's documentation shows of each stage, as cases: its situations in our words and with our lines, and what
//! it says becomes of them.

use super::stages::check;
use super::*;

/// Scenario: times in the forms that the documentation names: of Go's constants, since 1970 in four units, a layout of
/// one's own in a place of its own; one that fits no form but the second.
/// Guarantees: nanoseconds since 1970; a time without a zone is read in the place that is named.
#[test]
fn timestamps() {
    let of = |options: &str| {
        format!("[{{regex: {{expression: '^(?P<t>.+)$'}}}}, {{timestamp: {{source: t, {options}}}}}]")
    };
    for (options, line, seconds, nanos) in [
        ("format: RFC3339", "2020-03-01T10:11:12Z", 1_583_057_472, 0),
        ("format: RFC3339Nano", "2020-03-01T10:11:12.000000005Z", 1_583_057_472, 5),
        ("format: RFC3339", "2020-03-01T12:11:12+02:00", 1_583_057_472, 0),
        ("format: Unix", "1583057472", 1_583_057_472, 0),
        ("format: UnixMs", "1583057472001", 1_583_057_472, 1_000_000),
        ("format: UnixUs", "1583057472000002", 1_583_057_472, 2_000),
        ("format: UnixNs", "1583057472000000003", 1_583_057_472, 3),
        ("format: RFC822", "01 Mar 20 10:11 UTC", 1_583_057_460, 0),
        ("format: RFC1123Z", "Sun, 01 Mar 2020 10:11:12 +0000", 1_583_057_472, 0),
        ("format: ANSIC", "Sun Mar  1 10:11:12 2020", 1_583_057_472, 0),
        ("format: UnixDate", "Sun Mar  1 10:11:12 UTC 2020", 1_583_057_472, 0),
        ("format: RubyDate", "Sun Mar 01 10:11:12 +0000 2020", 1_583_057_472, 0),
        ("format: '2006-01-02 15:04:05,000'", "2020-03-01 10:11:12,250", 1_583_057_472, 250_000_000),
        ("format: '02/Jan/2006:15:04:05 -0700'", "01/Mar/2020:05:11:12 -0500", 1_583_057_472, 0),
        (
            "format: '2006-01-02 15:04:05', location: America/New_York",
            "2020-03-01 05:11:12",
            1_583_057_472,
            0,
        ),
        ("format: RFC3339, fallback_formats: [Unix, UnixDate]", "1583057472", 1_583_057_472, 0),
    ] {
        let text = format!("@{} | {line}", seconds * 1_000_000_000_i64 + nanos);
        check(&[(&of(options), &[line], &[&text])]);
    }
}

/// Scenario: values found by an expression in the line and in another value, and by groups that become labels at once.
/// Guarantees: names of groups are names of values; a source that is named is read instead of the line.
#[test]
fn expressions() {
    check(&[
        (
            r"[{regex: {expression: '^(?P<when>\S+) (?P<out>stdout|stderr) (?P<rest>.*)$'}}, {regex: {source: rest, expression: 'took=(?P<took>\d+)'}}, {labels: {out: , took: }}, {output: {source: rest}}]",
            &["9h stdout job took=15", "9h stdin job took=15"],
            &["out=stdout took=15 | job took=15", "| 9h stdin job took=15"],
        ),
        (
            r"[{json: {expressions: {path: req.path, names: 'list[0].name'}}}, {regex: {source: path, expression: '^/(?P<top>[^/]+)'}}, {labels: {top: , first: names}}]",
            &[r#"{"req":{"path":"/shop/cart"},"list":[{"name":"a"}]}"#],
            &[r#"first=a top=shop | {\"req\":{\"path\":\"/shop/cart\"},\"list\":[{\"name\":\"a\"}]}"#],
        ),
    ]);
}

/// Scenario: a line of a program within a line of the runtime within labels, as a whole pipeline has it.
/// Guarantees: stages see what those before them have made.
#[test]
fn whole() {
    check(&[(
        r#"[
            docker,
            {json: {expressions: {level: , msg: , user: who.id, card: }}},
            {match: {selector: '{job="test"} |= "card"', stages: [{replace: {source: card, expression: '(\d{4})-\d{4}', replace: '{{ .Value }}'}}, {replace: {source: card, expression: '-(\d{4})$', replace: '****'}}]}},
            {template: {source: level, template: '{{ if eq .Value "warning" }}warn{{ else }}{{ .Value }}{{ end }}'}},
            {labels: {level: }},
            {structured_metadata: {user: , card: }},
            {drop: {source: level, value: debug}},
            {static_labels: {team: shop}},
            {output: {source: msg}},
        ]"#,
        &[
            r#"{"log":"{\"level\":\"warning\",\"msg\":\"paid\",\"who\":{\"id\":7},\"card\":\"1111-2222\"}\n","stream":"stdout","time":"2020-03-01T10:11:12Z"}"#,
            r#"{"log":"{\"level\":\"debug\",\"msg\":\"no\"}\n","stream":"stdout","time":"2020-03-01T10:11:12Z"}"#,
        ],
        &[
            "level=warn stream=stdout team=shop @1583057472000000000 | paid | card=1111-**** | user=7",
            "- drop_stage",
        ],
    )]);
}

/// Scenario: templates with the functions that the documentation names.
/// Guarantees: what Go makes of them.
#[test]
fn functions() {
    for (template, line, expect) in [
        ("{{ ToUpper .Value }}", "loki", "LOKI"),
        ("{{ ToLower .Value }}", "LOKI", "loki"),
        (r#"{{ Replace .Value "loki" "blokey" -1 }}"#, "loki loki", "blokey blokey"),
        (r#"{{ Replace .Value "o" "0" 1 }}"#, "foo", "f0o"),
        (r#"{{ Trim .Value ",. " }}"#, " .a,b, ", "a,b"),
        (r#"{{ TrimLeft .Value "-" }}"#, "--a-", "a-"),
        (r#"{{ TrimRight .Value "-" }}"#, "-a--", "-a"),
        (r#"{{ TrimPrefix .Value "--" }}"#, "---a", "-a"),
        (r#"{{ TrimSuffix .Value "--" }}"#, "a---", "a-"),
        ("{{ TrimSpace .Value }}", "\ta ", "a"),
        (r#"{{ regexReplaceAll "(a*)bc" .Value "${1}a" }}"#, "aabc x", "aaa x"),
        (r#"{{ regexReplaceAllLiteral "a+" .Value "$1" }}"#, "caat", "c$1t"),
        (r#"{{ if contains "err" .Value }}bad{{ else }}good{{ end }}"#, "error", "bad"),
        (r#"{{ .Value | ToUpper | printf "%s!" }}"#, "a", "A!"),
    ] {
        let stages = format!(
            "[{{regex: {{expression: '^(?P<v>(?s).*)$'}}}}, {{template: {{source: v, template: {}}}}}, {{output: {{source: v}}}}]",
            serde_json::to_string(template).unwrap()
        );
        match serde_yaml_ng::from_str::<Stages>(&stages) {
            Ok(_) => check(&[(&stages, &[line], &[&format!("| {}", expect.escape_debug())])]),
            Err(why) => panic!("{template}: {why}"),
        }
    }
}

/// Scenario: a name that is no stage, and stages of Promtail that there are not here.
/// Guarantees: the error lists all that there are.
#[test]
fn unknown_stages() {
    for name in ["geoip", "eventlogmessage", "azureeventhubs", "Json"] {
        let why = serde_yaml_ng::from_str::<Stages>(&format!("[{{{name}: }}]")).unwrap_err().to_string();
        for row in STAGES {
            assert!(why.contains(row.name), "{} is missing: {why}", row.name);
        }
    }
}

/// Scenario: stages that make a line twice as long, one behind the other; replacements that make it a thousand times.
/// Guarantees: a line stays within 4 MiB and a few.
#[test]
fn growth() {
    let double = "{pack: {labels: []}}, ".repeat(24);
    let replace = format!("{{replace: {{expression: '(a)', replace: '{}'}}}}, ", "a".repeat(1_000));
    for (stages, line) in [(double, "\"\\\u{1}".repeat(100)), (replace.repeat(4), "a".repeat(100))] {
        let mut pipeline = pipeline(&format!("stages: [{stages}]"));
        let out = pipeline.see(chunk(1, 0, &[&line]), Instant::now());
        let longest = out.entries.iter().map(|entry| entry.line.len()).max().unwrap();
        assert!(longest <= 4 << 20, "{longest}");
    }
}
