//! So much of a processor and no more, for one process: by a control group where one can be made (v2's `cpu.max`, else
//! v1's `cpu.cfs_quota_us`), else by stopping the process for the rest of a period whose share it has used up.

mod turns;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use self::turns::Turns;

/// Length of a period, microseconds: the kernel's default.
const PERIOD_US: u32 = 100_000;
/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// Numbers the groups of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Holds a process until it is dropped, and each that is put in its place. Declare it before the process, so that its
/// group is empty when it goes.
pub struct Quota(By);

enum By {
    Group { folder: PathBuf, what: &'static str },
    Turns(Turns),
}

impl Quota {
    /// So many processors: 0.2 is a fifth of one.
    pub fn new(cores: f64) -> Self {
        let budget_us = (cores * f64::from(PERIOD_US)) as u32;
        let mount = Path::new(MOUNT);
        let by = version_2(mount, budget_us).or_else(|_| version_1(mount, budget_us));
        Self(by.unwrap_or_else(|_| By::Turns(Turns::start(budget_us, PERIOD_US))))
    }

    /// By stopping the process, also where there are control groups.
    pub fn by_turns(cores: f64) -> Self {
        Self(By::Turns(Turns::start((cores * f64::from(PERIOD_US)) as u32, PERIOD_US)))
    }

    /// From now on it holds this process, with all its threads, in place of the one before.
    ///
    /// # Panics
    /// Where the process cannot be put into the group.
    pub fn hold(&self, pid: u32) {
        match &self.0 {
            By::Group { folder, .. } => {
                fs::write(folder.join("cgroup.procs"), pid.to_string()).expect("a process enters its group");
            }
            By::Turns(turns) => turns.hold(Some(pid)),
        }
    }

    /// It holds none; to be said before the process is ended.
    pub fn release(&self) {
        if let By::Turns(turns) = &self.0 {
            turns.hold(None);
        }
    }

    /// What holds it.
    pub fn by(&self) -> &'static str {
        match &self.0 {
            By::Group { what, .. } => what,
            By::Turns(_) => "SIGSTOP and SIGCONT",
        }
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if let By::Group { folder, .. } = &self.0 {
            // With a process in it, it stays until the machine goes down: harmless.
            let _busy = fs::remove_dir(folder);
        }
    }
}

/// `cpu.max`, where the root hands the processor's controller on.
fn version_2(mount: &Path, budget_us: u32) -> io::Result<By> {
    let root = [mount.to_owned(), mount.join("unified")];
    let has_cpu = |root: &&PathBuf| {
        let text = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        text.split_whitespace().any(|name| name == "cpu")
    };
    let root = root.iter().find(has_cpu).ok_or(io::ErrorKind::NotFound)?;
    fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
    group(root, "cpu.max", &format!("{budget_us} {PERIOD_US}"), "cgroup v2, cpu.max")
}

/// `cpu.cfs_quota_us`, whose default period is ours.
fn version_1(mount: &Path, budget_us: u32) -> io::Result<By> {
    let roots = [mount.join("cpu"), mount.join("cpu,cpuacct")];
    let is_one = |root: &&PathBuf| root.join("cpu.cfs_quota_us").is_file();
    let root = roots.iter().find(is_one).ok_or(io::ErrorKind::NotFound)?;
    group(root, "cpu.cfs_quota_us", &budget_us.to_string(), "cgroup v1, cpu.cfs_quota_us")
}

/// A new group with its limit.
fn group(root: &Path, file: &str, limit: &str, what: &'static str) -> io::Result<By> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("ao-quota-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    if let Err(error) = fs::write(folder.join(file), limit) {
        fs::remove_dir(&folder)?;
        return Err(error);
    }
    Ok(By::Group { folder, what })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::eventually::eventually;
    use crate::process::Process;

    /// Scenario: a process that never rests, held to a fifth of a processor in both ways, and another in its place.
    /// Guarantees: 300 ms of a processor take it more than a second.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_busy_process_gets_its_share_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        for quota in [Quota::new(0.2), Quota::by_turns(0.2)] {
            for round in 0..2 {
                let mut command = Command::new("sh");
                command.args(["-c", "while :; do :; done"]);
                let process = Process::start("busy", folder.path(), &mut command);
                quota.hold(process.id());
                let begin = Instant::now();
                eventually("300 ms of a processor", Duration::from_secs(60), async || {
                    let used = turns::used(process.id()).unwrap();
                    if used >= Duration::from_millis(300) { Ok(()) } else { Err(format!("{used:?}")) }
                })
                .await;
                assert!(
                    begin.elapsed() > Duration::from_secs(1),
                    "{} {round}: {:?}",
                    quota.by(),
                    begin.elapsed()
                );
                quota.release();
            }
        }
    }
}
