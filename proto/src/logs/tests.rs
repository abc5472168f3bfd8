//! Log frames: all lines come back, and nothing but errors for all else.

use proptest::prelude::*;

use super::*;

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-e_]{0,3}", "\\PC{0,4}|[x-z]"), 0..6).prop_map(Labels::from_pairs)
}

fn frame() -> impl Strategy<Value = LogFrame> {
    let line = (any::<u32>(), any::<i64>(), 0..5_usize, prop_oneof![any::<String>(), Just("\0".to_owned())]);
    let pair = ("[a-c]{0,3}", any::<String>()).prop_map(|(n, v)| (n.into(), v.into()));
    let lines = prop::collection::vec((line, prop::collection::vec(pair, 0..3), any::<bool>()), 0..40);
    let streams = prop::collection::vec((labels(), labels()), 1..5);
    (streams, lines).prop_map(|(streams, lines)| {
        let (streams, mut shared): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
        while shared.pop_if(|labels| labels.pairs().is_empty()).is_some() {}
        let mut frame = LogFrame { streams, shared, ..LogFrame::default() };
        for ((stream, at, unit, line), pairs, plain) in lines {
            let pairs: Vec<Pair> = if plain { Vec::new() } else { pairs };
            let ns = [1, 1_000, 1_000_000, 1_000_000_000, 7][unit];
            frame.entries.push(LogEntry {
                stream: stream % frame.streams.len() as u32,
                at_ns: at / ns * ns,
                len: line.len() as u32,
                metadata: pairs.len() as u32,
            });
            frame.text.push_str(&line);
            frame.metadata.extend(pairs);
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Scenario: any lines in any streams, with any times and metadata.
    /// Guarantees: all of it comes back.
    #[test]
    fn round_trip(frame in frame()) {
        prop_assert_eq!(LogFrame::decode(&frame.encode()), Ok(frame));
    }

    /// Scenario: a valid payload with some bytes changed, or with its end cut off.
    /// Guarantees: an error, or a frame whose lines can be walked; never a panic; the same of a mere look.
    #[test]
    fn changed_bytes(
        frame in frame(),
        changes in changes(),
        cut in any::<prop::sample::Index>(),
    ) {
        damaged(frame.encode(), changes, cut)?;
    }

    /// Scenario: any bytes.
    /// Guarantees: an error or a frame, never a panic.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = LogFrame::decode(&bytes);
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..5)
}

/// A payload that is cut off is refused; one with bytes changed is, too, or its lines can be walked, and a mere look says
/// the same.
fn damaged(
    mut raw: Vec<u8>,
    changes: Vec<(prop::sample::Index, u8)>,
    cut: prop::sample::Index,
) -> Result<(), TestCaseError> {
    prop_assert!(LogFrame::decode(&raw[..cut.index(raw.len())]).is_err());
    for (at, to) in changes {
        let at = at.index(raw.len());
        raw[at] = to;
    }
    prop_assert_eq!(LogFrame::check(&raw), LogFrame::decode(&raw).map(drop));
    if let Ok(other) = LogFrame::decode(&raw) {
        prop_assert_eq!(other.iter().count(), other.entries.len());
        prop_assert_eq!(LogFrame::decode(&other.encode()), Ok(other));
    }
    Ok(())
}

fn lines(texts: &[&str], unit: i64) -> LogFrame {
    let entry = |(i, text): (usize, &&str)| LogEntry {
        stream: 0,
        at_ns: i as i64 * 3 * unit,
        len: text.len() as u32,
        metadata: 0,
    };
    LogFrame {
        streams: vec![Labels::from_pairs([("app", "web")])],
        shared: Vec::new(),
        entries: texts.iter().enumerate().map(entry).collect(),
        text: texts.concat(),
        metadata: Vec::new(),
    }
}

/// Scenario: three lines of one stream, a second apart each.
/// Guarantees: the layout of the module's head, byte by byte: a change of it is a change of the wire version.
#[test]
fn layout() {
    let expect: Vec<u8> = [
        &[2, 3, 3][..],
        b"appweb",
        &[1, 1, 0],    // one shape: app
        &[1, 0, 2],    // one stream: web
        &[0],          // no metadata in common
        &[3, 0, 3],    // three lines, all of it
        &[9, 0, 6, 6], // times in seconds
        &[0, 0],       // no metadata
        &[0, 1, 2, 0], // texts as they are: lengths
        b"abc",
    ]
    .concat();
    assert_eq!(lines(&["a", "bc", ""], 1_000_000_000).encode(), expect);
}

/// Scenario: six lines, of which five differ in a number and an id alone.
/// Guarantees: the layout of templates.rs, byte by byte: a change of it is a change of the wire version.
#[test]
fn layout_of_templates() {
    let texts = [
        "order 7 of a3f0",
        "order 7 of b41c",
        "no order",
        "order 8 of 00ff",
        "order 8 of 9e9e",
        "order 10 of 1a2b",
    ];
    let raw = lines(&texts, 1_000_000_000).encode();
    let expect: Vec<u8> = [
        &[1, 1, 2][..], // templates: one, with two places
        &[6, 4, 0],
        b"order  of ",
        &[1, 1, 0, 1, 1, 1], // the third line has none
        &[8],
        b"no order",
        &[2, 8, 0, 7, 1, 0, 0, 1, 1, 3], // the number: 7 and a byte each
        &[5, 11, 4, 0xa3, 0xf0, 0xb4, 0x1c, 0x00, 0xff, 0x9e, 0x9e, 0x1a, 0x2b],
    ]
    .concat();
    assert!(raw.ends_with(&expect), "{raw:?}");
}

/// Lines as programs write them: few forms, with numbers and ids of all kinds in them.
fn alike() -> impl Strategy<Value = LogFrame> {
    let value = prop_oneof![
        (0..3_u64).prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (0..100_u64).prop_map(|n| format!("{n:03}")),
        (0..100_u64).prop_map(|n| format!("{n:02}")),
        any::<u64>().prop_map(|n| format!("{n:016x}")),
        "[a-z0-9]{1,9}",
        "[a-f0-9]{64,70}",
        Just("\u{e9}".to_owned()),
    ];
    let forms = prop::collection::vec(prop::collection::vec("[a-z= \\u{e9}\"-]{0,6}", 1..6), 1..4);
    let many = prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(value, 6)), 0..120);
    (forms, many, 0..2_usize).prop_map(|(forms, picked, kinds)| {
        let text = |(form, values): &(prop::sample::Index, Vec<String>)| -> String {
            let pieces = form.get(&forms).iter().enumerate();
            // With one kind of value for each place, or with any.
            pieces
                .map(|(i, piece)| {
                    format!("{piece}{}", picked[0].1.get(i).filter(|_| kinds == 0).unwrap_or(&values[i]))
                })
                .collect()
        };
        let texts: Vec<String> = picked.iter().map(text).collect();
        lines(&texts.iter().map(String::as_str).collect::<Vec<_>>(), 1)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Scenario: lines of few forms, with values of all kinds; the payload with some bytes changed, or cut off.
    /// Guarantees: all lines come back; of the others an error or a frame, the same of a mere look.
    #[test]
    fn templates(
        frame in alike(),
        changes in changes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let raw = frame.encode();
        prop_assert_eq!(LogFrame::decode(&raw), Ok(frame));
        damaged(raw, changes, cut)?;
    }
}

/// Scenario: a few bytes that stand for a great deal of text.
/// Guarantees: refused at the limit, before the memory is spent.
#[test]
fn texts_do_not_add_up() {
    let text = "x".repeat(1 << 20);
    let mut texts = vec![text.as_str(); 16];
    let most = lines(&texts, 1).encode();
    assert!(most.len() < 2 << 20);
    assert_eq!(LogFrame::decode(&most).map(|frame| frame.text.len()), Ok(MAX_RAW_BYTES));
    texts.push("y");
    let error = LogFrame::check(&lines(&texts, 1).encode()).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { .. }), "{error}");
}

