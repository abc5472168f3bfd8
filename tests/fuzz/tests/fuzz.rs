//! Every target over its corpus and over mutations of it: always the same ones, so that a failure comes again.

use std::fmt::Write as _;
use std::path::Path;

use ao_fuzz::memory::Counting;
use ao_fuzz::{run, targets};

#[global_allocator]
static MEMORY: Counting = Counting;

/// Scenario: every file of every corpus, then some hundred mutations of each from a fixed seed.
/// Guarantees: no panic, no input that takes long, no memory beyond the target's bound.
#[test]
fn corpus_and_mutations() {
    let mut table = String::new();
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let (even, odd): (Vec<_>, Vec<_>) =
            targets::all().into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        let half = |targets: Vec<(usize, targets::Target)>| {
            let run = |(_, target): (usize, targets::Target)| (target, run::all(&target, 1, None));
            targets.into_iter().map(run).collect::<Vec<_>>()
        };
        let odd = scope.spawn(move || half(odd));
        let mut all = half(even);
        all.extend(odd.join().expect("it runs to its end"));
        for (target, result) in all {
            match result {
                Ok(taken) => {
                    let _infallible = writeln!(table, "{:20} {taken:?}", target.name);
                }
                Err(found) => {
                    let input = String::from_utf8_lossy(&found.input).chars().take(200).collect::<String>();
                    wrong.push(format!("{}: {}: {input:?}", target.name, found.why));
                }
            }
        }
    });
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scenario: the folders of the corpus.
/// Guarantees: each belongs to a target and has files; all are small together.
#[test]
fn corpus_is_small_and_complete() {
    let names: Vec<&str> = targets::all().iter().map(|target| target.name).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        let name = entry.expect("an entry").file_name();
        assert!(names.iter().any(|known| name == **known), "{name:?} is no target's");
    }
    let files: Vec<(usize, usize)> = names
        .iter()
        .map(|name| run::corpus(name))
        .map(|files| (files.len(), files.iter().map(|(_, data)| data.len()).sum()))
        .collect();
    assert!(files.iter().all(|(n, _)| *n > 0), "{files:?}");
    let bytes: usize = files.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes < 200_000, "{bytes} bytes");
}
