//! Two namespaces and what connects them.
//!
//! ```text
//! near 10.79.0.1 --- veth --- 10.79.0.2 far    10.80.0.0/16 is all far's own
//!      tun: 10.81.0.0/16, whose program answers late
//! ```

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ao_tests::workspace::tool;

/// The pingers' namespace, behind the world's name.
pub(crate) const NEAR: &str = "near";
/// The targets' one.
pub(crate) const FAR: &str = "far";
/// The far end of the pair.
pub(crate) const FAR_DEVICE: &str = "f0";
/// In the pingers' namespace.
pub(crate) const TUN_DEVICE: &str = "t0";

/// The namespaces; gone when dropped.
pub(crate) struct World {
    name: String,
    _responder: Option<Children>,
}

/// Different ones for each way (0 veth, 1 TUN) and tool, so that captures tell them apart.
pub(crate) fn targets(way: usize, tool: usize, count: u16) -> Vec<Ipv4Addr> {
    let second = if way == 0 { 80 } else { 81 };
    let at = |n: u16| {
        let [high, low] = (n + 1).to_be_bytes();
        // 64 blocks of 256 addresses for each tool: 15,000 fit.
        Ipv4Addr::new(10, second, high + 64 * tool as u8, low)
    };
    (0..count).map(at).collect()
}

impl World {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let mut world = Self { name: format!("aob{}", std::process::id()), _responder: None };
        let [near, far] = [NEAR, FAR].map(|host| world.namespace(host));
        for namespace in [&near, &far] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        ip(&["-n", &near, "link", "add", "n0", "type", "veth", "peer", "name", FAR_DEVICE, "netns", &far])?;
        for (namespace, device, address) in
            [(&near, "n0", "10.79.0.1/24"), (&far, FAR_DEVICE, "10.79.0.2/24")]
        {
            ip(&["-n", namespace, "addr", "add", address, "dev", device])?;
            ip(&["-n", namespace, "link", "set", device, "up"])?;
        }
        ip(&["-n", &far, "route", "add", "local", "10.80.0.0/16", "dev", "lo"])?;
        ip(&["-n", &near, "route", "add", "10.80.0.0/16", "via", "10.79.0.2"])?;
        ip(&["-n", &near, "tuntap", "add", "dev", TUN_DEVICE, "mode", "tun"])?;
        ip(&["-n", &near, "addr", "add", "10.81.255.254/16", "dev", TUN_DEVICE])?;
        ip(&["-n", &near, "link", "set", TUN_DEVICE, "txqueuelen", "10000", "up"])?;
        let responder = world.role(NEAR, "tun", TUN_DEVICE, Stdio::null())?;
        world._responder = Some(Children(vec![responder]));
        // The neighbours get to know each other, and the ways are warm.
        for _ in 0..50 {
            let mut ping = world.command(NEAR, &tool("fping"));
            ping.args(["-q", "-c1", "-t500", "10.80.0.1", "10.81.0.1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if ping.status()?.success() {
                return Ok(world);
            }
        }
        Err("nothing answers in the namespaces".into())
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// A program in one of the namespaces.
    pub(crate) fn command(&self, host: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program).stdin(Stdio::null());
        command
    }

    /// This program in one of its roles.
    pub(crate) fn role(
        &self,
        host: &str,
        role: &str,
        argument: &str,
        out: Stdio,
    ) -> Result<Child, Box<dyn Error>> {
        let mut command = self.command(host, &std::env::current_exe()?);
        Ok(command.args(["--role", role, "--argument", argument]).stdout(out).spawn()?)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self._responder = None;
        for host in [NEAR, FAR] {
            // Where building it failed, one may not be there.
            let _gone = ip(&["netns", "del", &self.namespace(host)]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let output = Command::new("ip").args(args).output().map_err(|why| format!("cannot run ip: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {} (the namespaces need root)", args.join(" "), said.trim()).into())
}

/// Processes that end with this.
pub(crate) struct Children(pub(crate) Vec<Child>);

impl Children {
    /// Busy loops.
    pub(crate) fn spin(count: usize) -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let mut children = Self(Vec::new());
        for _ in 0..count {
            let child = Command::new(&program).args(["--role", "spin"]).stdin(Stdio::null()).spawn()?;
            children.0.push(child);
        }
        Ok(children)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended by itself is no harm.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}
