//! Every stage by itself: a configuration, lines, and what becomes of them.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;

/// Stages; lines; what comes out, one a line, as [`shown`] has it.
pub(super) type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Labels but `job`, the time where it is none that the source gave, the text, the metadata; or the reason of the end.
fn shown(out: Out) -> Vec<String> {
    let kept = out.entries.into_iter().map(|entry| {
        let mut text = String::new();
        for (name, value) in entry.labels.iter().filter(|pair| *pair != ("job", "test")) {
            let _ok = write!(text, "{name}={value} ");
        }
        if entry.at_ns > 1_000_000_000 {
            let _ok = write!(text, "@{} ", entry.at_ns);
        }
        let _ok = write!(text, "| {}", entry.line.escape_debug());
        for (name, value) in &entry.metadata {
            let _ok = write!(text, " | {name}={value}");
        }
        (entry.place.end, text)
    });
    let dropped = out.dropped.into_iter().map(|(reason, entry)| (entry.place.end, format!("- {reason}")));
    let mut all: Vec<_> = kept.chain(dropped).collect();
    all.sort_by_key(|(end, _)| *end);
    all.into_iter().map(|(_, text)| text).collect()
}

pub(super) fn check(cases: &[Case<'_>]) {
    for (stages, lines, expect) in cases {
        let mut pipeline = pipeline(&format!("stages: {stages}"));
        let mut out = pipeline.see(chunk(1, 0, lines), Instant::now());
        let rest = pipeline.see_due(None);
        out.entries.extend(rest.entries);
        out.dropped.extend(rest.dropped);
        assert_eq!(shown(out), *expect, "{stages}");
    }
}

/// Scenario: values from expressions, JSON and logfmt, found and not.
/// Guarantees: as Promtail has it: groups without a match are empty, null is no label, objects are JSON, numbers are
/// plain, and what has no value changes nothing.
#[test]
fn values_of() {
    check(&[
        (
            r"[{regex: {expression: '^(?P<ip>\S+) .*?(?P<code>\d{3})?$', labels_from_groups: true}}]",
            &["10.0.0.1 GET 200", "10.0.0.1 none", "none"],
            &["code=200 ip=10.0.0.1 | 10.0.0.1 GET 200", "ip=10.0.0.1 | 10.0.0.1 none", "| none"],
        ),
        (
            "[{json: {expressions: {out: msg, level: , n: a.n, list: a.l, big: id, gone: no}}}, {labels: {level: , n: , list: , big: , gone: }}, {output: {source: out}}]",
            &[
                r#"{"msg":"hi","level":"info","a":{"n":1.50,"l":[1,{"b":2}]},"id":12345678901234567890}"#,
                r#"{"msg":null,"level":true}"#,
                r#"["msg"]"#,
                "plain",
            ],
            &[
                r#"big=12345678901234567890 level=info list=[1,{"b":2}] n=1.5 | hi"#,
                r#"level=true | {\"msg\":null,\"level\":true}"#,
                r#"| [\"msg\"]"#,
                "| plain",
            ],
        ),
        (
            "[{json: {expressions: {extra: , user: }}}, {json: {source: extra, expressions: {user: }}}, {labels: {user: }}]",
            &[r#"{"user":"a","extra":"{\"user\":\"marco\"}"}"#, r#"{"user":"b"}"#],
            &[
                r#"user=marco | {\"user\":\"a\",\"extra\":\"{\\\"user\\\":\\\"marco\\\"}\"}"#,
                r#"user=b | {\"user\":\"b\"}"#,
            ],
        ),
        (
            "[{json: {expressions: {a: }, drop_malformed: true}}]",
            &[r#"{"a":1}"#, "no", r#"{"a":"#],
            &[r#"| {\"a\":1}"#, "- json_stage", "- json_stage"],
        ),
        (
            "[{logfmt: {mapping: {app: , dur: duration, msg: , flag: }}}, {labels: {app: , dur: , msg: , flag: }}]",
            &[
                r#"time=2012 app=loki duration=125 level=WARN msg="app \"x\" = ok" flag"#,
                r#"app= msg="open"#,
                r#"app=a "odd" duration=3"#,
            ],
            &[
                r#"app=loki dur=125 msg=app "x" = ok | time=2012 app=loki duration=125 level=WARN msg=\"app \\\"x\\\" = ok\" flag"#,
                r#"| app= msg=\"open"#,
                r#"app=a | app=a \"odd\" duration=3"#,
            ],
        ),
    ]);
}

/// Scenario: stages that change labels.
/// Guarantees: those that are named, and no others; metadata is no label any more.
#[test]
fn labels() {
    check(&[
        ("[{static_labels: {team: shop, tier: 1}}]", &["a"], &["team=shop tier=1 | a"]),
        ("[{static_labels: {a: x, b: y}}, {labeldrop: [b, none]}]", &["a"], &["a=x | a"]),
        ("[{static_labels: {a: x, b: y}}, {label_drop: [b]}]", &["a"], &["a=x | a"]),
        ("[{static_labels: {a: x, b: y}}, {labelallow: [b, job]}]", &["a"], &["b=y | a"]),
        (
            "[{logfmt: {mapping: {id: , level: }}}, {labels: {level: }}, {structured_metadata: {trace: id, level: }}]",
            &["id=7 level=info", "x"],
            &["| id=7 level=info | level=info | trace=7", "| x"],
        ),
    ]);
}

/// Scenario: lines that are left out, by every condition and by several.
/// Guarantees: all conditions must hold; the reason is the configured one, or Promtail's.
#[test]
fn dropped() {
    check(&[
        ("[{drop: {expression: '.*debug.*'}}]", &["a debug b", "info"], &["- drop_stage", "| info"]),
        ("[{drop: {older_than: 24h, drop_counter_reason: too_old}}]", &["of 1970"], &["- too_old"]),
        ("[{drop: {longer_than: 1kb}}]", &["short"], &["| short"]),
        ("[{drop: {longer_than: 4}}]", &["four", "fives"], &["| four", "- drop_stage"]),
        (
            "[{json: {expressions: {level: , msg: }}}, {drop: {source: level, value: debug}}, {drop: {source: msg, expression: '^health'}}]",
            &[r#"{"level":"debug"}"#, r#"{"level":"info","msg":"health ok"}"#, r#"{"level":"info"}"#],
            &["- drop_stage", "- drop_stage", r#"| {\"level\":\"info\"}"#],
        ),
        (
            "[{logfmt: {mapping: {a: , b: }}}, {drop: {source: [a, b], separator: '-', value: x-y}}]",
            &["a=x b=y", "a=x", "a=x b=z"],
            &["- drop_stage", "| a=x", "| a=x b=z"],
        ),
        (
            "[{regex: {expression: '(?P<no>secret)'}}, {drop: {source: no}}]",
            &["secret", "open"],
            &["- drop_stage", "| open"],
        ),
        (
            "[{drop: {expression: error, longer_than: 8}}]",
            &["error", "a long error", "a long line"],
            &["| error", "- drop_stage", "| a long line"],
        ),
        ("[{sampling: {rate: 0}}]", &["a"], &["- sampling_stage"]),
        ("[{sampling: {rate: 1}}]", &["a"], &["| a"]),
        (
            "[{limit: {rate: 1, burst: 2, drop: true}}]",
            &["a", "b", "c"],
            &["| a", "| b", "- ratelimit_drop_stage"],
        ),
        (
            "[{logfmt: {mapping: {a: }}}, {labels: {a: }}, {limit: {rate: 1, burst: 1, drop: true, by_label_name: a, drop_counter_reason: noisy}}]",
            &["a=x", "a=x", "a=y", "none", "none"],
            &["a=x | a=x", "- noisy", "a=y | a=y", "| none", "| none"],
        ),
        ("[{limit: {rate: 1, burst: 1}}]", &["a", "b"], &["| a", "| b"]),
    ]);
}

/// Scenario: stages for some lines, one of them within another.
/// Guarantees: those that the selector means, in their order among the others; labels of before count.
#[test]
fn matched() {
    check(&[
        (
            r#"[{json: {expressions: {app: }}}, {labels: {app: }}, {match: {selector: '{app="loki"}', stages: [{json: {expressions: {msg: message}}}]}}, {match: {pipeline_name: app2, selector: '{app="pokey"}', action: keep, stages: [{json: {expressions: {msg: msg}}}]}}, {match: {selector: '{app="promtail"} |~ ".*noisy error.*"', action: drop, drop_counter_reason: noisy}}, {output: {source: msg}}]"#,
            &[
                r#"{"app":"loki","message":"one"}"#,
                r#"{"app":"promtail","message":"a noisy error"}"#,
                r#"{"app":"pokey","msg":"two"}"#,
                r#"{"app":"loki","message":"three"}"#,
            ],
            &["app=loki | one", "- noisy", "app=pokey | two", "app=loki | three"],
        ),
        (
            r#"[{match: {selector: '{job="test"}', stages: [{match: {selector: '{} |= "x"', stages: [{static_labels: {x: 1}}]}}]}}]"#,
            &["x", "y", "x"],
            &["x=1 | x", "| y", "x=1 | x"],
        ),
        (
            r#"[{match: {selector: '{job="test"} != "a"', action: drop}}]"#,
            &["a", "b"],
            &["| a", "- match_stage"],
        ),
    ]);
}

/// Scenario: lines in a runtime's form within plain files, whole and in pieces; and lines of another form.
/// Guarantees: time, stream and text; pieces are one line; others stay; so do lines that have been read already.
#[test]
fn runtimes() {
    check(&[
        (
            "[cri]",
            &[
                "2019-01-01T01:00:00.000000001Z stderr P a ",
                "2019-01-01T01:00:00.000000002Z stdout F whole",
                "2019-01-01T01:00:00.000000003Z stderr F b",
                "not so",
            ],
            &[
                "stream=stdout @1546304400000000002 | whole",
                "stream=stderr @1546304400000000003 | a b",
                "| not so",
            ],
        ),
        (
            "[docker: {}]",
            &[
                r#"{"log":"a ","stream":"stderr","time":"2019-04-30T02:12:41.8443515Z"}"#,
                r#"{"log":"b\r\n","stream":"stderr","time":"2019-04-30T02:12:42Z"}"#,
                r#"{"level":"info"}"#,
            ],
            &["stream=stderr @1556590362000000000 | a b", r#"| {\"level\":\"info\"}"#],
        ),
        (
            "[{static_labels: {stream: stdout}}, cri, docker]",
            &["2019-01-01T01:00:00Z stderr F x"],
            &["stream=stdout | 2019-01-01T01:00:00Z stderr F x"],
        ),
    ]);
}

/// Scenario: texts that are changed.
/// Guarantees: each as its stage says.
#[test]
fn texts() {
    check(&[
        ("[decolorize]", &["\u{1b}[1;31merror\u{1b}[0m \u{1b}[38;5;9mx\u{1b}[K"], &["| error x"]),
        (
            "[{static_labels: {pod: p}}, {pack: {labels: [pod, none], ingest_timestamp: false}}]",
            &["say \"hi\""],
            &[r#"| {\"_entry\":\"say \\\"hi\\\"\",\"pod\":\"p\"}"#],
        ),
        (
            "[{multiline: {firstline: '^\\S', max_lines: 2}}]",
            &[" early", "a", " b", " c", " d", " e", "f"],
            &["|  early", r"| a\n b", r"|  c\n d", "|  e", "| f"],
        ),
    ]);
}

/// Scenario: times in lines, missing ones, and ones that are none.
/// Guarantees: the value's time; else that of the line before and a nanosecond, or none with `skip`.
#[test]
fn times() {
    let lines = &["x", "t=2019-07-09T21:48:36Z", "x", "t=soon", "t=1562708916"];
    check(&[
        (
            "[{logfmt: {mapping: {t: }}}, {timestamp: {source: t, format: RFC3339, fallback_formats: [Unix]}}]",
            lines,
            &[
                "| x",
                "@1562708916000000000 | t=2019-07-09T21:48:36Z",
                "@1562708916000000001 | x",
                "@1562708916000000002 | t=soon",
                "@1562708916000000000 | t=1562708916",
            ],
        ),
        (
            "[{logfmt: {mapping: {t: }}}, {timestamp: {source: t, format: RFC3339, action_on_failure: skip}}]",
            lines,
            &["| x", "@1562708916000000000 | t=2019-07-09T21:48:36Z", "| x", "| t=soon", "| t=1562708916"],
        ),
    ]);
}

/// Scenario: more lines than a rate allows, which wait.
/// Guarantees: they go on as the rate allows, in order, and are not covered before.
#[test]
fn waiting() {
    let mut pipeline = pipeline("stages: [{limit: {rate: 10, burst: 1}}]");
    let now = Instant::now();
    let out = pipeline.take(chunk(1, 0, &["a", "b", "c"]), now);
    assert_eq!((lines(&out).len(), covered(&out)), (1, (2, 2)));
    let due = pipeline.next_due().unwrap();
    assert!(due > now && due <= now + Duration::from_millis(101));
    let out = pipeline.due(Some(now + Duration::from_millis(150)));
    assert_eq!((lines(&out).len(), covered(&out)), (1, (4, 2)));
    let out = pipeline.due(None);
    assert_eq!((lines(&out).len(), covered(&out)), (1, (6, 2)));
    assert!(pipeline.next_due().is_none());
}

/// Scenario: templates and replacements as Promtail's documentation has them.
/// Guarantees: values, lines and named groups as there; a template that fails changes nothing.
#[test]
fn made() {
    check(&[
        (
            "[{logfmt: {mapping: {app: , level: }}}, {template: {source: app, template: '{{ ToUpper .Value }}-{{ .level }}'}}, {template: {source: new, template: 'hello {{ .app }}!'}}, {template: {source: level, template: ''}}, {labels: {app: , new: , level: }}]",
            &["app=loki level=warn"],
            &["app=LOKI-warn new=hello LOKI-warn! | app=loki level=warn"],
        ),
        (
            "[{template: {source: out, template: '{{ .Entry }} by {{ .job }}'}}, {output: {source: out}}, {template: {source: out, template: '{{ ToUpper .none }}'}}]",
            &["a"],
            &["| a by test"],
        ),
        (
            "[{replace: {expression: 'password (\\S+)', replace: '****'}}]",
            &["password a, password b", "x"],
            &["| password **** password ****", "| x"],
        ),
        (
            "[{replace: {expression: '(\\d+)-(\\d+)', replace: '{{ if eq .Value \"1\" }}one{{ else }}*{{ end }}'}}]",
            &["1-2 3-4"],
            &["| one-* *-*"],
        ),
        (
            "[{regex: {expression: 'level=(?P<level>\\S+)'}}, {replace: {source: level, expression: '^(INFO)$', replace: 'info'}}, {labels: {level: }}]",
            &["level=INFO", "level=WARN"],
            &["level=info | level=INFO", "level=WARN | level=WARN"],
        ),
        (
            "[{replace: {expression: '^(?P<ip>\\S+) ((\\w)\\w*)', replace: '{{ .Value | ToUpper }}'}}, {labels: {ip: }}]",
            &["a.b user c"],
            &["ip=A.B | A.B USER c"],
        ),
        ("[{replace: {expression: '(secret)'}}]", &["a secret b"], &["| a  b"]),
    ]);
}

/// Scenario: lines with levels and traces as programs write them.
/// Guarantees: both are metadata, under one name each, in one form; nothing where there is nothing.
#[test]
fn found() {
    for (line, level) in [
        ("ts=1 level=warn msg=error", Some("warn")),
        (r#"{"severity":"ERROR","m":1}"#, Some("error")),
        (r#"{"level":30}"#, Some("info")),
        ("2026-01-02 ERROR it broke", Some("error")),
        ("[warning] x", Some("warn")),
        ("I0102 15:04:05.0 1 main.go:1] x", Some("info")),
        ("E102 15:04: x", None),
        ("W1122 14: it", Some("warn")),
        ("<11>Nov 22 host su: x", Some("error")),
        ("<165>1 2003", Some("info")),
        ("panic: nil map", Some("critical")),
        ("LEVEL=Information", Some("info")),
        ("no level here, an information desk", None),
    ] {
        let mut pipeline = pipeline("stages: [severity]");
        let out = pipeline.see(chunk(1, 0, &[line]), Instant::now());
        let found = out.entries[0].metadata.first().map(|(name, value)| (&**name, &**value));
        assert_eq!(found, level.map(|level| ("detected_level", level)), "{line}");
    }
    check(&[(
        "[trace_id]",
        &[
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            r#"{"traceID":"4BF92F3577B34DA6","span_id": "00f067aa0ba902b7"}"#,
            "trace_id=4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "trace_id=none",
        ],
        &[
            "| traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 | trace_id=4bf92f3577b34da6a3ce929d0e0e4736 | span_id=00f067aa0ba902b7",
            r#"| {\"traceID\":\"4BF92F3577B34DA6\",\"span_id\": \"00f067aa0ba902b7\"} | trace_id=4bf92f3577b34da6 | span_id=00f067aa0ba902b7"#,
            "| trace_id=4bf92f35-77b3-4da6-a3ce-929d0e0e4736 | trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
            "| trace_id=none",
        ],
    )]);
}

/// Scenario: every kind of metric over a few lines, then a long time without any.
/// Guarantees: a series a stream, with Prometheus' buckets; values that are none are not counted; idle series go.
#[tokio::test(start_paused = true)]
async fn metrics_of() {
    let yaml = r"stages:
        - logfmt: {mapping: {took: , order: , level: }}
        - metrics:
            lines_total: {type: Counter, description: lines, max_idle_duration: 24h, config: {match_all: true, action: inc}}
            bytes_total: {type: Counter, config: {match_all: true, count_entry_bytes: true, action: add}}
            errors_total: {type: Counter, prefix: my_, source: level, config: {value: error, action: inc}}
            orders: {type: gauge, source: order, config: {action: add}}
            took: {type: Histogram, config: {buckets: [0.1, 1]}}";
    let metrics = Arc::default();
    let mut pipeline = Pipeline::new(&serde_yaml_ng::from_str(yaml).unwrap(), &metrics);
    pipeline.see(
        chunk(1, 0, &["took=50ms order=2 level=error", "took=0.5 order=-5", "took=9 order=x", ""]),
        Instant::now(),
    );
    let exported = || {
        let mut set = crate::event::MetricSet::new("own", "test", 0);
        metrics.export(&mut set);
        let text = set.exposition();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        exported(),
        [
            "ao_pipeline_series_refused_total 0",
            "my_errors_total{job=\"test\"} 1",
            "promtail_custom_bytes_total{job=\"test\"} 60",
            "promtail_custom_lines_total{job=\"test\"} 4",
            "promtail_custom_orders{job=\"test\"} -3",
            "promtail_custom_took_bucket{job=\"test\",le=\"0.1\"} 1",
            "promtail_custom_took_bucket{job=\"test\",le=\"1\"} 2",
            "promtail_custom_took_bucket{job=\"test\",le=\"+Inf\"} 3",
            "promtail_custom_took_sum{job=\"test\"} 9.55",
            "promtail_custom_took_count{job=\"test\"} 3",
        ]
    );
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(
        exported(),
        ["ao_pipeline_series_refused_total 0", "promtail_custom_lines_total{job=\"test\"} 4"]
    );
}
