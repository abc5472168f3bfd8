//! How a file came to be does not matter: in which portions it was written, and whether the kernel told of it.

use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::super::api::Origin;
use super::super::follow::{Follow, Handed, Settings};
use super::super::identity::Node;
use super::super::join::Joiner;
use super::super::tail::{self, Tail, Turn};
use super::*;
use crate::event::Event;

const MAX: usize = 1 << 10;

/// Stream and text of what is read of a file that is written in portions, and read after each.
fn read(format: Format, bytes: &[u8], portions: &[usize]) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let mut writer = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let stats = Arc::<LogsStats>::default();
    let labels = ["stdout", "stderr"].map(|stream| Labels::from_pairs([("stream", stream)]));
    let origin = Origin { format, labels, shared: Labels::default(), pod: None };
    let mut joiner = Joiner::new(Arc::new(origin), MAX, stats.clone());
    let mut reading = Reading::new(MAX, TimeZone::UTC, stats);
    let (file, meta) = tail::open(&path).unwrap();
    let mut tail = Tail::new(Node::of(&meta), path.clone(), path.as_path().into(), file, format);
    let mut out = Vec::new();
    let mut go_on = |ended: bool| {
        if tail.id.is_none() && tail.identify(ended).unwrap().is_none() {
            return;
        }
        while tail.turn(&mut joiner, &mut reading, ended, &mut out).unwrap() == Turn::More {}
        if ended {
            joiner.give_up(&mut out);
        }
    };
    let mut rest = bytes;
    for portion in portions {
        let (now, later) = rest.split_at((*portion).min(rest.len()));
        writer.write_all(now).unwrap();
        rest = later;
        go_on(false);
    }
    writer.write_all(rest).unwrap();
    go_on(true);
    let mut read = Vec::new();
    let mut covered = 0;
    for event in out {
        let Event::Logs(chunk) = event else { continue };
        covered += chunk.bytes;
        let mut at = 0;
        for line in &chunk.lines {
            let text = chunk.text[at..at + line.len as usize].to_owned();
            at += line.len as usize;
            read.push((chunk.labels.get("stream").unwrap_or_default().to_owned(), text));
        }
    }
    assert_eq!(covered, bytes.len() as u64, "every byte is covered");
    // Each stream is in order by itself.
    read.sort_by(|a, b| a.0.cmp(&b.0));
    read
}

fn line(format: Format) -> BoxedStrategy<Vec<u8>> {
    let stream = prop_oneof![Just("stdout"), Just("stderr")];
    let good =
        ("[a-z\u{20ac}\"\\\\ ]{0,40}", stream, any::<bool>(), 0..60_u32).prop_map(
            move |(text, stream, whole, s)| {
                let end = if whole { "\n" } else { "" };
                match format {
            Format::Docker => {
                let log = serde_json::to_string(&format!("{text}{end}")).unwrap();
                format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-11-22T14:30:{s:02}Z\"}}\n")
            }
            Format::Syslog => format!("Nov 22 14:30:{s:02} h app[{s}]: {text}\n"),
            Format::Plain => format!("{text}\n"),
            Format::Cri | Format::Auto => {
                format!("2026-11-22T14:30:{s:02}Z {stream} {} {text}\n", if whole { "F" } else { "P" })
            }
        }
        .into_bytes()
            },
        );
    let noise =
        proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'{'), any::<u8>()], 0..60);
    let long = (1..3 * MAX).prop_map(|n| [vec![b'x'; n], vec![b'\n']].concat());
    prop_oneof![8 => good, 2 => noise, 1 => long].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Scenario: files of every format, with lines of it, any bytes and lines that are too long, written in any portions.
    /// Guarantees: the same lines as of a file that was written at once; every byte is covered by a span.
    #[test]
    fn any_bytes_in_any_chunking(
        (format, lines) in prop_oneof![
            Just(Format::Cri), Just(Format::Docker), Just(Format::Syslog), Just(Format::Plain), Just(Format::Auto)
        ].prop_flat_map(|format| (Just(format), proptest::collection::vec(line(format), 0..20))),
        portions in proptest::collection::vec(0..200_usize, 0..12),
    ) {
        let bytes = lines.concat();
        prop_assert_eq!(read(format, &bytes, &portions), read(format, &bytes, &[]));
    }
}

/// Scenario: files are written of which the kernel does not tell; then it says that there was more than it could keep.
/// Guarantees: everything is looked at anew, and read.
#[test]
fn overflow() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        pods: Some(dir.path().join("pods")),
        docker: None,
        host: None,
        rescan: Span::secs(3600),
        ..Config::default()
    };
    let stats = Arc::<LogsStats>::default();
    // What the kernel says goes where nobody listens.
    let discover = Discover::new(wants(&config).unwrap(), Arc::default(), stats.clone()).unwrap();
    let inbox = Arc::<Inbox>::default();
    let settings = Settings {
        open_files: 10,
        linger: config.linger.0,
        rescan: config.rescan.0,
        skip_existing: false,
        checkpoints: Arc::default(),
        durable: Arc::new(|_| None),
        origin: Box::new(move |want, path| origin(&config, want, path)),
    };
    let reading = Reading::new(MAX, TimeZone::UTC, stats.clone());
    let follow = Follow::new(settings, discover, None, reading);
    let (lines, came) = std::sync::mpsc::sync_channel(8);
    let listening = inbox.clone();
    let thread = std::thread::spawn(move || {
        let mut send = |event| {
            if let Event::Logs(chunk) = event {
                lines.send(chunk.text).unwrap();
            }
            Handed::Over
        };
        follow.run(&listening, &mut send)
    });
    for n in 0..3 {
        let path = dir.path().join(format!("pods/a_b_{n}/c/0.log"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, cri(n, "stdout", "F", &format!("{n}"))).unwrap();
    }
    inbox.overflowed();
    let mut all: Vec<String> = (0..3).map(|_| came.recv_timeout(Duration::from_secs(30)).unwrap()).collect();
    all.sort();
    assert_eq!(
        (all, stats.overflows.load(Relaxed)),
        (vec!["0".to_owned(), "1".to_owned(), "2".to_owned()], 1)
    );
    inbox.stop();
    thread.join().unwrap();
}
