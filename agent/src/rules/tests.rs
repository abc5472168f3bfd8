//! Rules over chunks, as the batcher gives them.

use ao_proto::model::FileId;

use super::fuzzing::chunk;
use super::*;
use crate::event::MetricSet;

/// Series that are not 0, at the second time they are told.
fn series(metrics: &LineMetrics) -> Vec<String> {
    let export = || {
        let mut set = MetricSet::new("own", "test", 0);
        metrics.export(&mut set);
        set.exposition()
    };
    let first = export();
    assert!(!first.contains("log_messages_total{") || first.contains("} 0"), "{first}");
    let mut all: Vec<String> = export()
        .lines()
        .filter(|line| !line.starts_with('#') && !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect();
    all.sort();
    all
}

fn lines(chunk: &LogChunk) -> Vec<(&str, String)> {
    let mut from = 0;
    let line = |line: &Line| {
        let text = &chunk.text[from..from + line.len as usize];
        from += line.len as usize;
        let pairs: Vec<_> = line.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (text, pairs.join(" "))
    };
    chunk.lines.iter().map(line).collect()
}

/// Scenario: lines of several levels, in two streams of one workload and in one of another.
/// Guarantees: a series a workload and level, from zero on, with lines and bytes; nothing of a single pod.
#[test]
fn messages() {
    let metrics = Arc::default();
    let mut rules = Rules::new(Config { templates: false, ..Config::default() }, &metrics);
    let mut one = chunk(["level=info a", "ERROR b", "c"].into_iter());
    assert!(rules.take(&mut one).is_empty());
    let mut other = chunk(["level=info dd"].into_iter());
    other.labels = Labels::from_pairs(other.labels.iter().chain([("stream", "stderr")]));
    rules.take(&mut other);
    let mut file = chunk(["<3>x"].into_iter());
    file.labels = Labels::from_pairs([("job", "files"), ("filename", "/a")]);
    rules.take(&mut file);
    let mut path = LogChunk { source: "path", ..chunk(["ERROR x"].into_iter()) };
    rules.take(&mut path);
    rules.flush();
    rules.flush();
    assert_eq!(
        series(&metrics),
        [
            r#"log_bytes_total{container="web",level="error",namespace="shop"} 7"#,
            r#"log_bytes_total{container="web",level="info",namespace="shop"} 25"#,
            r#"log_bytes_total{container="web",level="unknown",namespace="shop"} 1"#,
            r#"log_bytes_total{job="files",level="error"} 4"#,
            r#"log_messages_total{container="web",level="error",namespace="shop"} 1"#,
            r#"log_messages_total{container="web",level="info",namespace="shop"} 2"#,
            r#"log_messages_total{container="web",level="unknown",namespace="shop"} 1"#,
            r#"log_messages_total{job="files",level="error"} 1"#,
        ]
    );
}

/// Scenario: failed log-ins of two services among other lines of a file.
/// Guarantees: each service's lines are in a stream of their own, before the span that covers them, with user and
/// address as metadata alone; the others stay as they are, in order; attempts are counted.
#[test]
fn failed_logins() {
    let metrics = Arc::default();
    let mut rules = Rules::new(Config { messages: false, ..Config::default() }, &metrics);
    let span = FileSpan { file: FileId([1; 16]), start: 10, end: 500 };
    let texts = [
        "one",
        "Failed password for root from 192.0.2.4 port 40 ssh2",
        "bob : 3 incorrect password attempts ; TTY=pts/1",
        "two",
        "Failed password for invalid user eve from 192.0.2.4 port 41 ssh2",
    ];
    let mut rest = LogChunk { file: Some(span), bytes: 490, ..chunk(texts.into_iter()) };
    let parted = rules.take(&mut rest);
    assert_eq!(parted.len(), 2);
    assert_eq!(
        parted[0].labels.to_string(),
        r#"{container="web", failed_login="sshd", namespace="shop", pod="web-1"}"#
    );
    let meta = |user| format!("login_user={user} login_address=192.0.2.4");
    assert_eq!(lines(&parted[0]), [(texts[1], meta("root")), (texts[4], meta("eve"))]);
    assert_eq!(parted[1].labels.get("failed_login"), Some("sudo"));
    assert_eq!(lines(&parted[1]), [(texts[2], "login_user=bob".to_owned())]);
    assert_eq!(lines(&rest), [("one", String::new()), ("two", String::new())]);
    assert_eq!((rest.bytes, rest.file), (490, Some(span)));
    for chunk in &parted {
        assert_eq!((chunk.bytes, chunk.file), (0, Some(FileSpan { end: 10, ..span })));
    }
    rules.flush();
    assert_eq!(
        series(&metrics),
        [
            r#"log_failed_logins_total{container="web",namespace="shop",service="sshd"} 2"#,
            r#"log_failed_logins_total{container="web",namespace="shop",service="sudo"} 3"#,
        ]
    );
}

/// Scenario: errors and warnings of two kinds among other lines, and more kinds than there may be.
/// Guarantees: their template's id is on the line and on the metric; its text is told; the rest counts as other.
#[test]
fn templates() {
    let metrics = Arc::default();
    let config = Config { messages: false, most_templates: 2, ..Config::default() };
    config.check().unwrap();
    let mut rules = Rules::new(config, &metrics);
    let mut all = chunk(
        [
            r#"{"level":"error","msg":"no answer from 10.0.0.7 in 3ms"}"#,
            r#"{"level":"info","msg":"no answer from 10.0.0.7 in 3ms"}"#,
            r#"{"level":"error","msg":"no answer from 10.0.0.8 in 30ms"}"#,
            "level=warn msg=slow",
            "level=error msg=broken",
        ]
        .into_iter(),
    );
    assert!(rules.take(&mut all).is_empty());
    let ids: Vec<String> = lines(&all).into_iter().map(|(_, metadata)| metadata).collect();
    assert_eq!(ids[0], ids[2]);
    assert!(ids[0].starts_with("template_id=") && ids[1].is_empty() && ids[3] != ids[0]);
    assert_eq!(ids[4], "template_id=other");
    rules.flush();
    let found = series(&metrics);
    let id = |n: usize| ids[n].trim_start_matches("template_id=");
    for (n, level, count) in [(0, "error", 2), (3, "warn", 1), (4, "error", 1)] {
        let line = format!(
            r#"log_template_total{{container="web",level="{level}",namespace="shop",template_id="{}"}} {count}"#,
            id(n)
        );
        assert!(found.contains(&line), "{line}: {found:?}");
    }
    let text = format!(r#"log_template_info{{template_id="{}",text="no answer from <*> in <*>"}} 1"#, id(0));
    assert!(found.contains(&text), "{text}: {found:?}");
    assert_eq!(found.len(), 6);
    assert!(Config { most_templates: 0, ..config }.check().is_err());
}

/// Scenario: everything is switched off; more streams than are remembered.
/// Guarantees: nothing is looked at or counted; counts stay right and memory bounded.
#[test]
fn bounds() {
    let metrics = Arc::default();
    let config = Config { messages: false, failed_logins: false, templates: false, ..Config::default() };
    let mut off = Rules::new(config, &metrics);
    let text = "ERROR Failed password for root from 192.0.2.4 port 40 ssh2";
    let mut one = chunk([text].into_iter());
    assert!(off.take(&mut one).is_empty() && one.lines[0].metadata.is_empty());
    off.flush();
    assert_eq!(series(&metrics), Vec::<String>::new());

    let mut rules = Rules::new(Config::default(), &metrics);
    for n in 0..KNOWN + 10 {
        let mut one = chunk(["level=info"].into_iter());
        one.labels = Labels::from_pairs([("namespace", "a"), ("pod", &n.to_string())]);
        rules.take(&mut one);
    }
    assert!(rules.streams.len() <= KNOWN && rules.workloads.len() <= KNOWN);
    rules.flush();
    let count = format!(r#"log_messages_total{{level="info",namespace="a"}} {}"#, KNOWN + 10);
    assert!(series(&metrics).contains(&count));
}
