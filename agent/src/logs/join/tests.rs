//! Runs, spans and partial lines, without files.

use proptest::prelude::*;

use ao_proto::model::Labels;

use super::super::api::{Format, Stream};
use super::*;

const FILE: FileId = FileId([1; 16]);
const NEXT: FileId = FileId([2; 16]);

fn joiner(max_line: usize) -> Joiner {
    let labels = ["stdout", "stderr"].map(|s| Labels::from_pairs([("stream", s)]));
    let origin = Origin { format: Format::Cri, labels, shared: Labels::default(), pod: None };
    Joiner::new(Arc::new(origin), max_line, Arc::default())
}

/// Written as "o" or "e" for the stream, "P" or "F", then the text; ten bytes of the file each.
fn feed(joiner: &mut Joiner, records: &[&str], out: &mut Vec<Event>) {
    for (n, record) in records.iter().enumerate() {
        let stream = if record.starts_with('o') { Stream::Stdout } else { Stream::Stderr };
        let partial = &record[1..2] == "P";
        let record = Record { stream, at_ns: n as i64, text: &record.as_bytes()[2..], partial, fields: &[] };
        joiner.record(&record, 10, out);
    }
    joiner.flush(out);
}

/// Each chunk as "stream file start..end: lines".
fn told(out: &[Event]) -> Vec<String> {
    out.iter()
        .map(|event| {
            let Event::Logs(chunk) = event else { panic!("{event:?}") };
            let span = chunk.file.unwrap();
            let mut at = 0;
            let lines: Vec<_> = chunk
                .lines
                .iter()
                .map(|line| {
                    at += line.len as usize;
                    &chunk.text[at - line.len as usize..at]
                })
                .collect();
            let stream = &chunk.labels.get("stream").unwrap()[3..];
            format!("{stream} {} {}..{}: {}", span.file.0[0], span.start, span.end, lines.join(","))
        })
        .collect()
}

/// Scenario: streams in turns, partial lines alone, with the other stream between, crossing each other, too long.
/// Guarantees: spans without gaps; nothing open is ever covered; joined lines are whole.
#[test]
fn chunks() {
    for (records, expect) in [
        (&["oFa", "oFb", "eFc", "oFd"][..], &["out 1 0..0: a,b,d", "err 1 0..40: c"][..]),
        (&["oFa", "oPb", "oPc", "oFd", "oFe"], &["out 1 0..10: a", "out 1 10..50: bcd,e"]),
        (&["eFx", "oPa", "eFy", "oFb"], &["err 1 0..10: x", "out 1 10..10: ab", "err 1 10..40: y"]),
        (&["oPa", "ePx", "oFb", "eFy"], &["out 1 0..0: ab", "err 1 0..40: xy"]),
        (&["oFa", "oPb"], &["out 1 0..10: a"]),
        // At most 8 bytes.
        (&["oP1234", "oP5678", "oF9"], &["out 1 0..30: 12345678,9"]),
        (&["oP1234", "oP5678", "oP9", "oFz"], &["out 1 0..20: 12345678", "out 1 20..40: 9z"]),
    ] {
        let (mut joiner, mut out) = (joiner(8), Vec::new());
        joiner.begin(FILE, 0, &mut out);
        feed(&mut joiner, records, &mut out);
        assert_eq!(told(&out), expect, "{records:?}");
    }
}

/// Scenario: a partial line goes on in the next file; or that file was begun before.
/// Guarantees: the lines come first, then the old file's rest, then the new file's span; in the other cases nothing is
/// joined that does not belong together, and every byte is covered.
#[test]
fn across_files() {
    let (mut first, mut out) = (joiner(100), Vec::new());
    first.begin(FILE, 0, &mut out);
    feed(&mut first, &["oFa", "oPb", "eFx"], &mut out);
    first.begin(NEXT, 0, &mut out);
    feed(&mut first, &["eFy", "oFc", "oFd"], &mut out);
    let expect = ["out 1 0..10: a", "out 2 0..0: bc,d", "err 2 0..0: x,y", "out 1 10..30: ", "out 2 0..30: "];
    assert_eq!(told(&out), expect);

    let (mut silent, mut out) = (joiner(100), Vec::new());
    silent.begin(FILE, 0, &mut out);
    feed(&mut silent, &["oPa"], &mut out);
    silent.begin(NEXT, 0, &mut out);
    silent.give_up(&mut out);
    assert_eq!(told(&out), ["out 1 0..10: a"]);

    let (mut resumed, mut out) = (joiner(100), Vec::new());
    resumed.begin(FILE, 0, &mut out);
    feed(&mut resumed, &["oPa"], &mut out);
    resumed.begin(NEXT, 70, &mut out);
    feed(&mut resumed, &["oFb"], &mut out);
    assert_eq!(told(&out), ["out 1 0..10: a", "out 2 70..80: b"]);
}

