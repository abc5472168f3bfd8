//! The namespaces of one scenario: made of its `links` and `setup`, or one with a TUN device; gone when dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::responder::DEVICE;
use crate::scenario::Scenario;

/// All targets of the network in kernels.
const SERVERS: [&str; 3] = ["10.77.99.0/24", "10.78.0.0/16", "fd77:99::/64"];

/// Where the name server answers, at `s`.
pub(crate) const RESOLVER: &str = "10.78.0.53";

/// A network of namespaces.
pub(crate) struct Lab {
    name: String,
    hosts: BTreeSet<String>,
    /// A folder of files that `ip netns exec` puts into /etc.
    etc: Option<PathBuf>,
    /// Whether to take it down at the end.
    owned: bool,
}

impl Lab {
    /// Builds the scenario's network; `name` begins the names of its namespaces.
    pub(crate) fn build(name: &str, scenario: &Scenario) -> Result<Self, String> {
        let links: Vec<(&str, &str)> =
            scenario.links.iter().filter_map(|link| link.split_once(' ')).collect();
        let mut hosts: BTreeSet<String> =
            links.iter().flat_map(|(l, r)| [l.to_string(), r.to_string()]).collect();
        hosts.insert("c".to_owned());
        let etc = scenario.resolver.then(|| PathBuf::from("/etc/netns").join(format!("{name}-c")));
        let lab = Self { name: name.to_owned(), hosts, etc, owned: true };
        if let Some(etc) = &lab.etc {
            let text = format!("nameserver {RESOLVER}\noptions timeout:1 attempts:2\n");
            let written =
                std::fs::create_dir_all(etc).and_then(|()| std::fs::write(etc.join("resolv.conf"), text));
            written.map_err(|error| format!("{}: {error}", etc.display()))?;
        }
        for host in &lab.hosts {
            ip(&["netns", "add", &lab.namespace(host)])?;
        }
        let mut todo: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (at, (left, right)) in links.iter().enumerate() {
            let (n, left_ns, right_ns) = (at + 1, lab.namespace(left), lab.namespace(right));
            let (a, b) = (format!("n{n}l"), format!("n{n}r"));
            if scenario.wires.contains(&format!("{left} {right}")) {
                ip(&["-n", &left_ns, "tuntap", "add", "dev", &a, "mode", "tun"])?;
                ip(&["-n", &right_ns, "tuntap", "add", "dev", &b, "mode", "tun"])?;
            } else {
                let peer = ["type", "veth", "peer", "name", &b, "netns", &right_ns];
                ip(&[&["-n", &left_ns, "link", "add", &a], &peer[..]].concat())?;
            }
            for (host, device, end) in [(*left, a, 1), (*right, b, 2)] {
                todo.entry(host).or_default().extend([
                    format!("addr add 10.77.{n}.{end}/24 dev {device}"),
                    format!("addr add fd77:{n}::{end}/64 dev {device} nodad"),
                    format!("link set {device} up"),
                ]);
            }
        }
        for host in &lab.hosts {
            let commands = todo.entry(host).or_default();
            commands.push("link set lo up".to_owned());
            commands.extend(routes(host, &links));
            if host == "s" {
                commands.push("addr add 10.77.99.9/32 dev lo".to_owned());
                commands.push("addr add fd77:99::9/128 dev lo".to_owned());
                commands.push("route add local 10.78.0.0/16 dev lo".to_owned());
            }
        }
        if links.is_empty() {
            todo.entry("c").or_default().extend([
                format!("tuntap add dev {DEVICE} mode tun"),
                format!("addr add 10.9.0.2/24 dev {DEVICE}"),
                format!("addr add fd09::2/64 dev {DEVICE} nodad"),
                format!("link set {DEVICE} up"),
                format!("route add default dev {DEVICE}"),
                format!("route add ::/0 dev {DEVICE}"),
            ]);
        }
        for (host, commands) in &todo {
            lab.sysctls(host, &SETTINGS.map(str::to_owned))?;
            lab.batch(host, commands)?;
        }
        lab.apply(&scenario.setup)?;
        Ok(lab)
    }

