//! Runs the source on a folder of its own, keeps what it hands over like a spool would, and checks on the way that
//! the spans of each file have neither gap nor overlap.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::super::*;
use crate::context::Node;
use crate::event::{Event, LogChunk};

/// So long nothing may come of a source that has done nothing else meanwhile; nothing waits for it that goes well.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Rig {
    pub dir: TempDir,
    pub config: Config,
    pub stats: Arc<LogsStats>,
    /// How far each file is handed over.
    pub stored: HashMap<FileId, u64>,
    /// The same for the source, unless it is to believe that the disk is slow.
    known: Arc<Mutex<HashMap<FileId, u64>>>,
    /// Whether the source has a folder to keep what it has not read.
    pub escrow: bool,
    pub chunks: Vec<LogChunk>,
    /// Lines that count once the span comes that covers them.
    parted: Vec<LogChunk>,
    pub forgotten: Vec<FileId>,
    /// Bytes that the source says nobody will read.
    pub unread: u64,
    /// Events that may wait before the source has to.
    pub room: usize,
    running: Option<Running>,
}

type Running = (mpsc::Receiver<Event>, CancellationToken, JoinHandle<Result<(), LogsError>>);

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            pods: Some(dir.path().join("pods")),
            files: vec![FileGlob {
                path: dir.path().join("files/*.log"),
                labels: BTreeMap::from([("site".to_owned(), "here".to_owned())]),
                format: Format::Auto,
                exclude: vec![dir.path().join("files/not*")],
            }],
            docker: Some(dir.path().join("docker")),
            host: Some(dir.path().join("host")),
            timezone: Some("UTC".to_owned()),
            linger: Span(Duration::from_millis(200)),
            ..Config::default()
        };
        let (stats, stored, known, chunks, parted, forgotten, unread, running) = Default::default();
        let (room, escrow) = (64, true);
        Self { dir, config, stats, stored, known, escrow, chunks, parted, forgotten, unread, room, running }
    }

    /// A path below the rig's folder; the folders on the way are made.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn append(&self, name: &str, text: impl AsRef<[u8]>) -> File {
        append(&self.path(name), text)
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn start(&mut self) {
        let (events, inbox) = mpsc::channel(self.room);
        let shutdown = CancellationToken::new();
        let directives = watch::channel(Arc::default()).1;
        let ctx = Context { events, directives, node: Arc::new(Node::default()), shutdown: shutdown.clone() };
        let known = self.known.clone();
        let memory = Memory {
            checkpoints: Arc::new(self.stored.clone()),
            durable: Arc::new(move |file| known.lock().unwrap().get(&file).copied()),
            folder: self.escrow.then(|| self.dir.path().join("state/escrow")),
        };
        let task = tokio::spawn(run(self.config.clone(), ctx, memory, self.stats.clone()));
        self.running = Some((inbox, shutdown, task));
    }

    /// Stops in good order: what is on its way is still stored.
    pub(super) async fn stop(&mut self) {
        let (mut inbox, shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        while let Some(event) = inbox.recv().await {
            self.keep(event);
        }
        task.await.unwrap().unwrap();
        assert!(self.parted.is_empty(), "lines without the span that covers them: {:?}", self.parted);
    }

    /// Dies: what is on its way is lost.
    pub(super) async fn kill(&mut self) {
        let (inbox, shutdown, task) = self.running.take().unwrap();
        drop(inbox);
        self.parted.clear();
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }

    /// Takes one chunk without keeping it: there are too many, or they are too large.
    pub(super) async fn pass(&mut self) -> LogChunk {
        let (inbox, ..) = self.running.as_mut().unwrap();
        let event = patiently(&self.stats, inbox.recv()).await;
        let Some(Some(Event::Logs(chunk))) = event else { panic!("{event:?}") };
        chunk
    }

    /// Takes one event, or fails the test.
    pub(super) async fn one(&mut self) {
        let (inbox, ..) = self.running.as_mut().unwrap();
        match patiently(&self.stats, inbox.recv()).await {
            Some(Some(event)) => self.keep(event),
            Some(None) => panic!("the source has ended; until then: {:#?}", self.texts()),
            None => panic!("nothing more comes; until then: {:#?}", self.texts()),
        }
    }

    /// Takes events until this many lines have come; there must not be more.
    pub(super) async fn lines(&mut self, n: usize) -> Vec<String> {
        while self.texts().len() < n {
            self.one().await;
        }
        assert_eq!(self.texts().len(), n, "{:#?}", self.texts());
        self.texts()
    }

    /// Waits for what the source does beside handing over.
    pub(super) async fn until(&self, mut is_so: impl FnMut() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        patiently(&self.stats, wait).await.expect("what is waited for does not come");
    }

    pub(super) async fn until_forgotten(&mut self, n: usize) {
        while self.forgotten.len() < n {
            self.one().await;
        }
    }

    /// All lines so far.
    pub(super) fn texts(&self) -> Vec<String> {
        self.entries().into_iter().map(|(_, _, text)| text).collect()
    }

    /// All lines so far with their labels and times.
    pub(super) fn entries(&self) -> Vec<(Labels, i64, String)> {
        let mut all = Vec::new();
        for chunk in &self.chunks {
            let mut at = 0;
            for line in &chunk.lines {
                let end = at + line.len as usize;
                all.push((chunk.labels.clone(), line.at_ns, chunk.text[at..end].to_owned()));
                at = end;
            }
        }
        all
    }

    fn keep(&mut self, event: Event) {
        match event {
            Event::Logs(chunk) => {
                let span = chunk.file.unwrap();
                let before = self.stored.get(&span.file).copied().unwrap_or(0);
                assert!(
                    span.start == before || before == 0 && span.start == span.end,
                    "{span:?} behind {before}"
                );
                let dropped: u64 = chunk.dropped.iter().map(|sum| sum.bytes).sum();
                assert_eq!(chunk.bytes + dropped, span.end - span.start);
                assert_eq!(chunk.lines.iter().map(|l| l.len as usize).sum::<usize>(), chunk.text.len());
                if span.start == span.end && !chunk.lines.is_empty() {
                    return self.parted.push(chunk);
                }
                if let Some(first) = self.parted.first() {
                    // Between them there may be the rest of the file before.
                    if first.file.unwrap().file != span.file {
                        return self.parted.push(chunk);
                    }
                }
                for chunk in self.parted.drain(..).chain([chunk]) {
                    let span = chunk.file.unwrap();
                    self.stored.insert(span.file, span.end);
                    self.known.lock().unwrap().insert(span.file, span.end);
                    self.unread += chunk.dropped.iter().map(|sum| sum.bytes).sum::<u64>();
                    self.chunks.push(chunk);
                }
            }
            Event::Forget(file) => {
                self.stored.remove(&file);
                self.known.lock().unwrap().remove(&file);
                self.forgotten.push(file);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for as long as the source gets on: a machine that is busy with other things makes it slow, and nothing else.
async fn patiently<T>(stats: &LogsStats, what: impl Future<Output = T>) -> Option<T> {
    let done = || {
        let counts = [
            &stats.files_found,
            &stats.finished,
            &stats.bytes,
            &stats.unread_bytes,
            &stats.escrow_copied_bytes,
        ];
        counts.map(|count| count.load(Relaxed))
    };
    let mut what = std::pin::pin!(what);
    loop {
        let before = done();
        match tokio::time::timeout(PATIENCE, &mut what).await {
            Ok(came) => return Some(came),
            Err(_) if done() == before => return None,
            Err(_) => {}
        }
    }
}

pub(super) fn append(path: &Path, text: impl AsRef<[u8]>) -> File {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// A line of a container's log, at `nanos` past some second.
pub(super) fn cri(nanos: u32, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-11-22T14:30:15.{nanos:09}Z {stream} {tag} {text}\n")
}
