//! Tests of the console's files.

use std::path::Path;
use std::process::Command;

use super::*;

/// Scenario: every file of the page is searched for addresses of other hosts, inline code and parsed HTML.
/// Guarantees: the page needs nothing but this aggregator, obeys its own policy, and puts data in as text only.
#[test]
fn the_page_stands_alone() {
    for (name, _, content) in ASSETS.into_iter().chain([("index.html", "", PAGE)]) {
        // The one address that is a name and not a place, and one that is an example for people.
        let content = content
            .replace("http://www.w3.org/2000/svg", "")
            .replace("OTLP_ENDPOINT=http://127.0.0.1:4317", "");
        for foreign in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!content.contains(foreign), "{name} mentions {foreign}");
        }
        for parsed in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"]
        {
            assert!(!content.contains(parsed), "{name} uses {parsed}");
        }
        assert!(content.lines().count() < 400 && content.is_ascii(), "{name} is too long or not ASCII");
    }
    for inline in ["<style", "style=", "onclick", "<script>"] {
        assert!(!PAGE.contains(inline), "the page has {inline}");
    }
}

/// Scenario: the files that the page and the scripts name, and the folder that they come from.
/// Guarantees: every one of them is served, and none lies in the folder unserved.
#[test]
fn every_file_is_served() {
    let served = |name: &str| ASSETS.iter().any(|(served, ..)| *served == name);
    for named in PAGE.split("\"/console/").skip(1) {
        let name = named.split('"').next().unwrap();
        assert!(served(name), "{name} is not served");
    }
    for (script, _, content) in ASSETS {
        for import in content.split("from \"./").skip(1) {
            let name = import.split('"').next().unwrap();
            assert!(served(name), "{script} imports {name}");
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
    for sub in ["js", "css"] {
        for file in std::fs::read_dir(folder.join(sub)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(served(&name), "{name} lies in {sub} but is not served");
        }
    }
}

/// Scenario: node parses each script as a module.
/// Guarantees: no script has a syntax error.
#[test]
fn scripts_parse() {
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: node is not on this machine");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, content) in ASSETS {
        if kind == JS {
            // The suffix tells node that it is a module.
            let file = dir.path().join(name).with_extension("mjs");
            std::fs::write(&file, content).unwrap();
            let checked = Command::new("node").arg("--check").arg(&file).output().unwrap();
            assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        }
    }
}
