//! Entries that move from memory to disk, go with their file, or are older than the agent.

use super::*;

/// Scenario: entries in memory, of which all, some or none are read when journald writes all of them to disk, behind those
/// of the boot before, deletes them in memory and goes on; the reader goes on as well, or is killed before and begun anew.
/// Guarantees: every entry once, in order; copies are counted.
#[test]
fn moved_to_disk() {
    for (read, killed) in [(40, false), (40, true), (25, false), (25, true), (0, false), (0, true)] {
        let mut rig = Rig::new();
        let mut disk = Writer::new(Form::Compact, 1);
        for n in 0..10 {
            disk.say(n + 100, "a.service", &n.to_string());
        }
        disk.save(&rig.path("system.journal"));
        let mut follow = rig.start();
        rig.read(&mut follow);
        let mut memory = Writer::new(Form::Compact, 2);
        (memory.boot, disk.boot) = (2, 2);
        let path = rig.memory("system.journal");
        for n in 10..50 {
            if n == 10 + read {
                memory.save(&path);
                rig.read(&mut follow);
            }
            // Some of one time.
            memory.say(n / 3, "a.service", &n.to_string());
        }
        memory.save(&path);
        if read == 40 {
            rig.read(&mut follow);
        }
        for n in 10..50 {
            disk.say(n / 3, "a.service", &n.to_string());
        }
        fs::remove_file(&path).unwrap();
        for n in 50..60 {
            disk.say(n, "a.service", &n.to_string());
        }
        disk.save(&rig.path("system.journal"));
        if killed {
            follow = rig.start();
        }
        rig.read(&mut follow);
        let expect: Vec<String> = (0..60).map(|n| n.to_string()).collect();
        assert_eq!(rig.lines(), expect, "{read} {killed}");
        let copies = rig.stats.journal_copies.load(std::sync::atomic::Ordering::Relaxed);
        assert!(copies >= read && copies <= 40, "{copies} of {read}");
    }
}

/// Scenario: a file that is deleted with entries that nobody read, whose bytes are given back to the disk at once, as
/// systemd does with what somebody has open (src/basic/fs-util.c, `unlinkat_deallocate`); a broken one.
/// Guarantees: the file's rest is counted to the byte, in the ledger too.
#[test]
fn emptied() {
    for (broken, lines) in [(false, 1_024), (true, 2_044)] {
        // What was written to it last was not seen.
        let more = 1_001;
        let mut rig = Rig::new();
        let mut writer = Writer::new(Form::Regular, 1);
        let path = rig.path("system.journal");
        for n in 0..3_000 {
            writer.say(n, "a.service", &n.to_string());
        }
        writer.save(&path);
        let mut follow = rig.start();
        assert!(rig.round(&mut follow));
        let at = rig.stored.values().copied().next().unwrap();
        let word = |at: u64| u64::from_le_bytes(*writer.bytes[at as usize..].first_chunk().unwrap());
        let (mut array, tail) = (word(176), word(136));
        if broken {
            while word(array + 16) != 0 {
                array = word(array + 16);
            }
            writer.bytes[array as usize] = 9;
            writer.save(&path);
        } else {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(0).unwrap();
            file.set_len(tail + more).unwrap();
        }
        fs::remove_file(&path).unwrap();
        rig.read(&mut follow);
        assert_eq!(rig.lines().len(), lines);
        let unread = rig.stats.unread_bytes.load(std::sync::atomic::Ordering::Relaxed);
        let dropped: u64 = rig.chunks.iter().flat_map(|chunk| &chunk.dropped).map(|sum| sum.bytes).sum();
        let end = if broken { tail } else { tail + more };
        assert_eq!((dropped, rig.stored.values().copied().next()), (unread, Some(end)));
        assert!(if broken { unread < end - at } else { unread == end - at });
    }
}

/// Scenario: the very first start, with a file of which all is too old, and one that is so in part; then another file
/// with entries of any time.
/// Guarantees: only what is young enough is read of those that were there; of what comes later, all.
#[test]
fn first_start() {
    let mut rig = Rig::new();
    rig.since_us = START_US + 10;
    let mut old = Writer::new(Form::Regular, 1);
    let mut new = Writer::new(Form::Regular, 2);
    for n in 0..5 {
        old.say(n, "a.service", &n.to_string());
        new.say(n + 7, "a.service", &(n + 7).to_string());
    }
    old.save(&rig.path("system@1.journal"));
    new.save(&rig.path("system.journal"));
    let mut follow = rig.start();
    rig.read(&mut follow);
    assert_eq!(rig.lines(), ["10", "11"]);
    let mut later = Writer::new(Form::Regular, 3);
    later.say(1, "a.service", "late");
    later.save(&rig.path("user-1000.journal"));
    rig.read(&mut follow);
    assert_eq!(rig.lines(), ["10", "11", "late"]);
    assert_eq!(rig.stored.len(), 3);
}
