//! Namespaces, links and routes of the test network, and the second run of this binary within it.
//!
//! ```text
//!                   10.77.2.1 --- 10.77.2.2 r2 10.77.3.1 --- 10.77.3.2
//! c 10.77.1.2 --- 10.77.1.1 r1                                         s (10.77.99.9)
//!                   10.77.4.1 --- 10.77.4.2 r3 10.77.5.1 --- 10.77.5.2
//! ```
//! All of 10.78.0.0/16 is the server, too. IPv6 the same with fd77:N::; 10.66.0.0/16 ends silently at r2.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// On the server's loopback, so that it has the same address by either way.
pub(crate) const SERVER: &str = "10.77.99.9";
/// The same by IPv6.
pub(crate) const SERVER6: &str = "fd77:99::9";
/// Swallowed by the second router.
pub(crate) const BLACKHOLE: &str = "10.66.0.1";
/// Names the case to the second run.
pub(crate) const CASE: &str = "AO_NETNS_CASE";
/// Names the world to the second run.
const WORLD: &str = "AO_NETNS_WORLD";

/// What can be done to a world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// The second router sends no packets of its own.
    SilenceRouter2,
    /// The first router forwards to the server through the third.
    ThroughRouter3,
    /// The first router spreads flows to 10.78.0.0/16 over the second and the third.
    ThroughBoth,
}

/// Lays out a world, applies the changes, and runs this binary's test `inner` for `case` in the client's namespace.
pub(crate) fn within(case: &str, changes: &[Change]) {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let number = WORLDS.fetch_add(1, Ordering::Relaxed);
    let world = World { name: format!("ao{}-{number}", std::process::id()), owned: true };
    if let Err(reason) = world.build() {
        assert!(std::env::var_os("REQUIRE_NETNS").is_none(), "{case}: {reason}");
        eprintln!("SKIP {case}: {reason}");
        return;
    }
    for change in changes {
        world.apply(*change);
    }
    let output = again_in(&world.namespace("c"))
        .args(["--exact", "inner", "--nocapture"])
        .env(CASE, case)
        .env(WORLD, &world.name)
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
}

/// This program once more, in a namespace. When a packet is answered shall not depend on what else this machine does.
pub(crate) fn again_in(namespace: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "-10", "ip", "netns", "exec", namespace]).arg(std::env::current_exe().unwrap());
    command
}

/// What the second runs work in.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The namespaces of one test.
pub(crate) struct World {
    name: String,
    /// Whether to take it down at the end.
    owned: bool,
}

