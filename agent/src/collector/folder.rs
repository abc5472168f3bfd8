//! Lists folders of /sys: the devices of a class, the parts of a device.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::api::CollectError;

/// A folder or file, with its name as a label (what is no UTF-8 in it is replaced).
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// What is in `dir` under names that `wanted` takes, in order of the names; nothing where there is no such folder.
///
/// # Errors
/// [`CollectError::Io`] where the folder is there and cannot be listed.
pub(super) fn list(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry>, CollectError> {
    Ok(look(dir, wanted)?.unwrap_or_default())
}

/// The devices of a class; [`CollectError::NoData`] with `what` where the kernel has no such class.
///
/// # Errors
/// As [`list`].
pub(super) fn class(
    dir: &Path,
    what: &'static str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Entry>, CollectError> {
    look(dir, wanted)?.ok_or(CollectError::NoData(what))
}

/// `None` where there is no such folder: most hosts have few of the classes that are looked for, and each look costs.
fn look(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<Vec<Entry>>, CollectError> {
    let failed = |source| CollectError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(why) => return Err(failed(why)),
    };
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if wanted(&name) {
            list.push(Entry { name, path: entry.path() });
        }
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(list))
}

/// The number behind the prefix: `cpu12` is number `12` of `cpu`; `cpuidle` is none.
pub(super) fn number<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names of devices and of what lies beside them.
    /// Guarantees: a number is digits to the end.
    #[test]
    fn numbers() {
        assert_eq!(number("cpu12", "cpu"), Some("12"));
        for other in ["cpu", "cpuidle", "cpu1x", "xcpu1"] {
            assert_eq!(number(other, "cpu"), None, "{other}");
        }
    }

    /// Scenario: a folder that is not there, an empty one, a file in its place, one with entries.
    /// Guarantees: only an absent class is no data; entries come in order.
    #[test]
    fn folders() {
        let dir = tempfile::tempdir().unwrap();
        let absent = class(&dir.path().join("x"), "x", |_| true);
        assert!(matches!(absent, Err(CollectError::NoData("x"))));
        assert_eq!(class(dir.path(), "x", |_| true).unwrap().len(), 0);
        for name in ["b", "a", "c"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            list(dir.path(), |name| name != "c").unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(list(&dir.path().join("a"), |_| true).unwrap().len(), 0);
    }
}