/// Scenario: one stream's partial line stays open while the other writes without end.
/// Guarantees: what is held back is bounded; then the open line is given up.
#[test]
fn bounded() {
    let (mut joiner, mut out) = (joiner(100), Vec::new());
    joiner.begin(FILE, 0, &mut out);
    feed(&mut joiner, &["oPa"], &mut out);
    let text = [b'x'; 1000];
    for _ in 0..2_000 {
        joiner.record(
            &Record { stream: Stream::Stderr, at_ns: 0, text: &text, partial: false, fields: &[] },
            1,
            &mut out,
        );
    }
    assert!(!out.is_empty() && !joiner.is_open());
}

proptest! {
    /// Scenario: any records, handed over in any portions, the reader dying behind any chunk and starting again from
    /// the spans that were stored.
    /// Guarantees: the same lines as when read at once; after a death nothing is missing, and nothing is doubled
    /// unless it died inside a group that belongs together.
    #[test]
    fn any_records(
        records in proptest::collection::vec(("[oe][PF][a-z]{0,3}", 0..3_u8), 1..30),
        death in 0..40_usize,
    ) {
        let texts: Vec<&str> = records.iter().map(|(text, _)| &**text).collect();
        let read = |from: usize, flushes: bool| {
            let (mut joiner, mut out) = (joiner(1000), Vec::new());
            joiner.begin(FILE, from as u64 * 10, &mut out);
            for (n, text) in texts.iter().enumerate().skip(from) {
                let stream = if text.starts_with('o') { Stream::Stdout } else { Stream::Stderr };
                let record =
                    Record { stream, at_ns: n as i64, text: &text.as_bytes()[2..], partial: &text[1..2] == "P", fields: &[] };
                joiner.record(&record, 10, &mut out);
                if flushes && records[n].1 == 0 {
                    joiner.flush(&mut out);
                }
            }
            joiner.give_up(&mut out);
            out
        };
        let lines = |out: &[Event]| {
            let mut all: Vec<String> = Vec::new();
            for event in out {
                let Event::Logs(chunk) = event else { panic!() };
                let (mut at, stream) = (0, chunk.labels.get("stream").unwrap());
                for line in &chunk.lines {
                    let end = at + line.len as usize;
                    all.push(format!("{stream} {} {}", line.at_ns, &chunk.text[at..end]));
                    at = end;
                }
            }
            all.sort();
            all
        };
        let whole = read(0, false);
        prop_assert_eq!(lines(&read(0, true)), lines(&whole));

        let spans = |e: &Event| match e { Event::Logs(c) => c.file.unwrap(), _ => panic!() };
        let mut at = 0;
        for event in &whole {
            let span = spans(event);
            prop_assert_eq!(span.start, at);
            at = span.end;
        }
        prop_assert_eq!(at, texts.len() as u64 * 10);

        let kept = death.min(whole.len());
        let stored = whole[..kept].last().map_or(0, |e| spans(e).end);
        let rest = read(stored as usize / 10, false);
        let mut both = lines(&whole[..kept]);
        both.extend(lines(&rest));
        both.sort();
        let in_group = whole[..kept].last().is_some_and(|e| spans(e).start == spans(e).end);
        if !in_group {
            prop_assert_eq!(both, lines(&whole));
        } else {
            prop_assert!(lines(&whole).iter().all(|line| both.contains(line)));
        }
    }
}
