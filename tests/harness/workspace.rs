//! Where things lie: the workspace, the binaries under test, the tools, the reports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// The folder of the workspace's Cargo.toml.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One of our binaries, from the same build as this test.
///
/// # Panics
/// Where it was not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its file");
    // target/debug/deps/e2e-... -> target/debug, or target/release/ao-bench -> target/release
    let folder = test.ancestors().skip(1).find(|folder| folder.join(name).is_file());
    let folder = folder.unwrap_or_else(|| panic!("{name} is not built: run `cargo build` first"));
    folder.join(name)
}

/// A program that `make test` brings; a test without it fails, since it would prove nothing.
///
/// # Panics
/// Where it is not there.
pub fn tool(name: &str) -> PathBuf {
    let path = root().join("target/tools/bin").join(name);
    assert!(path.is_file(), "{} is missing: run `make tools` first", path.display());
    path
}

/// Writes a figure that an issue or the README names to `target/report/<name>.json`.
///
/// # Panics
/// Where it cannot be written.
pub fn report(name: &str, content: &serde_json::Value) {
    let folder = root().join("target/report");
    std::fs::create_dir_all(&folder).expect("target/ can be written");
    let text = serde_json::to_string_pretty(content).expect("a JSON value can be written");
    std::fs::write(folder.join(format!("{name}.json")), text).expect("target/report can be written");
}

/// Ports that no system gives to a client by itself (Linux: 32768 and up, ip(7)): else a connection could take the one of
/// a server that is being restarted.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Addresses on loopback that nobody uses at this moment. All are held until all are found, so they differ.
///
/// # Panics
/// Where loopback gives no port.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let bind = |_| {
        let tries = (0..1_000).map(|_| rand::random_range(PORTS));
        let found = tries.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).next();
        found.expect("loopback has a free port")
    };
    let held: [TcpListener; N] = std::array::from_fn(bind);
    held.map(|listener| listener.local_addr().expect("a bound listener has an address"))
}
