//! All scenarios of `scenarios/*.toml`, side by side, each in namespaces of its own and in a process of its own.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::lab::Lab;
use crate::scenario::Scenario;
use crate::{incident, referee, world};

/// Scenarios at a time: they wait much more than they work.
const AT_ONCE: usize = 8;
/// Names the scenario to the second run.
pub(crate) const SCENARIO: &str = "AO_NETNS_SCENARIO";
/// Names its namespaces.
const LAB: &str = "AO_NETNS_LAB";
/// Runs only those whose names begin so.
const ONLY: &str = "AO_NETNS_ONLY";

/// A line of the report.
#[derive(Serialize)]
struct Verdict {
    name: String,
    proves: String,
    passed: bool,
    seconds: f64,
    /// The failure's last words.
    #[serde(skip_serializing_if = "String::is_empty")]
    said: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/scenarios")
}

fn load(name: &str) -> Scenario {
    let path = folder().join(name).with_extension("toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Scenario: every file of the folder.
/// Guarantees: our answer is the truth of each; `target/report/network-scenarios.json` says what each proves.
#[test]
fn scenarios() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with(&only))
        .collect();
    names.sort();
    if let Err(reason) = Lab::build(&format!("ao{}-try", std::process::id()), &load(&names[0])) {
        assert!(std::env::var_os("REQUIRE_NETNS").is_none(), "{reason}");
        eprintln!("SKIP scenarios: {reason}");
        return;
    }
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(name);
                    verdicts.lock().unwrap().push(verdict);
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    report(&verdicts);
    let failed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.passed).collect();
    let said = failed.iter().map(|verdict| format!("--- {}\n{}\n", verdict.name, verdict.said));
    assert!(
        failed.is_empty(),
        "{} of {} scenarios failed\n{}",
        failed.len(),
        verdicts.len(),
        said.collect::<String>()
    );
}

fn judge(name: &str) -> Verdict {
    let scenario = load(name);
    let begin = Instant::now();
    let lab_name = format!("ao{}-{name}", std::process::id());
    let said = Lab::build(&lab_name, &scenario).map(|lab| {
        let output = world::again_in(&lab.namespace("c"))
            .args(["--exact", "scenarios::inside", "--nocapture"])
            .envs([(SCENARIO, name), (LAB, &lab_name)])
            .output()
            .unwrap();
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success() && said.contains("1 passed"), said)
    });
    let (passed, said) = said.unwrap_or_else(|reason| (false, reason));
    let seconds = (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    eprintln!("{} {name} ({seconds} s): {}", if passed { "ok    " } else { "FAILED" }, scenario.proves);
    if passed {
        eprintln!("{}", said.lines().filter(|line| line.contains(": ")).collect::<Vec<_>>().join("\n"));
    }
    let said = if passed { String::new() } else { said };
    Verdict { name: name.to_owned(), proves: scenario.proves, passed, seconds, said }
}

fn report(verdicts: &[Verdict]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/report/network-scenarios.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let report = serde_json::json!({
        "passed": verdicts.iter().filter(|verdict| verdict.passed).count(),
        "total": verdicts.len(),
        "scenarios": verdicts,
    });
    std::fs::write(file, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
}

/// Scenario: started again by [`judge`] inside a namespace, with the scenario to run.
/// Guarantees: its truth; nothing where none is named.
#[test]
fn inside() {
    let (Ok(name), Ok(lab)) = (std::env::var(SCENARIO), std::env::var(LAB)) else { return };
    let (scenario, lab) = (load(&name), Lab::of(&lab));
    world::runtime().block_on(async {
        match &scenario.mesh {
            Some(incident) => incident::run(&scenario, incident, &lab).await,
            None => referee::run(&scenario, &lab).await,
        }
    });
}
