//! Containers' logs, rotated as a kubelet does it, and a plain file that only grows.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::writer::{CriFile, container};
use tokio::time::{MissedTickBehavior, interval};

use super::Load;

/// Containers.
const CONTAINERS: u64 = 3;
/// Between two writes of one program.
const EVERY: Duration = Duration::from_millis(100);
/// Lines of a container's write.
const LINES: u64 = 7;
/// Lines of the plain program's write.
const PLAIN_LINES: u64 = 3;
/// A container's file is rotated at so many lines, which takes some twenty seconds.
const ROTATE: u64 = 1_400;
/// Rotated files that stay, as `containerLogMaxFiles: 5`.
const KEPT: usize = 4;

/// Starts everybody.
pub fn start(load: &Load, pods: &Path, files: &Path) {
    for n in 0..CONTAINERS {
        let folder = container(pods, "shop", &format!("web-{n}"), &format!("uid-{n}"), "app");
        tokio::spawn(contain(load.clone(), format!("web-{n}"), folder));
    }
    tokio::spawn(plain(load.clone(), files.join("plain.log")));
}

/// Text of a line: `chaos STREAM NUMBER` and some more, of any length; one of fifty was too long for its runtime.
fn text(stream: &str, n: u64) -> String {
    let padding = "the quick brown fox jumps over the lazy dog ".repeat((n % 5) as usize);
    let rest = if n % 50 == 49 { "\nand the rest of it" } else { "" };
    format!("chaos {stream} {n} {padding}{rest}")
}

/// Stream and number of a line.
pub fn parse(text: &str) -> Option<(&str, u64)> {
    let mut words = text.strip_prefix("chaos ")?.split(' ');
    Some((words.next()?, words.next()?.parse().ok()?))
}

async fn contain(load: Load, stream: String, folder: PathBuf) {
    let live = folder.join("0.log");
    let mut file = CriFile::create(&live);
    let mut rotated = VecDeque::new();
    let (mut next, mut in_file) = (0, 0);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while load.goes_on() {
        ticks.tick().await;
        if in_file >= ROTATE {
            let name = folder.join(format!("0.log.20260101-{next:06}"));
            fs::rename(&live, &name).expect("a log can be renamed");
            rotated.push_back(name);
            if rotated.len() > KEPT
                && let Some(oldest) = rotated.pop_front()
            {
                fs::remove_file(oldest).expect("a log can be deleted");
            }
            file = CriFile::create(&live);
            in_file = 0;
        }
        file.lines((next..next + LINES).map(|n| text(&stream, n)));
        next += LINES;
        in_file += LINES;
        load.owed().lines.insert(stream.clone(), next);
    }
}

async fn plain(load: Load, path: PathBuf) {
    let mut file = fs::File::create(path).expect("a log can be made");
    let mut next = 0;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while load.goes_on() {
        ticks.tick().await;
        let block: String =
            (next..next + PLAIN_LINES).map(|n| text("plain", n).replace('\n', " ") + "\n").collect();
        file.write_all(block.as_bytes()).expect("a log can be written");
        next += PLAIN_LINES;
        load.owed().lines.insert("plain".to_owned(), next);
    }
}
