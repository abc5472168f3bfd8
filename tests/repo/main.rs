//! Tests of the repository itself: what the house rules ask of every file is held here, not by anyone's memory.
//!
//! | file | what it holds |
//! |---|---|
//! | `tidy` | file sizes, headers, names, ASCII, no loose ends |
//! | `layers` | who may import whom, no import circles, one place for each dangerous thing |
//! | `manifests` | dependencies: one version list, no default features |
//! | `docs` | the commands and links that the documents name exist |
//! | `source`, `graph` | reading the sources and resolving their imports, for the others |

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod docs;
mod graph;
mod layers;
mod manifests;
mod source;
mod tidy;

/// Fails with all violations at once, one a line.
fn hold(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}\n\n{}\n", violations.join("\n"));
}
