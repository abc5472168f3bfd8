//! File systems: size, free space and files of every mount that holds data.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::model::MetricType::Gauge;
use rustix::fs::StatFs;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::filter::Filter;
use super::mountinfo::{self, Mount};
use crate::context::Roots;
use crate::event::MetricSet;
use crate::rounds::Crew;

/// node_exporter's defaults: what is not a disk of this host's own, and what only shows another mount again.
const DEFAULT_MOUNTS: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const DEFAULT_TYPES: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs\
    |iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

/// A mount that takes longer to answer does so on a thread of its own.
const PATIENCE: Duration = Duration::from_millis(50);

/// Options of the collector `filesystem`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Mount points to leave out (a regular expression).
    pub mount_points_exclude: Option<String>,
    /// The only mount points to read; excludes the option above.
    pub mount_points_include: Option<String>,
    /// Types to leave out (a regular expression).
    pub fs_types_exclude: Option<String>,
    /// The only types to read; excludes the option above.
    pub fs_types_include: Option<String>,
    /// How long all mounts together have to answer. One that does not (a network file system whose server is gone)
    /// is told by `node_filesystem_device_error` and not asked again until it answers.
    pub mount_timeout: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mount_points_exclude: None,
            mount_points_include: None,
            fs_types_exclude: None,
            fs_types_include: None,
            mount_timeout: Span::secs(5),
        }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let mounts = Filter::new(
        ("mount_points_exclude", config.mount_points_exclude.as_deref()),
        ("mount_points_include", config.mount_points_include.as_deref()),
        DEFAULT_MOUNTS,
    )?;
    let types = Filter::new(
        ("fs_types_exclude", config.fs_types_exclude.as_deref()),
        ("fs_types_include", config.fs_types_include.as_deref()),
        DEFAULT_TYPES,
    )?;
    Ok(Box::new(Filesystem {
        mounts,
        types,
        timeout: config.mount_timeout.0,
        crew: Crew::new("statfs", ask),
        stuck: HashSet::new(),
        file: TextFile::default(),
    }))
}

struct Filesystem {
    mounts: Filter,
    types: Filter,
    timeout: Duration,
    crew: Crew<Question>,
    /// Asked in an earlier round, and no answer yet.
    stuck: HashSet<PathBuf>,
    file: TextFile,
}

/// One mount that is asked.
struct Question {
    path: PathBuf,
    answer: Option<rustix::io::Result<StatFs>>,
}

fn ask(question: &mut Question) {
    question.answer = Some(rustix::fs::statfs(&question.path));
}

impl Collector for Filesystem {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // The host's mounts are those of its first process; where that one is hidden (hidepid), the reader's own.
        let (first, own) = (roots.proc.join("1/mountinfo"), roots.proc.join("self/mountinfo"));
        let (path, table) = match self.file.long(&first).is_ok() {
            true => (&first, self.file.read()),
            false => (&own, self.file.long(&own)?),
        };
        let (mounts, bad) = mountinfo::parse(table);
        let mounts: Vec<Mount> = mounts
            .into_iter()
            .map(|mount| mount.below(&roots.root))
            .filter(|m| !self.mounts.ignores(&m.point_text()) && !self.types.ignores(&m.fs_type))
            .collect();
        let bad = bad.map(|(line, text)| CollectError::line(path, line, &text));
        let answers = self.ask_all(&mounts, &roots.root);
        for (mount, answer) in mounts.iter().zip(answers) {
            emit(mount, answer, out);
        }
        bad.map_or(Ok(()), Err)
    }
}

impl Filesystem {
    /// One answer per mount; `None` for those that did not answer in time.
    fn ask_all(&mut self, mounts: &[Mount], root: &Path) -> Vec<Option<rustix::io::Result<StatFs>>> {
        let path_of = |mount: &Mount| {
            let relative = mount.point.strip_prefix(b"/").unwrap_or(&mount.point);
            root.join(OsStr::from_bytes(relative))
        };
        let paths: Vec<PathBuf> = mounts.iter().map(path_of).collect();
        // Where several mounts stand in one place, one question is enough: the uppermost answers.
        let fresh = paths.iter().filter(|path| self.stuck.insert((*path).clone()));
        let questions: Vec<_> = fresh.map(|path| Question { path: path.clone(), answer: None }).collect();
        let finished = self.crew.run(questions, PATIENCE, self.timeout);
        let mut answers = HashMap::new();
        for question in finished.done.into_iter().chain(finished.unbegun) {
            self.stuck.remove(&question.path);
            answers.insert(question.path, question.answer);
        }
        paths.iter().map(|path| answers.get(path).copied().flatten()).collect()
    }
}

