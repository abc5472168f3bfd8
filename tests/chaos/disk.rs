//! Disks that can be filled, and writes that a crash has torn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Name of the file that takes all the room.
const FILLER: &str = "filler";

/// Makes `folder` a file system of its own, in memory; it goes with the namespace.
///
/// # Errors
/// Where this process may not mount.
pub(crate) fn mount(folder: &Path, mebibytes: u32) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let options = format!("size={mebibytes}m,mode=0755");
    let mut command = Command::new("mount");
    let output = command.args(["-t", "tmpfs", "-o", &options, "chaos"]).arg(folder).output();
    let output = output.map_err(|e| format!("cannot run mount: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Takes all room but a few bytes.
pub(crate) fn fill(folder: &Path, dice: u64) -> io::Result<()> {
    let mut file = File::create(folder.join(FILLER))?;
    let zeros = vec![0; 1 << 20];
    let mut piece = zeros.len();
    while piece > 0 {
        match file.write(&zeros[..piece]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => piece /= 2,
            Err(error) => return Err(error),
        }
    }
    // Not always at the edge of a page: some writes then succeed in part.
    let len = file.metadata()?.len();
    file.set_len(len.saturating_sub(dice % 3 * 6_000))
}

/// Gives it back.
pub(crate) fn free(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(FILLER))
}

/// What a crash in the middle of a write leaves: behind the end of some newest segment stands half of a record, or
/// zeros, or noise. What was fsynced is not touched.
pub(crate) fn tear(folder: &Path, dice: u64) -> io::Result<PathBuf> {
    let mut random = StdRng::seed_from_u64(dice);
    let newest = newest_segments(folder)?;
    let Some(path) = newest.get(random.random_range(0..newest.len().max(1))) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no segment in {}", folder.display())));
    };
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let length = random.random_range(1..5_000);
    let tail = match random.random_range(0..3) {
        0 => {
            let mut copy = vec![0; length];
            file.seek(SeekFrom::Start(0))?;
            let n = file.read(&mut copy)?;
            copy.truncate(n.saturating_sub(1).max(1));
            copy
        }
        1 => vec![0; length],
        _ => (0..length).map(|_| random.random()).collect(),
    };
    file.write_all(&tail)?;
    Ok(path.clone())
}

/// The newest segment of each log below the folder.
fn newest_segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut newest = Vec::new();
    let mut segments = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            newest.extend(newest_segments(&path)?);
        } else if path.extension().is_some_and(|e| e == "seg") {
            segments.push(path);
        }
    }
    newest.extend(segments.pop());
    Ok(newest)
}
