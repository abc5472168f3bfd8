//! What the fuzz targets reach of this room.

use std::sync::Arc;

use ao_proto::model::Labels;

use super::{Config, Rules};
use crate::event::{Line, LogChunk, MetricSet};

/// Lines, all rules on, room for a few templates.
pub(crate) fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let metrics = Arc::default();
    let mut rules = Rules::new(Config { most_templates: 4, ..Config::default() }, &metrics);
    let (mut count, mut bytes) = (0, 0);
    for part in text.split("\n\n") {
        let mut chunk = chunk(part.lines());
        let (lines, length) = (chunk.lines.len(), chunk.text.len());
        let parted = rules.take(&mut chunk);
        let all = || parted.iter().chain([&chunk]);
        assert_eq!(all().map(|chunk| chunk.lines.len()).sum::<usize>(), lines);
        assert_eq!(all().map(|chunk| chunk.text.len()).sum::<usize>(), length);
        count += lines;
        bytes += length;
    }
    rules.flush();
    let mut set = MetricSet::new("own", "fuzz", 0);
    metrics.export(&mut set);
    set.samples.clear();
    metrics.export(&mut set);
    let sum = |name: &str| -> f64 {
        let of =
            |sample: &&crate::event::SampleText| set.text(&set.families[sample.family as usize].name) == name;
        set.samples.iter().filter(of).map(|sample| sample.value).sum()
    };
    assert_eq!((sum("log_messages_total"), sum("log_bytes_total")), (count as f64, bytes as f64));
    assert!(sum("log_template_info") <= 5.0);
}

/// A chunk of these lines.
pub(crate) fn chunk<'a>(lines: impl Iterator<Item = &'a str>) -> LogChunk {
    let mut text = String::new();
    let line = |line: &str| {
        text.push_str(line);
        Line { len: line.len() as u32, ..Line::default() }
    };
    let lines = lines.map(line).collect();
    LogChunk {
        source: "logs",
        labels: Labels::from_pairs([("namespace", "shop"), ("container", "web"), ("pod", "web-1")]),
        shared: Labels::default(),
        pod: None,
        file: None,
        bytes: text.len() as u64,
        lines,
        text,
        dropped: Vec::new(),
    }
}
