//! What the documents promise exists.

use super::hold;
use super::source;

fn documents() -> Vec<source::File> {
    source::files().into_iter().filter(|file| file.is(&[".md"]) && !file.is_fixture()).collect()
}

/// Scenario: every `make TARGET` in a document, within backticks or a code block.
/// Guarantees: the Makefile has that target.
#[test]
fn commands_exist() {
    let makefile = std::fs::read_to_string(source::root().join("Makefile")).unwrap();
    let exists = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let mut wrong = Vec::new();
    for file in documents() {
        let mut in_block = false;
        for (index, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            }
            // The odd pieces stand between backticks.
            let spans: Vec<&str> = if in_block || line.starts_with("    ") {
                vec![line]
            } else {
                line.split('`').skip(1).step_by(2).collect()
            };
            for words in spans.iter().map(|span| span.split_whitespace().collect::<Vec<_>>()) {
                for pair in words.windows(2).filter(|pair| pair[0] == "make") {
                    let target = pair[1].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                    if target.starts_with(|c: char| c.is_ascii_lowercase())
                        && !target.contains('=')
                        && !exists(target)
                    {
                        wrong.push(format!("  {}:{} names `make {target}`", file.path, index + 1));
                    }
                }
            }
        }
    }
    hold("a document names a command that is not in the Makefile", &wrong);
}

/// Scenario: every relative link of a document.
/// Guarantees: the file or folder is there.
#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for file in documents() {
        let folder = source::root().join(&file.path).parent().unwrap().to_owned();
        for (index, line) in file.text.lines().enumerate() {
            for rest in line.split("](").skip(1) {
                let link = rest.split([')', ' ', '#']).next().unwrap_or_default();
                if !link.is_empty()
                    && !link.contains("://")
                    && !link.starts_with("mailto:")
                    && !folder.join(link).exists()
                {
                    wrong.push(format!("  {}:{} links to {link}", file.path, index + 1));
                }
            }
        }
    }
    hold("a document links to a file that is not there", &wrong);
}