fn emit(mount: &Mount, answer: Option<rustix::io::Result<StatFs>>, out: &mut MetricSet) {
    let error = match &answer {
        None => "mountpoint timeout".to_owned(),
        Some(Err(errno)) => words(*errno),
        Some(Ok(_)) => String::new(),
    };
    let (point, kind) = (mount.point_text(), &*mount.fs_type);
    let labels =
        [("device", &*mount.device), ("mountpoint", &point), ("fstype", kind), ("device_error", &error)];
    let mut one = |name: &str, help: &str, value: f64| {
        let family = out.family(name, Gauge, help);
        out.push(family, &labels, value);
    };
    let failed = f64::from(u8::from(!error.is_empty()));
    one("node_filesystem_device_error", "Whether the file system could not be asked.", failed);
    let read_only = f64::from(u8::from(mount.read_only));
    one("node_filesystem_readonly", "Whether nothing can be written to the file system.", read_only);
    let Some(Ok(stat)) = answer else { return };
    let block = stat.f_bsize as f64;
    one("node_filesystem_size_bytes", "Size of the file system.", stat.f_blocks as f64 * block);
    one(
        "node_filesystem_free_bytes",
        "Free space, what is kept for root included.",
        stat.f_bfree as f64 * block,
    );
    one("node_filesystem_avail_bytes", "Free space for everybody.", stat.f_bavail as f64 * block);
    one("node_filesystem_files", "Files (inodes) that the file system can hold.", stat.f_files as f64);
    one("node_filesystem_files_free", "Files that it can still take.", stat.f_ffree as f64);
    // node_exporter gives it on every system.
    one("node_filesystem_purgeable_bytes", "Space that could be made free; only macOS knows of any.", 0.0);
    let (major, minor) = (mount.major.to_string(), mount.minor.to_string());
    let labels = [("device", &*mount.device), ("major", &major), ("minor", &minor), ("mountpoint", &point)];
    let family = out.family("node_filesystem_mount_info", Gauge, "Device number of a mount.");
    out.push(family, &labels, 1.0);
}

/// An error as node_exporter writes it: the C library's text, without a capital.
fn words(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a mount point that is not there, and the root.
    /// Guarantees: an error in node_exporter's words without figures; figures without an error.
    #[test]
    fn answers() {
        let mount = |point: &str| {
            let line = format!("1 1 8:1 / {point} rw - ext4 /dev/sda1 rw");
            mountinfo::parse(line.as_bytes()).0.remove(0)
        };
        let mounts = [mount("/nowhere/at/all"), mount("/")];
        let mut filesystem = Filesystem {
            mounts: Filter::new(("", None), ("", None), "").unwrap(),
            types: Filter::new(("", None), ("", None), "").unwrap(),
            timeout: Duration::from_secs(5),
            crew: Crew::new("statfs", ask),
            stuck: HashSet::new(),
            file: TextFile::default(),
        };
        let answers = filesystem.ask_all(&mounts, Path::new("/"));
        assert!(filesystem.stuck.is_empty());
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        for (mount, answer) in mounts.iter().zip(answers) {
            emit(mount, answer, &mut out);
        }
        let text = out.exposition();
        assert!(text.contains(
            "node_filesystem_device_error{device=\"/dev/sda1\",mountpoint=\"/nowhere/at/all\",fstype=\"ext4\",\
             device_error=\"no such file or directory\"} 1\n"
        ));
        assert_eq!(text.matches("\nnode_filesystem_size_bytes").count(), 1, "{text}");
    }

    /// Scenario: a mount that never answers, asked in two rounds, then its answer.
    /// Guarantees: others answer in each round; it is asked once; when it answered it is asked again.
    #[test]
    fn a_hung_mount_is_asked_once() {
        use std::sync::{Condvar, Mutex};
        static GATE: (Mutex<(u32, bool)>, Condvar) = (Mutex::new((0, false)), Condvar::new());
        fn slow(question: &mut Question) {
            if question.path == Path::new("/hung") {
                let mut state = GATE.0.lock().unwrap();
                state.0 += 1;
                while !state.1 {
                    state = GATE.1.wait(state).unwrap();
                }
            }
            question.answer = Some(rustix::fs::statfs("/"));
        }
        let table = b"1 1 0:9 / /hung rw - nfs server:/x rw\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let mounts = mountinfo::parse(table).0;
        let mut filesystem = Filesystem {
            mounts: Filter::new(("", None), ("", None), "").unwrap(),
            types: Filter::new(("", None), ("", None), "").unwrap(),
            // The first round waits for all of it, for the sake of the one that hangs.
            timeout: Duration::from_secs(5),
            crew: Crew::new("statfs", slow),
            stuck: HashSet::new(),
            file: TextFile::default(),
        };
        for _round in 0..2 {
            let answers = filesystem.ask_all(&mounts, Path::new("/"));
            assert!(answers[0].is_none() && matches!(answers[1], Some(Ok(_))));
            assert_eq!(GATE.0.lock().unwrap().0, 1);
        }
        GATE.0.lock().unwrap().1 = true;
        GATE.1.notify_all();
        let begin = std::time::Instant::now();
        while filesystem.ask_all(&mounts, Path::new("/"))[0].is_none() {
            assert!(begin.elapsed() < Duration::from_secs(10), "the mount was never asked again");
        }
    }
}
