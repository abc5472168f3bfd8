//! `ao-agent tail`: prints what the pipeline makes of log lines, for those who write its stages. The source and the
//! pipeline are those of the agent; nothing is kept, and nothing is sent.

use std::collections::BTreeSet;
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
use crate::rules::Rules;

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
    /// Some files, by who may read them.
    #[error("cannot read {count} of the log files, such as {}: {source} (they are for root: try sudo)", path.display())]
    Denied {
        /// How many.
        count: usize,
        /// One.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no file.
    #[error(
        "there is no log file: logs.pods is {pods}, and logs.files has {files} patterns; name one with --dry-run FILE"
    )]
    NoFile {
        /// The folder.
        pods: String,
        /// How many.
        files: usize,
    },
    /// There are lines, but none of these.
    #[error("there is no line of the namespace {wanted:?}; there are lines of {known}")]
    NoNamespace {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
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
    if paths.is_empty() {
        let pods = config.logs.pods.as_ref().map_or("null".to_owned(), |path| path.display().to_string());
        return Err(TailError::NoFile { pods, files: config.logs.files.len() });
    }
    let mut denied: Option<(usize, PathBuf, io::Error)> = None;
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
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => match &mut denied {
                Some((count, ..)) => *count += 1,
                None => denied = Some((1, path, source)),
            },
            _gone_meanwhile => {}
        }
        if shutdown.is_cancelled() {
            break;
        }
    }
    screen.end().map_err(TailError::Write)?;
    if let Some((count, path, source)) = denied {
        return Err(TailError::Denied { count, path, source });
    }
    match &args.namespace {
        Some(wanted) if !screen.namespaces.contains(wanted) => {
            let known: Vec<_> = screen.namespaces.iter().take(20).map(|name| format!("{name:?}")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(TailError::NoNamespace { wanted: wanted.clone(), known })
        }
        _ => Ok(()),
    }
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
    let journal = logs::run_journal(logs.clone(), context.clone(), logs::Memory::default(), Arc::default());
    let files = logs::run(logs, context, logs::Memory::default(), Arc::default());
    let source = async { tokio::try_join!(files, journal) };
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
    rules: Rules,
    namespace: Option<String>,
    /// Of the lines that were read.
    namespaces: BTreeSet<String>,
    out: W,
    colours: bool,
}

impl<W: Write> Screen<W> {
    fn new(args: &Args, config: &Config, node: &Node, out: W, colours: bool) -> Self {
        Self {
            enricher: Enricher::new(config.enrich.clone(), Arc::new(node.clone())),
            pipeline: Pipeline::new(&config.pipeline, &Arc::default()),
            rules: Rules::new(config.rules, &Arc::default()),
            namespace: args.namespace.clone(),
            namespaces: BTreeSet::new(),
            out,
            colours,
        }
    }

    fn take(&mut self, chunk: LogChunk) -> io::Result<()> {
        let wanted = self.namespace.as_deref();
        if let Some(namespace) = chunk.labels.get("namespace").filter(|name| !self.namespaces.contains(*name))
        {
            self.namespaces.insert(namespace.to_owned());
        }
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
        for (mut entry, reason) in all {
            if reason.is_none() {
                self.rules.see(&mut entry);
            }
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
    let own = entry.metadata.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in own.chain(entry.shared.iter()) {
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

    /// Scenario: lines that the rules have something to say of.
    /// Guarantees: their labels and metadata are as they would be sent.
    #[test]
    fn rules() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.log");
        std::fs::write(&path, "Failed password for root from 192.0.2.4 port 4 ssh2\nERROR it broke\n")
            .unwrap();
        let args = Args { namespace: None, follow: false, dry_run: Some(path) };
        let found = printed(&args, &config("{}"));
        assert!(found[0].contains(r#"failed_login="sshd""#), "{found:?}");
        assert!(found[0].contains(r#" login_user="root" login_address="192.0.2.4" Failed"#), "{found:?}");
        assert!(found[1].contains(" template_id=\""), "{found:?}");
    }

    /// Scenario: no file at all; a namespace that nobody writes in; a file that is not there.
    /// Guarantees: each is an error with what there is instead.
    #[tokio::test]
    async fn nothing_to_show() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let config = config(&format!("logs: {{pods: {pods:?}}}"));
        let ran = async |namespace: Option<&str>, dry_run| {
            let args = Args { namespace: namespace.map(str::to_owned), follow: false, dry_run };
            let out = std::fs::File::create(dir.path().join("out")).unwrap();
            let why = run(&args, &config, Node::default(), out, CancellationToken::new()).await;
            why.map_err(|why| why.to_string()).err().unwrap_or_default()
        };
        let why = ran(None, None).await;
        assert!(
            why.starts_with("there is no log file: logs.pods is ") && why.contains("0 patterns"),
            "{why}"
        );
        let folder = pods.join("shop_pod_uid/app");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0.log"), "2016-10-06T00:17:09Z stdout F x\n").unwrap();
        assert_eq!(ran(None, None).await, "");
        assert_eq!(
            ran(Some("shpo"), None).await,
            r#"there is no line of the namespace "shpo"; there are lines of "shop""#
        );
        let why = ran(None, Some(dir.path().join("gone"))).await;
        assert!(why.contains("gone: No such file"), "{why}");
    }
}