impl World {
    /// The world that this second run is in.
    pub(crate) fn from_env() -> Self {
        Self { name: std::env::var(WORLD).unwrap(), owned: false }
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    fn build(&self) -> Result<(), String> {
        for host in ["c", "r1", "r2", "r3", "s"] {
            ip(&["netns", "add", &self.namespace(host)])?;
            self.ip(host, "link set lo up")?;
            // Set before any address is there, so that no address waits for duplicate detection.
            self.sysctl(host, "net.ipv6.conf.default.accept_dad=0")?;
            self.sysctl(host, "net.ipv6.conf.all.accept_dad=0")?;
            self.sysctl(host, "net.ipv4.conf.all.rp_filter=0")?;
            self.sysctl(host, "net.ipv4.conf.default.rp_filter=0")?;
        }
        for (net, left, right) in
            [(1, "c", "r1"), (2, "r1", "r2"), (3, "r2", "s"), (4, "r1", "r3"), (5, "r3", "s")]
        {
            self.link(net, left, right)?;
        }
        for router in ["r1", "r2", "r3"] {
            self.sysctl(router, "net.ipv4.ip_forward=1")?;
            self.sysctl(router, "net.ipv6.conf.all.forwarding=1")?;
        }
        self.sysctl("c", "net.ipv4.ping_group_range=0 2147483647")?;
        self.ip("c", "route add default via 10.77.1.1")?;
        self.ip("c", "-6 route add default via fd77:1::1")?;
        self.ip("s", &format!("addr add {SERVER}/32 dev lo"))?;
        self.ip("s", &format!("addr add {SERVER6}/128 dev lo"))?;
        self.ip("s", "route add local 10.78.0.0/16 dev lo")?;
        self.ip("s", "route add default via 10.77.3.1")?;
        self.ip("s", "-6 route add default via fd77:3::1")?;
        self.ip("r1", &format!("route add {SERVER} via 10.77.2.2"))?;
        self.ip("r1", &format!("-6 route add {SERVER6} via fd77:2::2"))?;
        self.ip("r1", "route add 10.66.0.0/16 via 10.77.2.2")?;
        // The route is looked up before the TTL: this router does not even say that a packet expired.
        self.ip("r2", "route add blackhole 10.66.0.0/16")?;
        for (router, back, on) in [("r2", 2, 3), ("r3", 4, 5)] {
            self.ip(router, &format!("route add 10.77.1.0/24 via 10.77.{back}.1"))?;
            self.ip(router, &format!("-6 route add fd77:1::/64 via fd77:{back}::1"))?;
            self.ip(router, &format!("route add {SERVER} via 10.77.{on}.2"))?;
            self.ip(router, &format!("route add 10.78.0.0/16 via 10.77.{on}.2"))?;
            self.ip(router, &format!("-6 route add {SERVER6} via fd77:{on}::2"))?;
        }
        Ok(())
    }

    /// Changes a world while it is in use.
    pub(crate) fn apply(&self, change: Change) {
        let done = match change {
            // Packets of the router's own come in by lo; forwarded ones do not.
            Change::SilenceRouter2 => self.ip("r2", "rule add pref 1 iif lo to 10.77.1.0/24 blackhole"),
            Change::ThroughBoth => self.sysctl("r1", "net.ipv4.fib_multipath_hash_policy=1").and_then(|()| {
                self.ip("r1", "route add 10.78.0.0/16 nexthop via 10.77.2.2 nexthop via 10.77.4.2")
            }),
            Change::ThroughRouter3 => self.ip("r1", &format!("route replace {SERVER} via 10.77.4.2")),
        };
        done.unwrap_or_else(|reason| panic!("{change:?}: {reason}"));
    }

    /// A cable: net 10.77.N.0/24 and fd77:N::/64, the left end with 2 at the client and 1 elsewhere.
    fn link(&self, net: u8, left: &str, right: &str) -> Result<(), String> {
        let (at_left, at_right) = if left == "c" { (2, 1) } else { (1, 2) };
        let (a, b) = (format!("n{net}l"), format!("n{net}r"));
        let (left_ns, right_ns) = (self.namespace(left), self.namespace(right));
        ip(&["-n", &left_ns, "link", "add", &a, "type", "veth", "peer", "name", &b, "netns", &right_ns])?;
        for (host, device, number) in [(left, a, at_left), (right, b, at_right)] {
            self.ip(host, &format!("addr add 10.77.{net}.{number}/24 dev {device}"))?;
            self.ip(host, &format!("-6 addr add fd77:{net}::{number}/64 dev {device} nodad"))?;
            self.ip(host, &format!("link set {device} up"))?;
        }
        Ok(())
    }

    fn ip(&self, host: &str, words: &str) -> Result<(), String> {
        let namespace = self.namespace(host);
        let mut args = vec!["-n", namespace.as_str()];
        args.extend(words.split(' '));
        ip(&args)
    }

    fn sysctl(&self, host: &str, setting: &str) -> Result<(), String> {
        let (key, value) = setting.split_once('=').unwrap();
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        ip(&["netns", "exec", &self.namespace(host), "sh", "-c", &format!("echo '{value}' > {path}")])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.owned {
            for host in ["c", "r1", "r2", "r3", "s"] {
                // Where building it failed, some are not there.
                let _gone = ip(&["netns", "del", &self.namespace(host)]);
            }
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("cannot run ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
