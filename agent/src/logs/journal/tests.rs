//! The journal's files, written as journald does, through to chunks.

mod moves;
mod real;
mod writer;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ao_proto::model::FileId;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use self::writer::{Form, Pack, START_US, Writer};
use super::super::{Memory, run_journal};
use super::*;
use crate::event::{Event, Line, LogChunk};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A folder of journals, and one who reads them; what was handed over counts as stored.
struct Rig {
    dir: tempfile::TempDir,
    stats: Arc<LogsStats>,
    stored: HashMap<FileId, u64>,
    chunks: Vec<LogChunk>,
    forgotten: Vec<FileId>,
    linger: Duration,
    units: Vec<String>,
    skip_existing: bool,
    since_us: u64,
    max_line: usize,
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            stats: Arc::default(),
            stored: HashMap::new(),
            chunks: Vec::new(),
            forgotten: Vec::new(),
            linger: Duration::ZERO,
            units: Vec::new(),
            skip_existing: false,
            since_us: 0,
            max_line: 1 << 20,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(MACHINE).join(name)
    }

    /// journald's folder in memory.
    fn memory(&self, name: &str) -> PathBuf {
        self.dir.path().join("run").join(MACHINE).join(name)
    }

    fn start(&self) -> Follow {
        let settings = Settings {
            folders: vec![self.dir.path().to_owned(), self.dir.path().join("run")],
            units: self.units.clone(),
            since_us: self.since_us,
            labels: BTreeMap::new(),
            fields: Config::default().fields,
            max_line: self.max_line,
            linger: self.linger,
            rescan: Duration::ZERO,
            skip_existing: self.skip_existing,
            checkpoints: self.stored.clone(),
        };
        Follow::new(settings, Arc::clone(&self.stats))
    }

    /// Until there is nothing more.
    fn read(&mut self, follow: &mut Follow) {
        while self.round(follow) {}
    }

    /// A part; whether there is more. Spans follow each other without gap.
    fn round(&mut self, follow: &mut Follow) -> bool {
        let stop = CancellationToken::new();
        let mut events = Vec::new();
        let more = follow.round(&stop, &mut |event| {
            events.push(event);
            true
        });
        for event in events {
            match event {
                Event::Logs(chunk) => {
                    let span = chunk.file.unwrap();
                    let before = self.stored.insert(span.file, span.end);
                    if span.start != span.end || !chunk.lines.is_empty() {
                        assert_eq!(before.unwrap_or(0), span.start, "{chunk:?}");
                    }
                    let is_inside = |line: &Line| u64::from(line.end) <= span.end - span.start;
                    assert!(span.start == span.end || chunk.lines.iter().all(is_inside));
                    self.chunks.push(chunk);
                }
                Event::Forget(file) => self.forgotten.push(file),
                other => panic!("{other:?}"),
            }
        }
        more
    }

    fn lines(&self) -> Vec<String> {
        let mut all = Vec::new();
        for chunk in &self.chunks {
            let mut from = 0;
            for line in &chunk.lines {
                all.push(chunk.text[from..from + line.len as usize].to_owned());
                from += line.len as usize;
            }
        }
        all
    }
}

