//! Texts as exporters write them, good and bad; what is written is read again.

use proptest::prelude::*;

use super::*;
use crate::event::MetricSet;

fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// Scenario: every kind of line and of family, with odd blanks, escapes and comments.
/// Guarantees: families in order with help, type and samples; parts of histograms and summaries belong to them.
#[test]
fn families() {
    let text = "# a comment\n#HELP a_total What \\\\ it\\nis.\n# TYPE a_total counter\n\
        a_total 1\n  a_total { x = \"y\\\"\\\\\\n,}\" , z=\"\", } +Inf 123\n\n\
        # TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n\
        # TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum -1e-3\ns_count 1\n\
        plain_sum 7\n# HELP none Nothing follows.\n";
    let families = parse(text).unwrap();
    let names: Vec<_> = families.iter().map(|f| (f.name, f.kind, f.samples.len())).collect();
    let expect = [
        ("a_total", MetricType::Counter, 2),
        ("h", MetricType::Histogram, 4),
        ("s", MetricType::Summary, 3),
        ("plain_sum", MetricType::Unknown, 1),
    ];
    assert_eq!(names, expect);
    assert_eq!(families[0].help.as_deref(), Some("What \\ it\nis."));
    let sample = &families[0].samples[1];
    assert_eq!(sample.labels, [("x", Cow::Borrowed("y\"\\\n,}")), ("z", Cow::Borrowed(""))]);
    assert_eq!((sample.value, sample.timestamp_ms), (f64::INFINITY, Some(123)));
    let suffixes: Vec<_> = families[1].samples.iter().map(|s| s.suffix).collect();
    assert_eq!(suffixes, ["_bucket", "_bucket", "_sum", "_count"]);
    assert!(families[2].samples[0].value.is_nan());
    assert_eq!(parse(""), Ok(Vec::new()));
    let families = parse("# TYPE h histogram\n# TYPE h_sum gauge\nh_sum 1\nh_count 1\n").unwrap();
    assert_eq!(
        families.iter().map(|f| (f.name, f.samples[0].suffix)).collect::<Vec<_>>(),
        [("h", "_count"), ("h_sum", "")]
    );
}

/// Scenario: texts that are wrong in one line each.
/// Guarantees: the line and what is wrong with it.
#[test]
fn mistakes() {
    for (text, expect) in [
        ("a 1\nb 2", "line 2: the text breaks off"),
        ("a\n", "line 1: no blank behind the name a"),
        ("a x\n", "line 1: \"x\" is no value"),
        ("a \n", "line 1: \"\" is no value"),
        ("a 1 1.5\n", "line 1: \"1.5\" is no timestamp"),
        ("a 1 2 3\n", "line 1: there is more behind"),
        ("0a 1\n", "line 1: it does not begin"),
        ("a{b=\"c} 1\n", "line 1: the value of b has no end"),
        ("a{b=c} 1\n", "line 1: no =\"...\" behind the label b"),
        ("a{b=\"c\" d=\"e\"} 1\n", "line 1: neither a comma nor a bracket"),
        ("a{b=\"c\",b=\"d\"} 1\n", "line 1: the label b twice"),
        ("a{__name__=\"c\"} 1\n", "line 1: no name of a label"),
        ("a{b=\"\\x\"} 1\n", "line 1: \"\\x\" stands for nothing"),
        ("# TYPE a counter\n# TYPE a gauge\n", "line 2: a second TYPE of a"),
        ("# HELP a b\n# HELP a b\n", "line 2: a second HELP of a"),
        ("a 1\n# TYPE a gauge\n", "line 2: TYPE of a behind its samples"),
        ("# TYPE a thing\n", "line 1: \"thing\" is no type"),
        ("# TYPE a-b gauge\n", "line 1: \"a-b\" is no name"),
        ("# TYPE a histogram\na_bucket 1\n", "line 2: a bucket of a without the label le"),
        ("# TYPE a histogram\na 1\n", "line 2: a is a histogram"),
        ("# TYPE a summary\na 1\n", "line 2: a sample of the summary a without"),
    ] {
        let why = wrong(text);
        assert!(why.starts_with(expect), "{text:?}: {why}");
    }
}

proptest! {
    /// Scenario: any text, and texts of the format's parts.
    /// Guarantees: no panic.
    #[test]
    fn never_panics(any in "\\PC{0,40}\n?", parts in "(# (HELP|TYPE) |a(_sum|_bucket)?|counter|histogram|\\{|le=\"|\"|\\\\|,|\\}| |1|\n|\u{e9}){0,40}\n?") {
        let _any = parse(&any);
        let _any = parse(&parts);
    }

    /// Scenario: samples with any labels and values, written by the agent.
    /// Guarantees: the same is read again.
    #[test]
    fn round_trip(values in proptest::collection::vec(("[a-z]{1,3}", "\\PC{0,6}|[\\\\\"\n]{0,4}", any::<f64>()), 1..6), help in "\\PC{1,9}|a[\\\\\n]{1,3}b") {
        let mut set = MetricSet::new("collector", "node-exporter", 0);
        let family = set.family("m", MetricType::Gauge, &help);
        for (name, value, number) in &values {
            set.push(family, &[(&**name, &**value)], *number);
        }
        let text = set.exposition();
        let families = parse(&text).unwrap();
        prop_assert_eq!(families[0].help.as_deref(), Some(help.trim_start_matches([' ', '\t'])));
        prop_assert_eq!(families[0].samples.len(), values.len());
        for (sample, (name, value, number)) in families[0].samples.iter().zip(&values) {
            prop_assert_eq!(sample.labels[0].0, &**name);
            prop_assert_eq!(&*sample.labels[0].1, &**value);
            prop_assert!(sample.value == *number || (sample.value.is_nan() && number.is_nan()));
        }
    }
}
