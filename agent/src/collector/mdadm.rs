//! Software RAID, from /proc/mdstat and /sys/block/mdN/md (Documentation/admin-guide/md.rst).

use std::io::ErrorKind;
use std::str::Lines;

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `mdadm` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Mdadm::default()))
}

#[derive(Default)]
struct Mdadm {
    file: TextFile,
}

/// Values of the label `state`, each with the word in /proc/mdstat.
const STATES: [(&str, &str); 5] = [
    ("active", "active"),
    ("inactive", "inactive"),
    ("recovering", "recovery"),
    ("resync", "resync"),
    ("check", "check"),
];

impl Collector for Mdadm {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("mdstat");
        let mut faults = Faults::default();
        match self.file.text(&path) {
            Ok(text) => {
                let (arrays, bad) = parse(text);
                arrays.iter().for_each(|array| emit(array, out));
                if let Some((line, text)) = bad {
                    faults.add(CollectError::line(&path, line, text));
                }
            }
            Err(CollectError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(CollectError::NoData("software RAID"));
            }
            Err(why) => return Err(why),
        }
        self.emit_disks(roots, out, &mut faults)?;
        faults.end()
    }
}

impl Mdadm {
    /// What /sys says of each array's disks.
    fn emit_disks(
        &mut self,
        roots: &Roots,
        out: &mut MetricSet,
        faults: &mut Faults,
    ) -> Result<(), CollectError> {
        for block in folder::list(&roots.sys.join("block"), |name| name.starts_with("md"))? {
            let dir = block.path.join("md");
            let device = [("device", &*block.name)];
            let Some(level) = self.file.word(&dir.join("level")).map(str::to_owned) else { continue };
            // A container of outer metadata has no disks of its own; an array without a level is not assembled.
            if !matches!(&*level, "" | "container" | "imsm" | "ddf") {
                let path = dir.join("raid_disks");
                let text = self.file.word(&path).unwrap_or_default();
                // `4 (3)` while it is reshaped from three disks.
                let disks = text.split(' ').next().unwrap_or_default();
                match disks.parse::<u64>() {
                    Ok(disks) => {
                        let family = out.family("node_md_raid_disks", Gauge, "Disks of the whole array.");
                        out.push(family, &device, disks as f64);
                    }
                    Err(_) if text.is_empty() => {}
                    Err(_) => faults.add(CollectError::line(&path, 0, text)),
                }
            }
            // Of raid0 and linear nothing can be missing, and there is no such file.
            let missing = faults.note(self.file.value(&dir.join("degraded"))).flatten().unwrap_or(0.0);
            let family = out.family("node_md_degraded", Gauge, "Disks that the array lacks.");
            out.push(family, &device, missing);
        }
        Ok(())
    }
}

/// An array of /proc/mdstat.
#[derive(Debug, Default, PartialEq)]
struct Array<'a> {
    name: &'a str,
    /// `active`, `inactive`, or the word of what it is busy with: `recovery`, `resync`, `reshape`, `check`.
    state: &'a str,
    active: u64,
    required: u64,
    failed: u64,
    spare: u64,
    /// Blocks of 1 KiB.
    blocks: u64,
    synced: u64,
}

fn emit(array: &Array<'_>, out: &mut MetricSet) {
    let device = ("device", array.name);
    let mut one = |name, help, value: u64| {
        let family = out.family(name, Gauge, help);
        out.push(family, &[device], value as f64);
    };
    one("node_md_disks_required", "Disks that the array needs.", array.required);
    one("node_md_blocks", "Size of the array in blocks of 1 KiB.", array.blocks);
    one("node_md_blocks_synced", "Blocks that are in step.", array.synced);
    let disks = out.family("node_md_disks", Gauge, "Disks of the array by what they are.");
    for (state, count) in [("active", array.active), ("failed", array.failed), ("spare", array.spare)] {
        out.push(disks, &[device, ("state", state)], count as f64);
    }
    let states = out.family("node_md_state", Gauge, "1 for what the array does now.");
    for (state, word) in STATES {
        out.push(states, &[device, ("state", state)], f64::from(u8::from(word == array.state)));
    }
}

/// All arrays, and the first line (from 0) that cannot be understood.
fn parse(text: &str) -> (Vec<Array<'_>>, Option<(usize, &str)>) {
    let (mut arrays, mut bad) = (Vec::new(), None);
    let mut rest = text.lines();
    let mut number = 0;
    while let Some(line) = rest.next() {
        let at = number;
        number += 1;
        let heading = line.starts_with("Personalities") || line.starts_with("unused");
        if heading || line.trim().is_empty() || line.starts_with([' ', '\t']) {
            continue;
        }
        match parse_array(line, rest.clone()) {
            Some(array) => arrays.push(array),
            None => bad = bad.or(Some((at, line))),
        }
    }
    (arrays, bad)
}

