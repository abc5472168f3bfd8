//! Logs: the files of pods and of the host, read as they are written.
//!
//! ```text
//! discover (watch) -> follow: tail (unpack, lines, a format) -> join -> Event::Logs
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`discover`] | which files there are; [`inotify`] through [`watch`], patterns through [`crate::glob`] |
//! | [`identity`] | what makes a file the same file |
//! | [`follow`] | which file is read next; rotation, deletion, limits |
//! | [`tail`] | one file, a part at a time, [`unpack`] if it is compressed; [`lines`] cuts it |
//! | [`cri`], [`docker`], [`syslog`], [`plain`] | the formats of lines |
//! | [`escrow`] | unread bytes of files that lost their names; [`notes`] says what they are |
//! | [`journal`] | the systemd journal's files, which hold entries and no lines: a source of its own |
//! | [`once`] | files read once, for people who look |
//! | [`join`] | lines into chunks with spans; partial lines |
//!
//! **Once and only once.** A chunk names the part of the file that it was read from, and where the spool holds a
//! file's newest chunk, reading goes on behind it at the next start. Spans cover complete lines and have no gaps.
//!
//! **Labels.** Of a pod's log as Promtail's chart sets them: `namespace`, `pod`, `container`, `filename`, `stream`, and
//! `job` = `NAMESPACE/CONTAINER` (Promtail has the pod's application in place of the container: enrichment says so where
//! it knows the pod). `filename` is the name without the rotation's time, so that a stream goes on. The pod's UID is
//! structured metadata, `pod_uid`, of the whole stream.
//! Of containers on a plain Docker host: `job` = `docker`, `container`, `container_id`, `stream`, `filename`, and Compose's
//! project and service. Of the syslog daemon's files: `job` = `varlogs` and `filename`, with `hostname`, `app` and `pid`
//! as structured metadata. Of the journal: `job` = `systemd-journal`, `unit` and `transport`, with `hostname`, `app`,
//! `pid`, `level` and others as structured metadata. Of other files: `filename`, `job` (`files`, unless the configuration says otherwise) and the
//! configured ones.

mod api;
mod cri;
mod discover;
mod docker;
mod escrow;
mod follow;
pub(crate) mod fuzzing;
mod identity;
mod inotify;
mod join;
pub mod journal;
mod lines;
pub mod metrics;
mod names;
mod notes;
pub(crate) mod once;
mod plain;
mod syslog;
mod tail;
mod unpack;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock::now_ns;
use ao_common::units::{Size, Span};
use ao_proto::model::{FileId, Labels};
use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use self::api::{DOCKER, FILES, HOST, HOST_FILES, Origin};
pub use self::api::{Format, LogsStats};
use self::discover::{Discover, Want};
use self::escrow::Escrow;
use self::follow::{Follow, Handed, Settings};
use self::tail::Reading;
use self::watch::Inbox;
use crate::context::{Context, Durable};
use crate::event::MOST_TOGETHER;
use crate::glob::Pattern;

/// See [`Config::max_line`].
const MAX_LINE: usize = 2 << 20;
const _: () = assert!(MAX_LINE + join::HELD <= MOST_TOGETHER);

/// How long the batcher may take for what was read before the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is read, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The kubelet's folder of pod logs, NAMESPACE_POD_UID/CONTAINER/N.log; `null` for none. It may appear later.
    pub pods: Option<PathBuf>,
    /// Docker's folder of containers, ID/ID-json.log; `null` for none. Those that the kubelet made are left to `pods`.
    pub docker: Option<PathBuf>,
    /// The folder of the host's syslog daemon, of which syslog, messages, auth.log, secure and kern.log are read where
    /// there are such; `null` for none.
    pub host: Option<PathBuf>,
    /// The systemd journal, which is read where `host` has no such file.
    pub journal: journal::Config,
    /// The time zone of times that do not say theirs, such as `Europe/Berlin`; left out: the host's.
    pub timezone: Option<String>,
    /// Other files.
    pub files: Vec<FileGlob>,
    /// Longest line (1 KiB to 2 MiB: it must fit into a frame, whatever its bytes are). A longer one becomes several,
    /// none of its bytes lost.
    pub max_line: Size,
    /// Where to begin, at the very first start, with files that are there already.
    pub from: Begin,
    /// Files held open at a time. More are followed: an idle file is closed, and opened again when it changes.
    pub open_files: usize,
    /// How long a file without a name, or a line without an end, is waited for before it counts as complete.
    pub linger: Span,
    /// Unread bytes kept of files that were deleted, or, where a hard link cannot be made, rotated. Of more than that the
    /// oldest are given up, which the ledger counts as dropped{reason="abandoned"}.
    pub escrow: Size,
    /// How often everything is looked at, in case that the kernel kept something from us.
    pub rescan: Span,
}

