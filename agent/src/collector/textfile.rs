//! Metrics that scripts leave in files: every `*.prom` of some folders, in the Prometheus text format.
//!
//! One file that is wrong is left out whole, is told by `node_textfile_scrape_error`, and is said once; the others count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use ao_proto::model::MetricType::{self, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, BuildError, Built, CollectError, Collector};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;
use crate::exposition::{self, Family, Sample};
use crate::glob::Pattern;

/// Folders that a pattern may be looked for in; more are a mistake such as `/**`.
const MAX_FOLDERS: usize = 10_000;

/// Options of the collector `textfile`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders of the host, as absolute paths; `*`, `?` and `[a-z]` stand for parts of a name, `**` for any number of
    /// folders. None by default.
    pub directory: Vec<PathBuf>,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config { directory } = api::section(section)?;
    let parsed = directory.into_iter().map(|path| match Pattern::parse(&path) {
        Ok(pattern) => Ok((path, pattern)),
        Err(why) => Err(BuildError::Path { option: "directory", path, why }),
    });
    let folders = parsed.collect::<Result<_, _>>()?;
    Ok(Box::new(Textfile { folders, file: TextFile::default(), said: BTreeMap::new() }))
}

struct Textfile {
    folders: Vec<(PathBuf, Pattern)>,
    file: TextFile,
    /// What was said of each file or folder: not said again until it changes.
    said: BTreeMap<String, String>,
}

/// What was seen of a metric in this round.
struct Seen {
    kind: MetricType,
    help: Option<String>,
    file: String,
}

#[derive(Default)]
struct Round {
    seen: HashMap<String, Seen>,
    /// Name and labels of each sample.
    series: HashSet<String>,
    mtimes: Vec<(String, f64)>,
    wrong: BTreeMap<String, String>,
}

impl Collector for Textfile {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut round = Round::default();
        for (path, pattern) in &self.folders {
            for folder in folders(path, pattern, &roots.root) {
                let real = below(&roots.root, &folder);
                match fs::read_dir(&real) {
                    Ok(_) => {}
                    Err(why) => {
                        round.wrong.insert(folder.display().to_string(), why.to_string());
                        continue;
                    }
                }
                for entry in folder::list(&real, |name| name.ends_with(".prom"))? {
                    let name = folder.join(&entry.name).display().to_string();
                    if let Err(why) = read(&entry.path, &name, &mut self.file, &mut round, out) {
                        round.wrong.insert(name, why);
                    }
                }
            }
        }
        if !round.mtimes.is_empty() {
            let help = "When a file that was read was last written, in seconds since 1970.";
            let family = out.family("node_textfile_mtime_seconds", Gauge, help);
            for (file, mtime) in &round.mtimes {
                out.push(family, &[("file", file)], *mtime);
            }
        }
        let error = f64::from(u8::from(!round.wrong.is_empty()));
        out.one("node_textfile_scrape_error", Gauge, "Whether a file or folder could not be used.", error);
        for (file, why) in &round.wrong {
            if self.said.get(file) != Some(why) {
                tracing::warn!(file, error = why, "a file of metrics is left out, or a part of it");
            }
        }
        self.said = round.wrong;
        Ok(())
    }
}