/// Scenario: entries of a service, the kernel and a user's program, in both forms, packed in every way, one of them with
/// bytes that are no text, one without a message; times of their own that are sane and that are not.
/// Guarantees: labels, metadata, level and time of each; what cannot be read is counted with a reason.
#[test]
fn entries() {
    for form in [Form::Regular, Form::Compact] {
        let mut rig = Rig::new();
        let mut writer = Writer::new(form, 7);
        let long = format!("MESSAGE=long {}", "x".repeat(3_000));
        let source = format!("_SOURCE_REALTIME_TIMESTAMP={}", START_US - 5);
        let service: Vec<&[u8]> = vec![
            b"_HOSTNAME=web-1",
            b"_SYSTEMD_UNIT=ssh.service",
            b"_TRANSPORT=syslog",
            b"SYSLOG_IDENTIFIER=sshd",
            b"_PID=42",
            b"PRIORITY=4",
            b"_CMDLINE=not wanted",
        ];
        let with = |more: &[&'static [u8]]| [&service[..], more].concat();
        let mut dated = service.clone();
        dated.extend([long.as_bytes(), source.as_bytes()]);
        writer.entry(START_US, &dated, Pack::Zstd);
        let mut again = service.clone();
        again.push(long.as_bytes());
        writer.entry(START_US + 1, &again, Pack::No);
        writer.entry(START_US + 2, &with(&[b"MESSAGE=four four four four four four"]), Pack::Lz4);
        writer.entry(START_US + 3, &with(&[b"MESSAGE=gone"]), Pack::Xz);
        writer.entry(START_US + 4, &with(&[b"NOTHING=said"]), Pack::No);
        let kernel: [&[u8]; 4] =
            [b"_TRANSPORT=kernel", b"PRIORITY=3", b"MESSAGE=bytes \xff", b"_SOURCE_REALTIME_TIMESTAMP=17"];
        writer.entry(START_US + 5, &kernel, Pack::No);
        writer.entry(START_US + 5, &kernel, Pack::No);
        writer.save(&rig.path("system.journal"));
        let mut follow = rig.start();
        rig.read(&mut follow);

        let text = long.strip_prefix("MESSAGE=").unwrap();
        let four = "four four four four four four";
        assert_eq!(rig.lines(), [text, text, four, "bytes \u{fffd}", "bytes \u{fffd}"], "{form:?}");
        let labels: Vec<_> = rig.chunks.iter().map(|chunk| chunk.labels.to_string()).collect();
        let expect = [
            r#"{job="systemd-journal", transport="syslog", unit="ssh.service"}"#,
            r#"{job="systemd-journal", transport="kernel"}"#,
        ];
        assert_eq!(labels, expect);
        let lines: Vec<_> = rig.chunks.iter().flat_map(|chunk| &chunk.lines).collect();
        let metadata: Vec<_> = lines[0].metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(metadata.join(" "), "app=sshd hostname=web-1 pid=42 level=warn");
        assert_eq!(lines[3].metadata, [("level".into(), "error".into())].into());
        let times: Vec<_> = lines.iter().map(|line| line.at_ns - START_US as i64 * 1_000).collect();
        assert_eq!(times, [-5_000, 1_000, 2_000, 5_000, 5_001]);
        let dropped: Vec<_> = rig.chunks.iter().flat_map(|chunk| &chunk.dropped).collect();
        let dropped: Vec<_> = dropped.iter().map(|sum| (&*sum.reason, sum.records)).collect();
        assert_eq!(dropped, [("unreadable", 1), ("no_message", 1)]);
    }
}

/// Scenario: the file grows while it is read, is rotated (which gives it another name) with entries in it that nobody
/// read, and goes on as a new one; the reader is killed and begun anew at every step; the rotated file is deleted.
/// Guarantees: every entry once, in order.
#[test]
fn growth_rotation_restart() {
    for form in [Form::Regular, Form::Compact] {
        let mut rig = Rig::new();
        let mut follow = rig.start();
        let mut n = 0;
        for file in 0..4 {
            let mut writer = Writer::new(form, file);
            let path = rig.path("system.journal");
            writer.save(&path);
            rig.read(&mut follow);
            for step in 0..6 {
                for _ in 0..7 {
                    writer.say(n, ["a.service", "b.service"][n as usize % 2], &n.to_string());
                    n += 1;
                }
                writer.save(&path);
                if step < 5 {
                    rig.read(&mut follow);
                }
                if step % 2 == 0 {
                    follow = rig.start();
                }
            }
            writer.archive();
            writer.save(&path);
            fs::rename(&path, rig.path(&format!("system@{file}.journal"))).unwrap();
        }
        rig.read(&mut follow);
        let expect: Vec<String> = (0..n).map(|n| n.to_string()).collect();
        assert_eq!(rig.lines(), expect);
        // Each stream by itself, in order of time.
        fs::remove_file(rig.path("system@0.journal")).unwrap();
        rig.read(&mut follow);
        let mut follow = rig.start();
        rig.read(&mut follow);
        assert_eq!(rig.lines().len(), expect.len());
    }
}

/// Scenario: an item of an array that the header does not count yet; one that it counts and that is not there; an entry
/// that is half written, in a file that is written to.
/// Guarantees: nothing of them is read before it is whole, and nothing behind it is lost.
#[test]
fn torn_tail() {
    let mut rig = Rig::new();
    rig.linger = Duration::from_secs(60);
    let mut writer = Writer::new(Form::Compact, 1);
    for n in 0..3 {
        writer.say(n, "a.service", &n.to_string());
    }
    let path = rig.path("system.journal");
    let whole = writer.bytes.clone();
    let last = writer.at[2] as usize;
    // Not counted.
    writer.put(152, 2);
    writer.save(&path);
    let mut follow = rig.start();
    rig.read(&mut follow);
    assert_eq!(rig.lines(), ["0", "1"]);
    // Counted, and not an entry yet.
    writer.bytes = whole.clone();
    writer.bytes[last] = 0;
    writer.save(&path);
    rig.read(&mut follow);
    assert_eq!(rig.lines(), ["0", "1"]);
    writer.bytes = whole;
    writer.save(&path);
    rig.read(&mut follow);
    assert_eq!(rig.lines(), ["0", "1", "2"]);
    assert_eq!(rig.stats.journal_damaged.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// Scenario: a file that was put aside as it was not closed well, with an entry overwritten; one of a newer format; one
/// that is none; one that is cut off; arrays that go in a circle.
/// Guarantees: what can be read is, damage is counted, nothing goes on for ever, and the next file is read.
#[test]
fn damage() {
    let mut rig = Rig::new();
    let mut writer = Writer::new(Form::Regular, 1);
    for n in 0..20 {
        writer.say(n, "a.service", &n.to_string());
    }
    let at = writer.at[5] as usize;
    writer.bytes[at] = 9;
    writer.save(&rig.path("system@1.journal~"));
    let mut circle = Writer::new(Form::Regular, 2);
    for n in 20..25 {
        circle.say(n, "a.service", &n.to_string());
    }
    let first = u64::from_le_bytes(circle.bytes[176..184].try_into().unwrap());
    circle.put(first + 16, first);
    circle.save(&rig.path("system@2.journal"));
    let mut cut = Writer::new(Form::Regular, 3);
    for n in 30..60 {
        cut.say(n, "a.service", &n.to_string());
    }
    cut.save(&rig.path("system@3.journal"));
    fs::File::options().write(true).open(rig.path("system@3.journal")).unwrap().set_len(2_000).unwrap();
    let mut newer = Writer::new(Form::Regular, 4);
    newer.bytes[13] = 1;
    newer.save(&rig.path("system@4.journal"));
    fs::write(rig.path("system@5.journal"), "x".repeat(1_000)).unwrap();
    let mut good = Writer::new(Form::Regular, 6);
    good.say(99, "a.service", "99");
    good.save(&rig.path("system.journal"));
    let mut follow = rig.start();
    rig.read(&mut follow);
    let lines = rig.lines();
    let whole = (0..20).filter(|n| *n != 5).chain(20..24).map(|n: u64| n.to_string());
    assert_eq!(lines[..23], whole.collect::<Vec<_>>());
    assert_eq!(lines.last().map(String::as_str), Some("99"));
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert!(load(&rig.stats.journal_damaged) >= 3);
    assert!(load(&rig.stats.read_errors) >= 3);
}

/// Scenario: units that are wanted; a start at the end; a line longer than it may be, with an end of a line.
/// Guarantees: the others are passed by without a gap; only what is new; pieces that are the line together.
#[test]
fn choices() {
    let mut rig = Rig::new();
    (rig.units, rig.max_line, rig.skip_existing) = (vec!["a.service".to_owned()], 1_024, true);
    let mut writer = Writer::new(Form::Regular, 1);
    let path = rig.path("user-1000.journal");
    writer.say(0, "a.service", "old");
    writer.save(&path);
    let mut follow = rig.start();
    rig.read(&mut follow);
    let long = "\u{20ac}".repeat(1_000) + "\nend";
    for (unit, text) in
        [("b.service", "other"), ("a.service", &*long), ("b.service", "other"), ("a.service", "new")]
    {
        writer.say(1, unit, text);
    }
    writer.save(&path);
    follow = rig.start();
    rig.read(&mut follow);
    let lines = rig.lines();
    assert_eq!((lines[..3].concat(), &*lines[3]), (long, "new"));
    assert!(lines.iter().all(|line| line.len() <= 1_024));
}

/// Scenario: the source beside files of a syslog daemon, beside one that none has written to for long, and without.
/// Guarantees: it reads the journal only where there is no such daemon; it ends with the context.
#[tokio::test]
async fn beside_syslog() {
    for (file, days, lines) in [("syslog", 0, 0), ("auth.log.1", 1, 0), ("messages", 3, 1), ("other", 0, 1)] {
        let rig = Rig::new();
        let mut writer = Writer::new(Form::Compact, 1);
        writer.say(0, "a.service", "text");
        writer.save(&rig.path("system.journal"));
        let written = fs::File::create(rig.dir.path().join(file)).unwrap();
        written.set_modified(written.metadata().unwrap().modified().unwrap() - DAY * days).unwrap();
        let yaml = "labels: {job: host, site: lab}\nfields: {by: _TRANSPORT, host: _HOSTNAME}";
        let journal = serde_yaml_ng::from_str(yaml).unwrap();
        let journal = Config { max_age: None, folders: Some(vec![rig.dir.path().to_owned()]), ..journal };
        let config =
            super::super::Config { host: Some(rig.dir.path().to_owned()), journal, ..Default::default() };
        let (events, mut inbox) = tokio::sync::mpsc::channel(8);
        let directives = tokio::sync::watch::channel(Arc::default()).1;
        let shutdown = CancellationToken::new();
        let ctx = Context { events, directives, node: Arc::default(), shutdown: shutdown.clone() };
        let task = tokio::spawn(run_journal(config, ctx, Memory::default(), Arc::clone(&rig.stats)));
        if lines > 0 {
            let event = tokio::time::timeout(Duration::from_secs(30), inbox.recv()).await.unwrap();
            let Some(Event::Logs(chunk)) = event else { panic!("{event:?}") };
            let expect = r#"{by="stdout", job="host", site="lab"}"#;
            assert_eq!((&*chunk.text, chunk.labels.to_string().as_str()), ("text", expect));
        }
        shutdown.cancel();
        task.await.unwrap().unwrap();
        assert!(inbox.recv().await.is_none());
    }
}

proptest! {
    /// Scenario: a good file with any bytes of it overwritten, cut off anywhere.
    /// Guarantees: no panic, an end, and never more entries than there were.
    #[test]
    fn any_bytes(
        compact in any::<bool>(),
        damage in proptest::collection::vec((0..6_000_usize, any::<u8>()), 0..12),
        cut in 0..9_000_usize,
    ) {
        let mut writer = Writer::new(if compact { Form::Compact } else { Form::Regular }, 1);
        for n in 0..20 {
            writer.say(n, "a.service", &format!("line {n}"));
        }
        let packed = format!("MESSAGE={}", "packed ".repeat(20));
        writer.entry(START_US, &[packed.as_bytes()], Pack::Zstd);
        let packed = format!("MESSAGE={}", "lz4 ".repeat(20));
        writer.entry(START_US, &[packed.as_bytes()], Pack::Lz4);
        prop_assert_eq!(fuzzing::file(&writer.bytes), 22);
        for (at, byte) in damage {
            if let Some(place) = writer.bytes.get_mut(at) {
                *place = byte;
            }
        }
        writer.bytes.truncate(cut);
        prop_assert!(fuzzing::file(&writer.bytes) <= 22 + 4);
    }
}