/// Files by pattern.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGlob {
    /// Absolute, with `*`, `?`, `[a-z]` within a name and `**` for any number of folders.
    pub path: PathBuf,
    /// Labels of their lines; `job` is `files` unless it is among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How their lines are written.
    #[serde(default)]
    pub format: Format,
    /// Patterns of paths that are left out.
    #[serde(default)]
    pub exclude: Vec<PathBuf>,
}

/// Where to begin with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// With its first line.
    #[default]
    Beginning,
    /// With the first line that is written from now on.
    End,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pods: Some("/var/log/pods".into()),
            docker: Some("/var/lib/docker/containers".into()),
            host: Some("/var/log".into()),
            journal: journal::Config::default(),
            timezone: None,
            files: Vec::new(),
            max_line: Size::mib(1),
            from: Begin::Beginning,
            open_files: 512,
            linger: Span::secs(5),
            escrow: Size::mib(1024),
            rescan: Span::secs(60),
        }
    }
}

impl Config {
    /// What cannot be followed, before anything begins.
    ///
    /// # Errors
    /// A pattern or a limit.
    pub fn check(&self) -> Result<(), LogsError> {
        if !(1 << 10..=MAX_LINE as u64).contains(&self.max_line.0) {
            return Err(LogsError::MaxLine(self.max_line));
        }
        if let Some(name) = &self.timezone
            && TimeZone::get(name).is_err()
        {
            return Err(LogsError::TimeZone(name.clone()));
        }
        wants(self).map(drop)
    }
}

