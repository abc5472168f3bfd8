//! Two namespaces and what connects them.
//!
//! ```text
//! near 10.79.0.1 --- veth --- 10.79.0.2 far    10.80.0.0/16 is all far's own
//!      tun: 10.81.0.0/16, whose program answers late
//! ```

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::Stdio;

use ao_tests::workspace::tool;

use crate::netns::{Children, Namespaces};

/// The pingers' namespace, behind the world's name.
pub(crate) const NEAR: &str = "near";
/// The targets' one.
pub(crate) const FAR: &str = "far";
/// The far end of the pair.
pub(crate) const FAR_DEVICE: &str = "f0";
/// In the pingers' namespace.
pub(crate) const TUN_DEVICE: &str = "t0";

/// Both, and who answers late; gone when dropped.
pub(crate) struct World {
    /// Ends before its namespace does.
    _responder: Children,
    pub(crate) spaces: Namespaces,
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
    /// `name` sets it apart from others of this process.
    pub(crate) fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let spaces = Namespaces::new(name, [NEAR, FAR])?;
        spaces.pair([(NEAR, "n0", "10.79.0.1/24"), (FAR, FAR_DEVICE, "10.79.0.2/24")])?;
        spaces.ip(FAR, "route add local 10.80.0.0/16 dev lo\n")?;
        spaces.ip(
            NEAR,
            &format!(
                "route add 10.80.0.0/16 via 10.79.0.2\ntuntap add dev {TUN_DEVICE} mode tun\n\
                 addr add 10.81.255.254/16 dev {TUN_DEVICE}\nlink set {TUN_DEVICE} txqueuelen 10000 up\n"
            ),
        )?;
        let responder = Children(vec![spaces.role(NEAR, "tun", TUN_DEVICE, Stdio::null())?]);
        let world = Self { _responder: responder, spaces };
        // The neighbours get to know each other, and the ways are warm.
        for _ in 0..50 {
            let mut ping = world.spaces.command(NEAR, &tool("fping"));
            ping.args(["-q", "-c1", "-t500", "10.80.0.1", "10.81.0.1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if ping.status()?.success() {
                return Ok(world);
            }
        }
        Err("nothing answers in the namespaces".into())
    }
}