/// Scenario: a line's length that ends within a character, and metadata that no line owns.
/// Guarantees: errors, since walking such a frame would be wrong.
#[test]
fn refuses_what_cannot_be_walked() {
    let mut frame = lines(&["\u{e9}", "a"], 1);
    (frame.entries[0].len, frame.entries[1].len) = (1, 2);
    assert!(LogFrame::decode(&frame.encode()).is_err());
    let mut frame = lines(&["a"], 1);
    frame.metadata.push(("n".into(), "v".into()));
    assert!(LogFrame::decode(&frame.encode()).is_err());
    let mut frame = lines(&["a"], 1);
    frame.entries[0].stream = 1;
    assert!(LogFrame::decode(&frame.encode()).is_err());
}

/// Scenario: a long metadata name that very many pairs use.
/// Guarantees: refused: the copies would take far more memory than the frame.
#[test]
fn names_do_not_add_up() {
    let mut frame = lines(&["a"], 1);
    let long: Box<str> = "n".repeat(100_000).into();
    frame.metadata = vec![(long, "".into()); 1_000];
    frame.entries[0].metadata = 1_000;
    assert!(matches!(LogFrame::decode(&frame.encode()), Err(FrameError::TooLarge { .. })));
}

/// Scenario: streams with as many labels together as a frame may have, and one stream more.
/// Guarantees: the first is read, and a mere look agrees; the second is refused by both.
#[test]
fn labels_add_up() {
    let labels = Labels::from_pairs((0..64).map(|n| (format!("l{n:02}"), "v")));
    let mut frame = LogFrame { streams: vec![labels.clone(); MAX_STREAM_LABELS / 64], ..LogFrame::default() };
    let raw = frame.encode();
    assert_eq!(LogFrame::decode(&raw).map(|frame| frame.streams.len()), Ok(MAX_STREAM_LABELS / 64));
    assert_eq!(LogFrame::check(&raw), Ok(()));
    frame.streams.push(labels);
    let error = LogFrame::check(&frame.encode()).unwrap_err();
    assert!(error.to_string().contains("too many labels"), "{error}");
    assert_eq!(LogFrame::decode(&frame.encode()), Err(error));
}
