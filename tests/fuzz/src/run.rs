//! Runs targets: what they panic at, take too long for, or take too much memory for is given back with the input.

#![allow(clippy::print_stderr, reason = "the last words of a process that hangs")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::memory::peak;
use crate::mutate::Mutator;
use crate::targets::Target;

/// One input may take so long, also in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// One that takes longer is taken to hang.
const HANGS: Duration = Duration::from_secs(60);

/// An input that is not well.
#[derive(Debug)]
pub struct Found {
    /// What was wrong with it.
    pub why: String,
    /// The input.
    pub input: Vec<u8>,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Inputs.
    pub inputs: u64,
    /// The most memory for one, in bytes.
    pub peak: usize,
    /// The longest time for one.
    pub slowest: Duration,
}

/// The files of a target's corpus, by name.
///
/// # Panics
/// Where the folder cannot be read.
pub fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("no corpus in {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file can be read"))).collect()
}

/// Writes an input down where it hangs, and ends the process: nothing else can end it.
struct Watch {
    now: Arc<Mutex<(Instant, Vec<u8>)>>,
    /// Dropped, the watching ends.
    _end: mpsc::SyncSender<()>,
}

impl Watch {
    fn new(name: &'static str) -> Self {
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let now = Arc::new(Mutex::new((Instant::now(), Vec::new())));
        let watched = Arc::clone(&now);
        std::thread::spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if now.0.elapsed() > HANGS {
                    let path = std::env::temp_dir().join(format!("fuzz-hangs-{name}"));
                    let written = fs::write(&path, &now.1);
                    eprintln!("{name} hangs; the input is {}: {written:?}", path.display());
                    std::process::abort();
                }
            }
        });
        Self { now, _end: end }
    }

    fn see(&self, input: &[u8]) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), input.to_vec());
    }
}

/// One input.
///
/// # Errors
/// Where it panics, takes too long or takes too much memory.
pub fn once(target: &Target, input: &[u8], taken: &mut Taken) -> Result<(), Found> {
    let found = |why: String| Err(Found { why, input: input.to_vec() });
    let begun = Instant::now();
    let mut ended = Ok(());
    let peak = peak(|| ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let took = begun.elapsed();
    taken.inputs += 1;
    taken.peak = taken.peak.max(peak);
    taken.slowest = taken.slowest.max(took);
    match ended {
        Err(_) => found("it panics".to_owned()),
        Ok(()) if took > PATIENCE => found(format!("it takes {took:?}")),
        Ok(()) if peak > target.most_mib << 20 => {
            found(format!("it takes {} MiB, over {}", peak >> 20, target.most_mib))
        }
        Ok(()) => Ok(()),
    }
}

/// The corpus, then mutations of it: so many of each file, and until `until` where that is later.
///
/// # Errors
/// The first input that is not well.
pub fn all(target: &Target, seed: u64, until: Option<Instant>) -> Result<Taken, Found> {
    let corpus: Vec<Vec<u8>> = corpus(target.name).into_iter().map(|(_, data)| data).collect();
    let mut taken = Taken::default();
    let watch = Watch::new(target.name);
    for data in &corpus {
        watch.see(data);
        once(target, data, &mut taken)?;
    }
    let mut mutator = Mutator::new(seed);
    let mut round = 0;
    loop {
        let more = until.map_or(round < target.mutations, |until| Instant::now() < until);
        if !more || corpus.is_empty() {
            return Ok(taken);
        }
        for data in &corpus {
            let mut data = data.clone();
            let other = mutator.below(corpus.len());
            mutator.change(&mut data, &corpus[other]);
            watch.see(&data);
            once(target, &data, &mut taken)?;
        }
        round += 1;
    }
}
