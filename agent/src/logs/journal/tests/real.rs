//! Files that systemd wrote, read as `journalctl` reads them.

use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::*;

/// A file of the fixtures, unpacked to where a machine has it; and the lines that `journalctl` says there are, as
/// [`lines`] gives them.
fn fixture(rig: &Rig, name: &str) -> Vec<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal");
    let packed = fs::read(folder.join(format!("{name}.journal.zst"))).unwrap();
    let path = rig.path("system.journal");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut whole = fs::File::create(path).unwrap();
    io::copy(&mut zstd::Decoder::new(&packed[..]).unwrap().take(16 << 20), &mut whole).unwrap();
    let json = fs::read_to_string(folder.join("journalctl.jsonl")).unwrap();
    json.lines().filter_map(|line| expected(&serde_json::from_str(line).unwrap())).collect()
}

/// Time, unit, transport, level, the metadata and the text of an entry that has a message.
fn expected(entry: &Value) -> Option<Vec<String>> {
    let field = |name: &str| match entry.get(name)? {
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().map(|b| b.as_u64().unwrap() as u8).collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        value => value.as_str().map(str::to_owned),
    };
    let of = |name: &str| field(name).unwrap_or_default();
    let at_us = field("_SOURCE_REALTIME_TIMESTAMP").unwrap_or_else(|| of("__REALTIME_TIMESTAMP"));
    let levels = ["critical", "critical", "critical", "error", "warn", "info", "info", "debug"];
    let priority: usize = of("PRIORITY").parse().unwrap();
    // What a service prints says so itself.
    let said = priority != 6 || of("_TRANSPORT") != "stdout";
    Some(vec![
        format!("{at_us}000"),
        of("_SYSTEMD_UNIT"),
        of("_TRANSPORT"),
        if said { levels[priority].to_owned() } else { String::new() },
        [of("SYSLOG_IDENTIFIER"), of("_PID"), of("_HOSTNAME"), of("_BOOT_ID")].join(" "),
        field("MESSAGE")?,
    ])
}

/// What was read, in the form of [`expected`].
fn lines(rig: &Rig) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for chunk in &rig.chunks {
        let label = |name: &str| {
            let found = chunk.labels.iter().find(|(label, _)| *label == name);
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let mut from = 0;
        for line in &chunk.lines {
            let said = |name: &str| {
                let found = line.metadata.iter().find(|(known, _)| &**known == name);
                found.map(|(_, value)| value.to_string()).unwrap_or_default()
            };
            let text = &chunk.text[from..from + line.len as usize];
            from += line.len as usize;
            all.push(vec![
                line.at_ns.to_string(),
                label("unit"),
                label("transport"),
                said("level"),
                [said("app"), said("pid"), said("hostname"), said("boot_id")].join(" "),
                text.to_owned(),
            ]);
        }
    }
    all
}

/// Scenario: a file of each form, packed in each way.
/// Guarantees: all lines that journalctl has, with their times, labels, levels and metadata; those that were packed with
/// xz are counted, and the rest of that file is read; entries without a message are counted.
#[test]
fn as_journalctl_reads_them() {
    for name in [
        "regular-plain",
        "regular-lz4",
        "regular-xz",
        "regular-zstd",
        "compact-plain",
        "compact-lz4",
        "compact-zstd",
    ] {
        let mut rig = Rig::new();
        let mut expect = fixture(&rig, name);
        assert_eq!(expect.len(), 54);
        let mut follow = rig.start();
        rig.read(&mut follow);
        if name.ends_with("xz") {
            expect.retain(|line| !line[5].starts_with("long "));
        }
        let read = lines(&rig);
        for (read, expect) in read.iter().zip(&expect) {
            assert_eq!(read, expect, "{name}");
        }
        assert_eq!(read.len(), expect.len(), "{name}");
        let dropped = rig.chunks.iter().flat_map(|chunk| &chunk.dropped);
        let dropped: u64 = dropped.map(|sum| sum.records).sum();
        assert_eq!(dropped as usize + read.len(), 60, "{name}");
    }
}
