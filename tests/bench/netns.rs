//! Network namespaces, and programs in them. They need root and iproute2.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Some namespaces; gone when dropped.
pub(crate) struct Namespaces {
    world: String,
    hosts: Vec<String>,
}

impl Namespaces {
    /// One for each host, with its loopback up. `world` sets them apart from those of another world of this process.
    pub(crate) fn new(
        world: &str,
        hosts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut made = Self { world: format!("aob{}{world}", std::process::id()), hosts: Vec::new() };
        for host in hosts {
            let host = host.into();
            ip(&["netns", "add", &made.name(&host)], "")?;
            ip(&["-n", &made.name(&host), "link", "set", "lo", "up"], "")?;
            made.hosts.push(host);
        }
        Ok(made)
    }

    /// Of a host's namespace.
    pub(crate) fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.world)
    }

    /// Lines of `ip -batch` within a host's namespace.
    pub(crate) fn ip(&self, host: &str, lines: &str) -> Result<(), Box<dyn Error>> {
        ip(&["-n", &self.name(host), "-batch", "-"], lines)
    }

    /// A pair of devices, each up with its address.
    pub(crate) fn pair(&self, ends: [(&str, &str, &str); 2]) -> Result<(), Box<dyn Error>> {
        let [(left, a, _), (right, b, _)] = ends;
        self.ip(left, &format!("link add {a} type veth peer name {b} netns {}\n", self.name(right)))?;
        for (host, device, address) in ends {
            self.ip(host, &format!("addr add {address} dev {device}\nlink set {device} up\n"))?;
        }
        Ok(())
    }

    /// A program in a host's namespace.
    pub(crate) fn command(&self, host: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host)]).arg(program).stdin(Stdio::null());
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

impl Namespaces {
    /// What a server within a host's namespace answers, without its head.
    pub(crate) fn get(&self, host: &str, address: &str, path: &str) -> Result<String, Box<dyn Error>> {
        let child = self.role(host, "get", &format!("{address}{path}"), Stdio::piped())?;
        let answer = String::from_utf8(child.wait_with_output()?.stdout)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address} does not answer"))?;
        Ok(body.to_owned())
    }
}

/// The process that asks for it: `127.0.0.1:80/path`.
///
/// # Errors
/// Where nobody answers.
pub(crate) fn get(url: &str) -> Result<(), Box<dyn Error>> {
    let (address, path) = url.split_once('/').unwrap_or((url, ""));
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    std::io::stdout().lock().write_all(&answer)?;
    Ok(())
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for host in &self.hosts {
            // Where making them failed, one may not be there.
            let _gone = ip(&["netns", "del", &self.name(host)], "");
        }
    }
}

fn ip(args: &[&str], input: &str) -> Result<(), Box<dyn Error>> {
    let mut child = Command::new("ip")
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| format!("cannot run ip: {why}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
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
