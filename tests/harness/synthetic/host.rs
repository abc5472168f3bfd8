//! A host's CPU, memory, disks, file systems and interfaces.

use rand::rngs::StdRng;

use super::{STEP_S, Samples, noise, wave};

const GIB: f64 = 1_073_741_824.0;

/// Counters.
#[derive(Default)]
pub(super) struct Host {
    cpu: Vec<[f64; 8]>,
    disk: [f64; 3],
    network: [f64; 2],
    load: [f64; 3],
}

const MODES: [&str; 8] = ["idle", "user", "system", "iowait", "softirq", "nice", "irq", "steal"];

impl Host {
    /// One round of node_exporter's series.
    pub(super) fn round(
        &mut self,
        at_ms: i64,
        node: &str,
        cpus: usize,
        out: &mut Samples,
        random: &mut StdRng,
    ) {
        let busy = (0.12 + 0.5 * wave(at_ms, 11.0, node) * wave(at_ms, 3.1, node)) * noise(random, 0.3);
        let writing = wave(at_ms, 7.0, node).powi(6);
        self.cpu.resize(cpus, [0.0; 8]);
        for (i, counters) in self.cpu.iter_mut().enumerate() {
            let own = (busy * noise(random, 0.6) * if i == 0 { 1.4 } else { 0.95 }).min(0.97);
            let waits = (0.12 * writing * noise(random, 0.5)).min(1.0 - own);
            let shares = [
                1.0 - own - waits,
                own * 0.66,
                own * 0.24,
                waits,
                own * 0.04,
                own * 0.03,
                own * 0.01,
                own * 0.02,
            ];
            let cpu = i.to_string();
            for ((counter, share), mode) in counters.iter_mut().zip(shares).zip(MODES) {
                *counter += share * STEP_S as f64;
                out.push(
                    "node_cpu_seconds_total",
                    &[("node", node), ("cpu", &cpu), ("mode", mode)],
                    *counter,
                );
            }
        }
        let one = [("node", node)];
        let total = 4.0 * cpus as f64 * GIB;
        let used = total * (0.35 + 0.2 * wave(at_ms, 29.0, node)) * noise(random, 0.01);
        let cache = total * 0.3;
        out.push("node_memory_MemTotal_bytes", &one, total);
        out.push("node_memory_MemAvailable_bytes", &one, total - used);
        out.push("node_memory_MemFree_bytes", &one, (total - used - cache).max(0.02 * total));
        out.push("node_memory_SwapTotal_bytes", &one, 2.0 * GIB);
        out.push("node_memory_SwapFree_bytes", &one, 1.9 * GIB);
        for (load, (name, minutes)) in
            self.load.iter_mut().zip([("node_load1", 1.0), ("node_load5", 5.0), ("node_load15", 15.0)])
        {
            let decay = (-(STEP_S as f64) / 60.0 / minutes).exp();
            *load = *load * decay + busy * cpus as f64 * 1.3 * (1.0 - decay);
            out.push(name, &one, *load);
        }
        self.devices(at_ms, node, busy, writing, out, random);
        out.push(
            "node_boot_time_seconds",
            &one,
            at_ms.div_euclid(86_400_000) as f64 * 86_400.0 - 1_900_000.0,
        );
        let uname =
            [("node", node), ("release", "6.1.0-28-amd64"), ("machine", "x86_64"), ("sysname", "Linux")];
        out.push("node_uname_info", &uname, 1.0);
        let os = [("node", node), ("pretty_name", "Debian GNU/Linux 12 (bookworm)")];
        out.push("node_os_info", &os, 1.0);
        if node.ends_with('2') {
            let probe = [
                ("node", node),
                ("mode", "ping"),
                (
                    "reason",
                    "Round trips and paths by ICMP on unprivileged ping sockets (raw sockets are denied).",
                ),
                ("command", "sudo setcap cap_net_raw+ep /usr/bin/ao-agent"),
            ];
            out.push("ao_probe_info", &probe, 1.0);
        }
    }

    fn devices(
        &mut self,
        at_ms: i64,
        node: &str,
        busy: f64,
        writing: f64,
        out: &mut Samples,
        random: &mut StdRng,
    ) {
        let seconds = STEP_S as f64;
        let disk = [("node", node), ("device", "nvme0n1")];
        let speeds = [
            2e6 * busy * noise(random, 1.5),
            (4e5 + 9e7 * writing) * noise(random, 0.8),
            0.02 + 0.6 * writing,
        ];
        let names = [
            "node_disk_read_bytes_total",
            "node_disk_written_bytes_total",
            "node_disk_io_time_seconds_total",
        ];
        for ((counter, speed), name) in self.disk.iter_mut().zip(speeds).zip(names) {
            *counter += speed * seconds;
            out.push(name, &disk, *counter);
        }
        let speeds = [3e6 * busy * noise(random, 0.8), 1.1e7 * busy * noise(random, 0.8)];
        let names = ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"];
        for ((counter, speed), name) in self.network.iter_mut().zip(speeds).zip(names) {
            *counter += speed * seconds;
            out.push(name, &[("node", node), ("device", "eth0")], *counter);
            out.push(name, &[("node", node), ("device", "lo")], *counter / 9.0);
        }
        let grown = wave(at_ms, 240.0, node);
        for (mountpoint, device, fstype, gib, used) in [
            ("/", "/dev/nvme0n1p2", "ext4", 96.0, 0.42 + 0.2 * grown),
            ("/boot/efi", "/dev/nvme0n1p1", "vfat", 0.5, 0.06),
            ("/var/lib/postgresql", "/dev/nvme1n1", "xfs", 480.0, 0.78 + 0.16 * grown),
            ("/run", "tmpfs", "tmpfs", 3.0, 0.01),
        ] {
            let labels = [("node", node), ("mountpoint", mountpoint), ("device", device), ("fstype", fstype)];
            out.push("node_filesystem_size_bytes", &labels, gib * GIB);
            out.push("node_filesystem_free_bytes", &labels, gib * GIB * (1.0 - used));
            out.push("node_filesystem_avail_bytes", &labels, gib * GIB * (0.96 - used).max(0.0));
            out.push("node_filesystem_files", &labels, 6e6);
            out.push("node_filesystem_files_free", &labels, 5.1e6);
        }
    }
}