/// `md0 : active (read-only) raid1 sdb1[1] sda1[0](F)`, below it, indented, size and disks, and what it is busy with.
fn parse_array<'a>(head: &'a str, below: Lines<'a>) -> Option<Array<'a>> {
    let mut fields = head.split_ascii_whitespace();
    let name = fields.next()?;
    let state = fields.nth(1)?;
    let mut below = below.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
    let status = below.next()?;
    let blocks = status.split(' ').next()?.parse().ok()?;
    let mut array = Array { name, state, blocks, synced: blocks, ..Array::default() };
    array.failed = head.matches("(F)").count() as u64;
    array.spare = head.matches("(S)").count() as u64;
    // `[3/2] [UU_]`: needed and there. Levels without redundancy have none; all their disks are.
    match brackets(status, '[', ']').find_map(pair) {
        Some((required, active)) => (array.required, array.active) = (required, active),
        None if state == "inactive" => {}
        None => {
            array.required = head.matches('[').count() as u64;
            array.active = array.required;
        }
    }
    for line in below {
        let Some(word) =
            ["recovery", "reshape", "resync", "check"].into_iter().find(|word| line.contains(word))
        else {
            continue;
        };
        array.state = word;
        // `[==>..]  resync = 12.5% (131072/1048576) finish=...`, or `resync=DELAYED`: it waits for another array.
        array.synced = brackets(line, '(', ')').find_map(pair).map_or(0, |(done, _)| done);
    }
    Some(array)
}

/// What stands between such brackets.
fn brackets(text: &str, open: char, close: char) -> impl Iterator<Item = &str> {
    text.split(open).skip(1).filter_map(move |part| Some(part.split_once(close)?.0))
}

/// `3/2`.
fn pair(text: &str) -> Option<(u64, u64)> {
    let (a, b) = text.split_once('/')?;
    Some((a.trim().parse().ok()?, b.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one<'a>(text: &'a str) -> Array<'a> {
        let (mut arrays, bad) = parse(text);
        assert_eq!((arrays.len(), bad), (1, None), "{text}");
        arrays.remove(0)
    }

    /// Scenario: arrays in every state that the kernel prints.
    /// Guarantees: disks, size, progress and state of each.
    #[test]
    fn arrays() {
        let array = one(
            "md1 : active raid5 sdc[3](F) sdb[1] sda[0] sdd[4](S)\n      2096 blocks level 5 [3/2] [UU_]\n",
        );
        assert_eq!((array.state, array.required, array.active), ("active", 3, 2));
        assert_eq!((array.failed, array.spare, array.blocks, array.synced), (1, 1, 2096, 2096));
        let busy = |line: &str| {
            let text = format!(
                "md2 : active (auto-read-only) raid1 sdb[1] sda[0]\n  100 blocks [2/2] [UU]\n  bitmap: 0/1 pages\n  {line}\n"
            );
            let array = one(&text);
            (array.state.to_owned(), array.synced)
        };
        assert_eq!(busy("[=>...]  recovery = 16.0% ( 16/100) finish=1.0min"), ("recovery".to_owned(), 16));
        assert_eq!(busy("resync=DELAYED"), ("resync".to_owned(), 0));
        assert_eq!(busy("[=>...]  check =  5.0% (5/100) finish=1.0min"), ("check".to_owned(), 5));
        assert_eq!(busy("[=>...]  reshape =  5.0% (5/100)"), ("reshape".to_owned(), 5));
        let array = one("md3 : active raid0 sda[0] sdb[1]\n  7 blocks 64k chunks\n");
        assert_eq!((array.required, array.active), (2, 2));
        let array = one("md4 : inactive sda[0](S) sdb[1](S)\n  7 blocks super external:imsm\n");
        assert_eq!((array.state, array.required, array.active, array.spare), ("inactive", 0, 0, 2));
    }

    /// Scenario: a host without arrays, and lines that are none.
    /// Guarantees: nothing; the line is told, and the array behind it is read.
    #[test]
    fn odd_lines() {
        assert_eq!(parse("Personalities : \nunused devices: <none>\n"), (Vec::new(), None));
        let (arrays, bad) = parse("md0 : active\n\nmd1 : active raid0 sda[0]\n  7 blocks\n");
        assert_eq!((arrays.len(), bad), (1, Some((0, "md0 : active"))));
    }

    proptest! {
        /// Scenario: any text of the table's parts.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "((md0 : )?(in)?active |raid1 |sda\\[0\\]|\\(F\\)|\n|  |[0-9]{1,20}|/|\\[|\\]|\\(|\\)|resync|=|\\PC){0,30}") {
            let _any = parse(&text);
        }
    }
}