    /// The network that another process has built.
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), hosts: BTreeSet::new(), etc: None, owned: false }
    }

    /// The name of a host's namespace.
    pub(crate) fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Runs commands such as `r1 ip route ...` and `r1 sysctl key=value`.
    pub(crate) fn apply(&self, commands: &[String]) -> Result<(), String> {
        for command in commands {
            let words: Vec<&str> = command.splitn(3, ' ').collect();
            match words[..] {
                [host, "ip", rest] => self.batch(host, &[rest.to_owned()])?,
                [host, "sysctl", rest] => self.sysctls(host, &[rest.to_owned()])?,
                _ => return Err(format!("no command: {command}")),
            }
        }
        Ok(())
    }

    fn batch(&self, host: &str, commands: &[String]) -> Result<(), String> {
        let namespace = self.namespace(host);
        let mut child = Command::new("ip")
            .args(["-n", &namespace, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run ip: {error}"))?;
        let text = commands.join("\n") + "\n";
        child.stdin.take().unwrap().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{host}: {text}{said}")) }
    }

    fn sysctls(&self, host: &str, settings: &[String]) -> Result<(), String> {
        let mut script = String::new();
        for setting in settings {
            let (key, value) = setting.split_once('=').ok_or_else(|| format!("no setting: {setting}"))?;
            script += &format!("echo '{value}' > /proc/sys/{} || exit 1\n", key.replace('.', "/"));
        }
        ip(&["netns", "exec", &self.namespace(host), "sh", "-c", &script])
    }
}

/// Set before any address is there, so that no address waits for duplicate detection.
const SETTINGS: [&str; 7] = [
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.ping_group_range=0 2147483647",
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
];

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned {
            if let Some(etc) = &self.etc {
                let _gone = std::fs::remove_dir_all(etc);
            }
            for host in &self.hosts {
                // Where building it failed, some are not there.
                let _gone = ip(&["netns", "del", &self.namespace(host)]);
            }
        }
    }
}

/// The routes of a host along shortest ways, the first of several: to the servers, and back to the client's link.
fn routes(host: &str, links: &[(&str, &str)]) -> Vec<String> {
    let mut commands = Vec::new();
    if host != "s"
        && let Some((n, end)) = next_hop(host, "s", links)
    {
        for net in SERVERS {
            let via = if net.contains(':') { format!("fd77:{n}::{end}") } else { format!("10.77.{n}.{end}") };
            commands.push(format!("route add {net} via {via}"));
        }
    }
    if host == "c" && !links.is_empty() {
        commands.push("route add default via 10.77.1.2".to_owned());
        commands.push("route add ::/0 via fd77:1::2".to_owned());
    }
    match next_hop(host, "c", links) {
        Some((n, end)) if host == "s" => {
            commands.push(format!("route add default via 10.77.{n}.{end}"));
            commands.push(format!("route add ::/0 via fd77:{n}::{end}"));
        }
        // The client's own link needs no route at its other end.
        Some((n, end)) if n != 1 => {
            commands.push(format!("route add 10.77.1.0/24 via 10.77.{n}.{end}"));
            commands.push(format!("route add fd77:1::/64 via fd77:{n}::{end}"));
        }
        _ => {}
    }
    commands
}

/// The link and its far end that lead from one host towards another.
fn next_hop(from: &str, to: &str, links: &[(&str, &str)]) -> Option<(usize, u8)> {
    let mut first: BTreeMap<&str, (usize, u8)> = BTreeMap::new();
    let (mut seen, mut queue) = (BTreeSet::from([from]), VecDeque::from([from]));
    while let Some(at) = queue.pop_front() {
        for (n, (left, right)) in links.iter().enumerate() {
            let (far, end) = match at {
                at if at == *left => (*right, 2),
                at if at == *right => (*left, 1),
                _ => continue,
            };
            if seen.insert(far) {
                let hop = first.get(at).copied().unwrap_or((n + 1, end));
                first.insert(far, hop);
                // A host at the edge forwards nothing.
                if far != "c" && far != "s" {
                    queue.push_back(far);
                }
            }
        }
    }
    first.get(to).copied()
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("cannot run ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
