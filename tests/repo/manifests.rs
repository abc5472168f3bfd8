//! Dependencies: every version stands once, in the root manifest, without default features.

use super::hold;
use super::source::{self, File};

/// The dependency lines of a manifest: number from 1, name, the rest.
fn dependencies(file: &File) -> Vec<(usize, &str, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if let Some((name, rest)) = line.split_once('=')
            && inside
            && !line.starts_with('#')
        {
            found.push((index + 1, name.trim(), rest.trim()));
        }
    }
    found
}

/// Scenario: every dependency of every manifest.
/// Guarantees: versions stand in the root alone; nobody gets features that nobody asked for.
#[test]
fn no_default_features() {
    let mut wrong = Vec::new();
    // A workspace of its own, which can take nothing from the root.
    let ours = |file: &&File| file.is(&["Cargo.toml"]) && !file.path.contains("/cargo-fuzz/");
    for file in source::files().iter().filter(ours) {
        for (line, name, rest) in dependencies(file) {
            let of_root = name.ends_with(".workspace") || rest.contains("workspace = true");
            let at = format!("  {}:{line} {name}", file.path);
            if file.path == "Cargo.toml"
                && !rest.contains("default-features = false")
                && !rest.contains("path = ")
            {
                wrong.push(format!("{at}: add default-features = false and name the features it needs"));
            }
            if file.path != "Cargo.toml" && !of_root {
                wrong.push(format!(
                    "{at}: put the version into the root Cargo.toml and write {name}.workspace = true"
                ));
            }
            if rest.contains("default-features = true") {
                wrong.push(format!("{at}: name the features it needs instead of the default ones"));
            }
        }
    }
    hold("a dependency brings more than was asked for", &wrong);
}

/// Scenario: the manifests of our crates.
/// Guarantees: their arrows are those of tests/repo/layers.rs, also for tests and build scripts.
#[test]
fn crate_arrows() {
    let allowed: [(&str, &[&str]); 4] = [
        ("agent/Cargo.toml", &["ao-common", "ao-proto"]),
        ("aggregator/Cargo.toml", &["ao-common", "ao-proto"]),
        ("proto/common/Cargo.toml", &[]),
        ("proto/Cargo.toml", &[]),
    ];
    let mut wrong = Vec::new();
    for file in source::files() {
        let Some((_, allowed)) = allowed.iter().find(|(path, _)| *path == file.path) else { continue };
        for (line, name, _) in dependencies(&file) {
            let name = name.trim_end_matches(".workspace");
            if name.starts_with("ao-") && !allowed.contains(&name) {
                wrong.push(format!("  {}:{line} depends on {name}", file.path));
            }
        }
    }
    hold("a crate depends on another that it must not know", &wrong);
}

/// Scenario: every test binary beside the unit tests: those that a manifest names, and those in a crate's `tests/`.
/// Guarantees: `make test` runs it.
#[test]
fn every_test_binary_is_run() {
    let files = source::files();
    let makefile = files.iter().find(|file| file.path == "Makefile").map_or("", |file| file.text.as_str());
    let mut names = Vec::new();
    for file in &files {
        if let Some((krate, inside)) = file.path.split_once("/tests/")
            && files.iter().any(|other| other.path == format!("{krate}/Cargo.toml"))
            && let Some(name) = inside.strip_suffix("/main.rs").or_else(|| inside.strip_suffix(".rs"))
            && !name.contains('/')
        {
            names.push(name.to_owned());
        }
        if file.is(&["Cargo.toml"]) {
            let tests = file.text.split("[[test]]").skip(1);
            names.extend(tests.filter_map(|test| Some(test.split('"').nth(1)?.to_owned())));
        }
    }
    names.retain(|name| !makefile.contains(&format!("--test {name}\n")));
    hold("add `$(RUN) NAME --workspace --test NAME` to the target test of the Makefile for", &names);
}
