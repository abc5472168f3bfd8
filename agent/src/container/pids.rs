//! Processes and threads: `cgroup.procs`, `pids.current`, `pids.max`; open files from /proc.

use super::api::{Family, Out, ReadError, gauge};
use super::cgroup::Cgroup;
use super::files::number;
use super::hierarchy::Controller;
use super::reader::Reader;

const PROCESSES: usize = 0;
const THREADS: usize = 1;
const THREADS_MAX: usize = 2;
const FILES: usize = 3;

/// In the order of the constants above.
pub(super) const FAMILIES: &[Family] = &[
    gauge("container_processes", "Processes in the container."),
    gauge("container_threads", "Threads in the container and below it."),
    gauge("container_threads_max", "Most threads that there may be; 0 for no limit."),
    gauge("container_file_descriptors", "Files that the container's processes have open."),
];

/// Processes of one cgroup whose open files are counted at most; with more there is no figure.
const MOST: usize = 1_000;

/// See the table in `table.rs`.
pub(super) fn read(reader: &mut Reader, cgroup: &mut Cgroup, out: &mut Out<'_>) -> Result<(), ReadError> {
    out.push_if(THREADS, reader.number(Controller::Pids, "pids.current")?);
    let most = reader.number(Controller::Pids, "pids.max")?;
    out.push_if(THREADS_MAX, most.map(|most| if most == u64::MAX { 0 } else { most }));
    if !cgroup.is_leaf() {
        return Ok(());
    }
    let Some(text) = reader.list(Controller::Pids, "cgroup.procs")? else { return Ok(()) };
    let lines = || text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    out.push(PROCESSES, lines().count() as f64);
    // 0 stands for a process of another pid namespace.
    let pids: Option<Vec<u32>> =
        lines().take(MOST + 1).map(|line| number(line).and_then(|n| u32::try_from(n).ok())).collect();
    let Some(pids) = pids else { return Err(reader.bad("cgroup.procs")) };
    if pids.contains(&0) || !reader.processes().same_namespace() {
        return Ok(());
    }
    cgroup.pid = pids.first().copied();
    if !pids.is_empty() && pids.len() <= MOST {
        let files: Option<u64> = pids.iter().map(|pid| reader.processes().open_files(*pid)).sum();
        out.push_if(FILES, files);
    }
    Ok(())
}
