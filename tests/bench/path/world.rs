//! A client, four routers in a row and a server in namespaces of their own; and what expires at each router.
//!
//! ```text
//! c 10.77.0.1 --- .2 r1 10.77.1.1 --- .2 r2 10.77.2.1 --- .2 r3 10.77.3.1 --- .2 r4 10.77.4.1 --- .2 s, all of 10.78.0.0/16
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::netns::{Children, Namespaces};

/// Where the tracers run.
pub(super) const CLIENT: &str = "c";
const ROUTERS: usize = 4;
const SERVER: &str = "s";

/// Time from one look at the routers' counters to the next.
const LOOK: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// The network; gone when dropped.
pub(super) struct World {
    /// A process in each router's namespace: its counters are read through it. They end before the namespaces do.
    holders: Children,
    pub(super) spaces: Namespaces,
}

impl World {
    pub(super) fn build(name: &str) -> Result<Self, Box<dyn Error>> {
        let routers = (1..=ROUTERS).map(|n| format!("r{n}"));
        let hosts: Vec<String> =
            [CLIENT.to_owned()].into_iter().chain(routers).chain([SERVER.to_owned()]).collect();
        let spaces = Namespaces::new(name, hosts.iter().cloned())?;
        for (n, pair) in hosts.windows(2).enumerate() {
            let [left, right] = pair else { continue };
            let (near, far) = (format!("10.77.{n}.1/24"), format!("10.77.{n}.2/24"));
            spaces.pair([(left, &format!("n{n}l"), &near), (right, &format!("n{n}r"), &far)])?;
        }
        let mut holders = Children(Vec::new());
        for (n, host) in hosts.iter().enumerate() {
            let mut routes = match host.as_str() {
                SERVER => "route add local 10.78.0.0/16 dev lo\n".to_owned(),
                _ => format!("route add 10.78.0.0/16 via 10.77.{n}.2\n"),
            };
            if n > 1 {
                routes += &format!("route add 10.77.0.0/24 via 10.77.{}.1\n", n - 1);
            }
            spaces.ip(host, &routes)?;
            if host == CLIENT || host == SERVER {
                continue;
            }
            let mut forward = spaces.command(host, Path::new("sh"));
            if !forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).status()?.success() {
                return Err(format!("{host} cannot be made a router").into());
            }
            holders.0.push(spaces.command(host, Path::new("cat")).stdin(Stdio::piped()).spawn()?);
        }
        Ok(Self { holders, spaces })
    }

    /// Looks at all routers until then; the most that expired at one of them within a second.
    pub(super) fn watch(&self, end: Instant) -> Result<f64, Box<dyn Error>> {
        let mut seen = vec![VecDeque::new(); ROUTERS];
        let mut most = 0;
        while Instant::now() < end {
            for (holder, seen) in self.holders.0.iter().zip(&mut seen) {
                // From before the one reading to behind the other: what lies between two looks took no longer.
                let begin = Instant::now();
                let now = expired(holder.id())?;
                seen.push_back((begin, now));
                while seen.front().is_some_and(|(at, _)| at.elapsed() >= SECOND) {
                    seen.pop_front();
                }
                most = most.max(now - seen.front().map_or(now, |(_, count)| *count));
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(most as f64)
    }
}

/// Packets whose TTL ran out, as the kernel of a process's namespace counts them (`Ip: InHdrErrors` of snmp; nothing else
/// is wrong with any header here).
fn expired(pid: u32) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err("no Ip: in net/snmp".into());
    };
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "InHdrErrors");
    Ok(found.ok_or("no InHdrErrors in net/snmp")?.1.parse()?)
}