/// Why logs cannot be read at all. What befalls a single file is counted and told, and does not end the source.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The configuration cannot be followed.
    #[error("cannot use {path} as a pattern of log files: {reason}")]
    Pattern {
        /// The pattern.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The limit makes no sense.
    #[error("logs.max_line is {0}, which is not between 1KiB and 2MiB")]
    MaxLine(Size),
    /// There is none by this name.
    #[error("logs.timezone is {0:?}, which is no time zone; it may be such as Europe/Berlin, or left out")]
    TimeZone(String),
    /// No inotify.
    #[error("cannot watch log folders (is fs.inotify.max_user_instances used up?): {0}")]
    Watch(#[source] std::io::Error),
    /// A mistake of ours.
    #[error("the reader of log files ended unexpectedly: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

/// What outlives a process.
#[derive(Clone)]
pub struct Memory {
    /// How far each file was stored at the start, which is where reading begins.
    pub checkpoints: Arc<HashMap<FileId, u64>>,
    /// How far each is now.
    pub durable: Durable,
    /// Where unread bytes are kept of files that lost their names; `None`: only as long as the process lives.
    pub folder: Option<PathBuf>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { checkpoints: Arc::default(), durable: Arc::new(|_| None), folder: None }
    }
}

/// Reads logs until the context says stop.
///
/// # Errors
/// The configuration cannot be used, or the kernel gives no inotify instance.
pub async fn run(
    config: Config,
    ctx: Context,
    memory: Memory,
    stats: Arc<LogsStats>,
) -> Result<(), LogsError> {
    config.check()?;
    let max_line = config.max_line.0 as usize;
    let inbox = Arc::new(Inbox::default());
    let discover = Discover::new(wants(&config)?, inbox.clone(), stats.clone()).map_err(LogsError::Watch)?;
    let escrow = memory.folder.and_then(|folder| {
        let opened = Escrow::open(&folder, config.escrow.0);
        let failed = |error| tracing::warn!(folder = %folder.display(), %error, "log files without a name are kept by this process alone");
        opened.map_err(failed).ok()
    });
    let zone = zone(&config, &ctx.node.roots.root);
    let settings = Settings {
        open_files: config.open_files.max(1),
        linger: config.linger.0,
        rescan: config.rescan.0,
        skip_existing: config.from == Begin::End && memory.checkpoints.is_empty(),
        checkpoints: Arc::new(journal::part(&memory.checkpoints).1),
        durable: memory.durable,
        origin: Box::new(move |want, path| origin(&config, want, path)),
    };
    let follow = Follow::new(settings, discover, escrow, Reading::new(max_line, zone, stats));

    // Whether the context ends or this future is dropped: the thread must.
    let stop = ctx.shutdown.child_token();
    let _dropped = StopOnDrop { stop: stop.clone(), inbox: inbox.clone() };
    let (events, full) = (ctx.events.clone(), Arc::new(Notify::new()));
    let (thread_inbox, thread_full) = (inbox.clone(), full.clone());
    let mut reader = tokio::task::spawn_blocking(move || {
        let mut send = |event| match events.try_send(event) {
            Ok(()) => Handed::Over,
            Err(TrySendError::Full(event)) => {
                thread_full.notify_one();
                Handed::Back(Box::new(event))
            }
            Err(TrySendError::Closed(_)) => Handed::Never,
        };
        follow.run(&thread_inbox, &mut send)
    });
    loop {
        tokio::select! {
            ended = &mut reader => return Ok(ended.map(drop)?),
            () = stop.cancelled() => break,
            () = full.notified() => {}
        }
        tokio::select! {
            ended = &mut reader => return Ok(ended.map(drop)?),
            () = stop.cancelled() => break,
            _room = ctx.events.reserve() => inbox.wake(),
        }
    }
    inbox.stop();
    let rest = reader.await?;
    // Lines without the span that covers them would be read twice. Who does not take them now reads them again.
    let hand_over = async {
        for event in rest {
            if ctx.events.send(event).await.is_err() {
                return;
            }
        }
    };
    let _in_time = tokio::time::timeout(LAST_WORDS, hand_over).await;
    Ok(())
}

/// Reads the systemd journal until the context says stop.
///
/// # Errors
/// None of the configuration.
pub async fn run_journal(
    config: Config,
    ctx: Context,
    memory: Memory,
    stats: Arc<LogsStats>,
) -> Result<(), LogsError> {
    let Some(folders) = config.journal.folders else {
        ctx.shutdown.cancelled().await;
        return Ok(());
    };
    let checkpoints = journal::part(&memory.checkpoints).0;
    let age = config.journal.max_age.filter(|_| checkpoints.is_empty());
    let settings = journal::Settings {
        folders,
        since_us: age.map(|age| now_ns() / 1_000 - age.0.as_micros() as i64).unwrap_or_default().max(0)
            as u64,
        units: config.journal.units,
        labels: config.journal.labels,
        fields: config.journal.fields,
        max_line: config.max_line.0 as usize,
        linger: config.linger.0,
        rescan: config.rescan.0,
        skip_existing: config.from == Begin::End && memory.checkpoints.is_empty(),
        checkpoints,
    };
    Ok(journal::run(settings, config.host.as_deref(), &ctx, stats).await?)
}

/// Whether a path can stand in [`FileGlob`].
///
/// # Errors
/// Says why not.
pub(crate) fn check_pattern(path: &Path) -> Result<(), LogsError> {
    match Pattern::parse(path) {
        Ok(_) => Ok(()),
        Err(reason) => Err(LogsError::Pattern { path: path.to_path_buf(), reason }),
    }
}

struct StopOnDrop {
    stop: CancellationToken,
    inbox: Arc<Inbox>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stop.cancel();
        self.inbox.stop();
    }
}

