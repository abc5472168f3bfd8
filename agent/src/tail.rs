//! `ao-agent tail`: prints what the pipeline makes of log lines, for those who write its stages. The source and the
//! pipeline are those of the agent; nothing is kept, and nothing is sent.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use ao_proto::v1::Directives;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::context::{Context, Node};
use crate::enrich::Enricher;
use crate::event::{Event, LogChunk};
use crate::logs::{self, Begin, LogsError};
use crate::pipeline::Pipeline;
use crate::pipeline::api::{Entry, Out};

/// Which lines.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only those of this Kubernetes namespace.
    #[arg(long)]
    pub namespace: Option<String>,
    /// Those that are written from now on, until interrupted; else those that are there.
    #[arg(long, conflicts_with = "dry_run")]
    pub follow: bool,
    /// Those of this file alone, plain or as container runtimes write it.
    #[arg(long, value_name = "FILE")]
    pub dry_run: Option<PathBuf>,
}

/// Why nothing more is printed.
#[derive(Debug, Error)]
pub enum TailError {
    /// The source.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// A file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output is closed.
    #[error("cannot write what was read: {0}")]
    Write(io::Error),
}

/// Prints to `out` until all is read, or the shutdown. Files that go while they are read are left out.
///
/// # Errors
/// The file of `--dry-run` cannot be read, logs cannot be read at all, or the output is closed.
pub async fn run(
    args: &Args,
    config: &Config,
    node: Node,
    out: impl Write + IsTerminal,
    shutdown: CancellationToken,
) -> Result<(), TailError> {
    let colours = out.is_terminal();
    let mut screen = Screen::new(args, config, &node, io::BufWriter::new(out), colours);
    if args.follow {
        return follow(&mut screen, config, node, shutdown).await;
    }
    let paths = match &args.dry_run {
        Some(path) => vec![std::path::absolute(path).unwrap_or_else(|_| path.clone())],
        None => logs::once::files(&config.logs)?,
    };
    for path in paths {
        let mut failed = None;
        let mut each = |chunk| {
            if failed.is_none() {
                failed = screen.take(chunk).err();
            }
        };
        let read = logs::once::read(&config.logs, &path, &mut each);
        if let Some(failed) = failed {
            return Err(TailError::Write(failed));
        }
        match read {
            Err(source) if args.dry_run.is_some() => return Err(TailError::Read { path, source }),
            _gone_meanwhile => {}
        }
        if shutdown.is_cancelled() {
            break;
        }
    }
    screen.end().map_err(TailError::Write)
}

async fn follow<W: Write>(
    screen: &mut Screen<W>,
    config: &Config,
    node: Node,
    shutdown: CancellationToken,
) -> Result<(), TailError> {
    let (events, mut arriving) = mpsc::channel(16);
    let (_keep, directives) = watch::channel(Arc::<Directives>::default());
    let node = Arc::new(node);
    let context = Context { events, directives, node, shutdown: shutdown.clone() };
    let logs = logs::Config { from: Begin::End, ..config.logs.clone() };
    let source = logs::run(logs, context, logs::Memory::default(), Arc::default());
    tokio::pin!(source);
    loop {
        let due = screen
            .pipeline
            .next_due()
            .unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(3600));
        let printed = tokio::select! {
            ended = &mut source => {
                ended?;
                break;
            }
            event = arriving.recv() => match event {
                Some(Event::Logs(chunk)) => screen.take(chunk),
                Some(_) => Ok(()),
                None => break,
            },
            () = tokio::time::sleep_until(due) => screen.due(Some(Instant::now())),
        };
        printed.and_then(|()| screen.out.flush()).map_err(TailError::Write)?;
    }
    screen.end().map_err(TailError::Write)
}

/// Where lines are shown.
struct Screen<W> {
    enricher: Enricher,
    pipeline: Pipeline,
    namespace: Option<String>,
    out: W,
    colours: bool,
}

impl<W: Write> Screen<W> {
    fn new(args: &Args, config: &Config, node: &Node, out: W, colours: bool) -> Self {
        Self {
            enricher: Enricher::new(config.enrich.clone(), Arc::new(node.clone())),
            pipeline: Pipeline::new(&config.pipeline, &Arc::default()),
            namespace: args.namespace.clone(),
            out,
            colours,
        }
    }

    fn take(&mut self, chunk: LogChunk) -> io::Result<()> {
        let wanted = self.namespace.as_deref();
        if wanted.is_some() && chunk.labels.get("namespace") != wanted {
            return Ok(());
        }
        // Nobody says here what labels pods have, so that none is waited for.
        let mut ready = self.enricher.logs(chunk);
        ready.extend(self.enricher.drain());
        for chunk in ready {
            let made = self.pipeline.see(chunk, Instant::now());
            self.show(made)?;
        }
        Ok(())
    }

    fn due(&mut self, now: Option<Instant>) -> io::Result<()> {
        let made = self.pipeline.see_due(now);
        self.show(made)
    }

