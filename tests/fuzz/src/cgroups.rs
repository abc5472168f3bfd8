//! The files of cgroups, of v1 and v2, and what container runtimes write of containers.

use ao_agent::context::Roots;

use crate::disk::{folder, write};

/// Files of a v2 cgroup (Documentation/admin-guide/cgroup-v2.rst).
const V2: [&str; 18] = [
    "cpu.stat",
    "cpu.max",
    "cpu.weight",
    "cpu.pressure",
    "memory.stat",
    "memory.current",
    "memory.max",
    "memory.min",
    "memory.peak",
    "memory.events",
    "memory.swap.current",
    "memory.swap.max",
    "io.stat",
    "io.pressure",
    "memory.pressure",
    "pids.current",
    "pids.max",
    "cgroup.procs",
];

/// Files of a v1 cgroup, each with its controller (Documentation/admin-guide/cgroup-v1).
const V1: [(&str, &str); 18] = [
    ("cpu", "cpu.stat"),
    ("cpu", "cpu.shares"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("cpuacct", "cpuacct.usage"),
    ("cpuacct", "cpuacct.stat"),
    ("memory", "memory.stat"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.soft_limit_in_bytes"),
    ("memory", "memory.failcnt"),
    ("memory", "memory.oom_control"),
    ("memory", "cgroup.procs"),
    ("blkio", "blkio.throttle.io_service_bytes_recursive"),
    ("blkio", "blkio.throttle.io_serviced"),
    ("pids", "pids.current"),
    ("pids", "pids.max"),
    ("unified", "io.pressure"),
];

const POD: &str = "kubepods/podu-1";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A service, a pod and its container, of whose files all have the same content.
pub fn files(data: &[u8]) {
    let container = format!("{POD}/{ID}");
    for v2 in [true, false] {
        let folder = folder();
        let below = |name: &str| folder.path().join(name);
        let cgroup = |path: &str| below("sys/fs/cgroup").join(path);
        for name in ["", "a.service", POD, &container] {
            if v2 {
                V2.iter().for_each(|file| write(&cgroup(name).join(file), data));
            } else {
                V1.iter().for_each(|(tree, file)| write(&cgroup(tree).join(name).join(file), data));
            }
        }
        if v2 {
            write(&cgroup("cgroup.controllers"), b"cpu io memory pids\n");
        }
        for file in ["1/net/dev", "7/net/dev", "7/cgroup", "meminfo", "stat"] {
            write(&below("proc").join(file), data);
        }
        let tasks = "run/containerd/io.containerd.runtime.v2.task/k8s.io";
        write(&below("root").join(tasks).join(ID).join("config.json"), data);
        write(&below("root/etc/machine-id"), data);
        ao_agent::fuzzing::containers(&Roots { proc: below("proc"), sys: below("sys"), root: below("root") });
    }
}
