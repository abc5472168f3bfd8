//! The same network as mtr and fping see it, and as our own command shows it. Their packages are pinned in `tests/scripts/tools.txt`; what is installed
//! serves as well.

use std::path::PathBuf;
use std::process::Command;

/// A program in target/tools/bin, else by the search path.
fn program(name: &str) -> PathBuf {
    let pinned = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin")).join(name);
    if pinned.is_file() { pinned } else { name.into() }
}

fn mtr(arguments: &[&str], target: &str) -> serde_json::Value {
    let output = Command::new(program("mtr"))
        .env("MTR_PACKET", program("mtr-packet"))
        .args(["--json", "--no-dns"])
        .args(arguments)
        .arg(target)
        .output()
        .unwrap_or_else(|error| panic!("cannot run mtr: {error} (make tools brings it)"));
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("mtr: {error}: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// mtr shows the same hops, and fping the target as alive where it ends the path.
pub(crate) fn agree(target: &str, hops: &str) {
    let report = mtr(&["-c", "2", "-G", "1"], target);
    let hubs = report["report"]["hubs"].as_array().unwrap().clone();
    let theirs: Vec<&str> = hubs.iter().filter_map(|hub| hub["host"].as_str()).collect();
    let ours: Vec<String> = hops.split_whitespace().map(|hop| hop.replace('?', "???")).collect();
    assert_eq!(theirs, ours, "mtr sees another path: {report}");
    let report = ao_mtr(target);
    let shown = report["report"]["hubs"].as_array().unwrap().clone();
    let shown: Vec<&str> = shown.iter().filter_map(|hub| hub["host"].as_str()).collect();
    assert_eq!(shown, ours, "ao-agent mtr shows another path: {report}");
    let alive = Command::new(program("fping"))
        .args(["-c", "2", "-q", "-p", "100", target])
        .status()
        .unwrap_or_else(|error| panic!("cannot run fping: {error} (make tools brings it)"));
    assert_eq!(alive.success(), ours.last().is_some_and(|last| last == target), "fping sees another end");
}

/// `ao-agent mtr`, in the form of mtr's own.
fn ao_mtr(target: &str) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ao-agent"))
        .args(["mtr", "--json", "--no-dns", "-c", "2", "--flows", "1", target])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("ao-agent mtr: {error}: {said}{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// What mtr says of the first hop's loss when it asks five times a second.
pub(crate) fn mtr_loss_at_first_hop(target: &str) -> f64 {
    let report = mtr(&["-c", "40", "-i", "0.2", "-G", "1"], target);
    report["report"]["hubs"][0]["Loss%"].as_f64().unwrap()
}