    fn end(&mut self) -> io::Result<()> {
        self.due(None)?;
        self.out.flush()
    }

    fn show(&mut self, made: Out) -> io::Result<()> {
        let kept = made.entries.into_iter().map(|entry| (entry, None));
        let dropped = made.dropped.into_iter().map(|(reason, entry)| (entry, Some(reason)));
        let mut all: Vec<_> = kept.chain(dropped).collect();
        // In the order in which they stand in their files.
        all.sort_by_key(|(entry, _)| (entry.place.file, entry.place.end));
        for (entry, reason) in all {
            let line = shown(&entry);
            match (reason, self.colours) {
                (None, _) => writeln!(self.out, "{line}"),
                (Some(reason), true) => writeln!(self.out, "\x1b[2mdropped{{{reason}}} {line}\x1b[0m"),
                (Some(reason), false) => writeln!(self.out, "dropped{{{reason}}} {line}"),
            }?;
        }
        Ok(())
    }
}

/// Time, labels, metadata, text.
fn shown(entry: &Entry) -> String {
    let mut line = match Timestamp::from_nanosecond(entry.at_ns.into()) {
        Ok(time) => time.to_string(),
        Err(_) => entry.at_ns.to_string(),
    };
    // Writing to a String cannot fail.
    let _ok = write!(line, " {}", entry.labels);
    for (name, value) in &entry.metadata {
        let _ok = write!(line, " {name}={value:?}");
    }
    line.push(' ');
    line.push_str(&entry.line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is printed.
    #[derive(Clone, Default)]
    struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn config(yaml: &str) -> Config {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    /// What is printed of the files that the arguments name.
    fn printed(args: &Args, config: &Config) -> Vec<String> {
        let sink = Sink::default();
        let node = Node { name: "n1".to_owned(), cluster: "c1".to_owned(), ..Node::default() };
        let mut screen = Screen::new(args, config, &node, sink.clone(), false);
        let paths = match &args.dry_run {
            Some(path) => vec![path.clone()],
            None => logs::once::files(&config.logs).unwrap(),
        };
        for path in paths {
            logs::once::read(&config.logs, &path, &mut |chunk| screen.take(chunk).unwrap()).unwrap();
        }
        screen.end().unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    const STAGES: &str = "pipeline: {stages: [{multiline: {firstline: '^\\S'}}, {drop: {expression: debug, drop_counter_reason: noise}}, {trace_id: }]}\n";

    /// Scenario: a file as a runtime writes it that the configuration does not know, and a plain one.
    /// Guarantees: labels, time, metadata and text as they would be sent; dropped ones with the reason; a block at the
    /// end, and a line without its end, too.
    #[test]
    fn dry_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let lines = "2016-10-06T00:17:09.5Z stdout F a\n2016-10-06T00:17:09.6Z stdout F  b\n2016-10-06T00:17:10Z stdout P debug\n2016-10-06T00:17:10Z stdout F  x\n2016-10-06T00:17:11Z stderr F trace_id=4bf92f3577b34da6";
        std::fs::write(&path, lines).unwrap();
        let args = Args { namespace: None, follow: false, dry_run: Some(path.clone()) };
        let labels = |stream: &str, job: &str| {
            let stream = if stream.is_empty() { String::new() } else { format!(", stream={stream:?}") };
            format!(r#"{{cluster="c1", filename={path:?}, job={job:?}, node_name="n1"{stream}}}"#)
        };
        assert_eq!(
            printed(&args, &config(STAGES)),
            [
                format!("2016-10-06T00:17:09.5Z {} a", labels("stdout", "pods")),
                " b".to_owned(),
                format!("dropped{{noise}} 2016-10-06T00:17:10Z {} debug x", labels("stdout", "pods")),
                format!(
                    "2016-10-06T00:17:11Z {} trace_id=\"4bf92f3577b34da6\" trace_id=4bf92f3577b34da6",
                    labels("stderr", "pods")
                ),
            ]
        );
        std::fs::write(&path, "plain").unwrap();
        let found = printed(&args, &config(STAGES));
        assert!(found[0].ends_with(&format!("{} plain", labels("", "files"))), "{found:?}");
    }

    /// Scenario: logs of two namespaces; one is asked for.
    /// Guarantees: only its lines.
    #[test]
    fn of_a_namespace() {
        let dir = tempfile::tempdir().unwrap();
        for namespace in ["shop", "bank"] {
            let folder = dir.path().join(format!("{namespace}_pod_uid/app"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("0.log"), format!("2016-10-06T00:17:09Z stdout F {namespace}\n"))
                .unwrap();
        }
        let config = config(&format!("logs: {{pods: {:?}}}", dir.path()));
        let args = Args { namespace: Some("shop".to_owned()), follow: false, dry_run: None };
        let found = printed(&args, &config);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(r#"namespace="shop", "#) && found[0].ends_with(" shop"), "{found:?}");
        assert_eq!(printed(&Args { namespace: None, ..args }, &config).len(), 2);
    }
}