/// What is wanted: the pods' files (those of today and those that were rotated and not yet compressed), then the rest.
fn wants(config: &Config) -> Result<Vec<Want>, LogsError> {
    let parse = |path: &Path| {
        Pattern::parse(path).map_err(|reason| LogsError::Pattern { path: path.to_path_buf(), reason })
    };
    let mut pods = Want { patterns: Vec::new(), exclude: Vec::new() };
    if let Some(root) = &config.pods {
        for name in ["*/*/*.log", "*/*/*.log.[0-9]*[0-9]"] {
            pods.patterns.push(parse(&root.join(name))?);
        }
    }
    let mut docker = Want { patterns: Vec::new(), exclude: Vec::new() };
    if let Some(root) = &config.docker {
        docker.patterns.push(parse(&root.join("*/*-json.log"))?);
    }
    let mut host = Want { patterns: Vec::new(), exclude: Vec::new() };
    if let Some(root) = &config.host {
        for name in HOST_FILES {
            host.patterns.push(parse(&root.join(name))?);
        }
    }
    let mut wants = vec![pods, docker, host];
    for files in &config.files {
        wants.push(Want {
            patterns: vec![parse(&files.path)?],
            exclude: files.exclude.iter().map(|p| parse(p)).collect::<Result<_, _>>()?,
        });
    }
    Ok(wants)
}

/// The time zone of times that do not say theirs. `root`: where the host's files are.
fn zone(config: &Config, root: &Path) -> TimeZone {
    if let Some(zone) = config.timezone.as_ref().and_then(|name| TimeZone::get(name).ok()) {
        return zone;
    }
    let hosts = std::fs::read(root.join("etc/localtime")).ok();
    hosts.and_then(|bytes| TimeZone::tzif("localtime", &bytes).ok()).unwrap_or(TimeZone::UTC)
}

/// Where the lines of `path`, found for this want, come from; `None` if they come by another name.
fn origin(config: &Config, want: usize, path: &Path) -> Option<Origin> {
    let filename = path.to_string_lossy();
    let mut pairs: Vec<(&str, &str)> = vec![("filename", &filename)];
    let mut shared = Labels::default();
    if let Some(files) = want.checked_sub(FILES).and_then(|n| config.files.get(n)) {
        pairs.push(("job", "files"));
        pairs.extend(files.labels.iter().map(|(name, value)| (&**name, &**value)));
        let labels = Labels::from_pairs(pairs);
        return Some(Origin { format: files.format, labels: [labels.clone(), labels], shared, pod: None });
    }
    if want == HOST {
        pairs.push(("job", "varlogs"));
        let labels = Labels::from_pairs(pairs);
        return Some(Origin { format: Format::Syslog, labels: [labels.clone(), labels], shared, pod: None });
    }
    let by_stream = |pairs: &[(&str, &str)]| {
        ["stdout", "stderr"]
            .map(|stream| Labels::from_pairs(pairs.iter().copied().chain([("stream", stream)])))
    };
    if want == DOCKER {
        let container = docker::Container::of(path);
        if container.of_kubelet && config.pods.is_some() {
            return None;
        }
        pairs.extend([("job", "docker"), ("container_id", &*container.id)]);
        pairs.extend(container.name.as_deref().map(|name| ("container", name)));
        if let Some((project, service)) = &container.compose {
            pairs.extend([("compose_project", &**project), ("compose_service", &**service)]);
        }
        return Some(Origin { format: Format::Docker, labels: by_stream(&pairs), shared, pod: None });
    }
    let pod = config.pods.as_deref().and_then(|root| cri::pod_of(root, path));
    let job;
    if let Some(pod) = &pod {
        shared = Labels::from_pairs([("pod_uid", &pod.uid)]);
        job = format!("{}/{}", pod.namespace, pod.container);
        pairs.push(("namespace", &pod.namespace));
        pairs.push(("pod", &pod.name));
        pairs.push(("container", &pod.container));
        pairs.push(("job", &job));
    } else {
        pairs.push(("job", "pods"));
    }
    Some(Origin { format: Format::Cri, labels: by_stream(&pairs), shared, pod })
}

#[cfg(test)]
mod tests;
