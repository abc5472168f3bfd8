//! A child process with a log file; killed when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;

/// See the module.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; stdout and stderr go to `<folder>/<name>.log`, behind what is there.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let err = out.try_clone().expect("a file can be cloned");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGSTOP: it is there, but does nothing until [`Self::thaw`].
    ///
    /// # Panics
    /// Where it cannot be signalled.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// Where it cannot be signalled.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM; its end is still to be waited for.
    ///
    /// # Panics
    /// Where it cannot be signalled.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// Where it does not end within 20 seconds.
    pub async fn stop(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended(Duration::from_secs(20)).await
    }

    /// The same for a place that cannot await: blocks until the end.
    ///
    /// # Panics
    /// Where it cannot be signalled.
    pub fn terminate(&mut self) {
        self.ask_to_end();
        self.child.wait().expect("a child can be waited for");
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a process id");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not come in time.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        let child = &mut self.child;
        eventually(&format!("the end of {name}"), within, async || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it still runs".to_owned()),
            Err(e) => Err(e.to_string()),
        })
        .await
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A line of a process's status in /proc (`VmRSS:`, `VmHWM:`), in MiB.
///
/// # Panics
/// Where there is no such process or line.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let size =
        status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
    size.map(|kib: u64| kib / 1_024).expect("the kernel tells a process's memory")
}

impl Drop for Process {
    #[allow(clippy::print_stdout, reason = "what a failed test shows its reader")]
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            // Reaped, so that nothing is left behind; it may have ended by itself.
            let _ended = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            println!("--- last lines of {}:\n{}", self.name, tail.join("\n"));
        }
    }
}
