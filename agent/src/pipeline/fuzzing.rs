//! What the fuzz targets reach of this room.

use ao_proto::model::{FileSpan, Labels};

use super::*;
use crate::event::Line;

/// Lines at most, so that one input stays quick.
const LINES: usize = 64;

/// A list of stages in YAML; behind a line `---` the lines of a file.
pub(crate) fn stages(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (yaml, lines) = text.split_once("\n---\n").unwrap_or((&text, "a\nb"));
    let Ok(stages) = serde_yaml_ng::from_str::<Stages>(yaml) else { return };
    let mut pipeline = Pipeline::new(&Config { stages }, &Arc::default());
    let (now, mut end, mut out) = (Instant::now(), 0, Vec::new());
    let lines: Vec<&str> = lines.lines().take(LINES).collect();
    for part in lines.chunks(LINES / 2) {
        let chunk = chunk(end, part);
        end += chunk.bytes;
        out.extend(pipeline.take(chunk, now));
    }
    out.extend(pipeline.due(None));
    let covered = out.iter().filter_map(|chunk| chunk.file).map(|span| span.end - span.start).sum::<u64>();
    let dropped = out.iter().flat_map(|chunk| &chunk.dropped).map(|dropped| dropped.bytes).sum::<u64>();
    let bytes = out.iter().map(|chunk| chunk.bytes).sum::<u64>();
    assert_eq!((covered, bytes + dropped), (end, end), "all that was read is handed on or counted");
    for chunk in &out {
        assert_eq!(chunk.lines.iter().map(|line| line.len as usize).sum::<usize>(), chunk.text.len());
    }
}

fn chunk(start: u64, lines: &[&str]) -> LogChunk {
    let mut end = 0;
    let line = |text: &&str| {
        end += text.len() as u32 + 1;
        Line { at_ns: 1, len: text.len() as u32, end, raw: text.len() as u32 + 1, ..Line::default() }
    };
    let entries: Vec<Line> = lines.iter().map(line).collect();
    LogChunk {
        source: "logs",
        labels: Labels::from_pairs([("job", "fuzz")]),
        shared: Labels::default(),
        pod: None,
        file: Some(FileSpan { file: FileId([1; 16]), start, end: start + u64::from(end) }),
        bytes: u64::from(end),
        lines: entries,
        text: lines.concat(),
        dropped: Vec::new(),
    }
}