/// A path of the host as it is seen from here.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The folders that are meant, as the host's paths. A path without wildcards is itself, there or not.
fn folders(path: &Path, pattern: &Pattern, root: &Path) -> Vec<PathBuf> {
    if !path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte)) {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    let mut left = vec![pattern.base().to_owned()];
    let mut looked = 0;
    while let Some(dir) = left.pop() {
        looked += 1;
        if looked > MAX_FOLDERS {
            break;
        }
        for entry in fs::read_dir(below(root, &dir)).into_iter().flatten().flatten() {
            let path = dir.join(entry.file_name());
            // A link to a folder is one here, but not a way further down: it could lead back up.
            let kind = entry.file_type().ok();
            let is_link = kind.is_some_and(|kind| kind.is_symlink());
            if kind.is_some_and(|kind| kind.is_dir()) && pattern.reaches_into(&path) {
                left.push(path.clone());
            }
            if pattern.matches(&path)
                && (!is_link && kind.is_some_and(|k| k.is_dir()) || is_link && entry.path().is_dir())
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Reads one file into `out`.
///
/// # Errors
/// Why it was left out, or a part of it.
fn read(
    path: &Path,
    name: &str,
    file: &mut TextFile,
    round: &mut Round,
    out: &mut MetricSet,
) -> Result<(), String> {
    let mtime = fs::metadata(path).and_then(|meta| meta.modified()).map_err(|why| why.to_string())?;
    let bytes = file.bytes(path).map_err(|why| why.to_string())?;
    let text = str::from_utf8(bytes).map_err(|why| format!("it is no UTF-8: {why}"))?;
    let families = exposition::parse(text).map_err(|why| why.to_string())?;
    if families.iter().any(|family| family.samples.iter().any(|sample| sample.timestamp_ms.is_some())) {
        return Err(
            "it has timestamps, which cannot be kept: the time of a sample is that of the reading".to_owned()
        );
    }
    let mut wrong = Ok(());
    for family in &families {
        if let Err(why) = round.take(family, name, out) {
            wrong = wrong.and(Err(why));
        }
    }
    let mtime = mtime.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs() as f64);
    round.mtimes.push((name.to_owned(), mtime));
    wrong
}

impl Round {
    /// Adds a family, unless another file says something else of the same metric; of doubled samples the first stays.
    fn take(&mut self, family: &Family<'_>, file: &str, out: &mut MetricSet) -> Result<(), String> {
        let name = family.name;
        let help = family.help.as_deref();
        let seen = self.seen.entry(name.to_owned()).or_insert_with(|| Seen {
            kind: family.kind,
            help: help.map(str::to_owned),
            file: file.to_owned(),
        });
        if seen.kind != family.kind {
            return Err(format!("the type of {name} is another one in {}", seen.file));
        }
        if help.is_some() && seen.help.as_deref() != help {
            return Err(format!("the help text of {name} is another one in {}", seen.file));
        }
        let given = format!("Read from {}.", seen.file);
        let number = out.family(name, family.kind, seen.help.as_deref().unwrap_or(&given));
        let mut wrong = Ok(());
        for sample in &family.samples {
            if !self.series.insert(identity(name, sample)) {
                wrong = Err(format!("a sample of {name} is there twice"));
                continue;
            }
            let labels: Vec<_> = sample.labels.iter().map(|(name, value)| (*name, &**value)).collect();
            out.push_suffixed(number, sample.suffix, &labels, sample.value);
        }
        wrong
    }
}

/// Name and labels, the same for any order of the labels; an empty label is none.
fn identity(name: &str, sample: &Sample<'_>) -> String {
    let mut labels: Vec<_> = sample.labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    labels.sort();
    format!("{name}{}{labels:?}", sample.suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(roots: &Roots, directory: &str) -> String {
        let section = serde_yaml_ng::from_str(&format!("directory: {directory}")).unwrap();
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        build(Some(section)).unwrap().collect(roots, &mut out).unwrap();
        out.exposition()
    }

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let roots = Roots { root: dir.path().to_owned(), ..Roots::default() };
        (dir, roots)
    }

    /// Scenario: files that are good, broken off, stamped, of another name, and contradict each other.
    /// Guarantees: the good ones are read; the first of two help texts, types and samples stays; the error is told.
    #[test]
    fn files() {
        let (_dir, roots) = host(&[
            ("var/t/a.prom", "# HELP x Good.\n# TYPE x counter\nx{f=\"a\"} 1\nx{f=\"b\",e=\"\"} 2\n"),
            ("var/t/b.prom", "# HELP x Other.\n# TYPE x counter\nx{f=\"c\"} 1\n"),
            ("var/t/c.prom", "# TYPE x gauge\nx{f=\"d\"} 1\n"),
            ("var/t/d.prom", "# TYPE x counter\nx{f=\"b\"} 3\nx{f=\"e\"} 1\n"),
            ("var/t/e.prom", "y 1\nz 2"),
            ("var/t/f.prom", "z 1 1000\n"),
            ("var/t/g.prom.tmp", "z 1\n"),
            ("var/t/h.prom", "q 1\n"),
        ]);
        let text = collect(&roots, "[/var/t]");
        let series: Vec<_> =
            text.lines().filter(|l| !l.starts_with('#') && !l.starts_with("node_")).collect();
        assert_eq!(series, ["q 1", "x{f=\"a\"} 1", "x{f=\"b\",e=\"\"} 2", "x{f=\"e\"} 1"]);
        assert!(text.contains("# HELP x Good.\n") && text.contains("# HELP q Read from /var/t/h.prom.\n"));
        assert!(text.contains("node_textfile_scrape_error 1\n"));
        assert_eq!(text.matches("\nnode_textfile_mtime_seconds{").count(), 5, "{text}");
        assert!(text.contains("node_textfile_mtime_seconds{file=\"/var/t/a.prom\"} "));
    }

    /// Scenario: no folder, one that is not there, patterns of folders.
    /// Guarantees: only the absent one is an error; patterns find folders, not files, and nothing is no error.
    #[test]
    fn folders_and_patterns() {
        let (_dir, roots) =
            host(&[("var/a/t/x.prom", "x 1\n"), ("var/b/t/y.prom", "y 1\n"), ("var/c/t.prom", "z 1\n")]);
        assert!(collect(&roots, "[]").contains("node_textfile_scrape_error 0\n"));
        assert!(collect(&roots, "[/nowhere]").contains("node_textfile_scrape_error 1\n"));
        for pattern in ["[/var/*/t]", "[/**/t]", "[/var/a/t, '/var/[b]/t']"] {
            let text = collect(&roots, pattern);
            assert!(text.contains("\nx 1\n") && text.contains("\ny 1\n"), "{pattern}: {text}");
            assert!(!text.contains("\nz 1\n") && text.contains("node_textfile_scrape_error 0\n"));
        }
        assert!(collect(&roots, "['/var/x*']").contains("node_textfile_scrape_error 0\n"));
        let error = build(Some(serde_yaml_ng::from_str("directory: [relative]").unwrap())).err().unwrap();
        assert!(error.to_string().contains("directory: relative: it is not an absolute path"), "{error}");
    }
}
