//! What must be known of files after they have lost their names, and this process its memory: which name's lines a file
//! held, how it began, and how large it was when it was last seen.
//!
//! One file, `files`, a line of JSON for each thing learned; what is learned later counts. It is not fsynced: what a
//! killed process wrote is there, and what a machine without power loses of it, it loses of the logs too.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ao_proto::model::FileId;
use serde::{Deserialize, Serialize};

/// Lines after which the file is written anew, if most of them are of files that are gone.
const MOST_LINES: usize = 16_384;

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The name whose lines it holds.
    pub stem: PathBuf,
    /// Hash of its first line.
    pub print: FileId,
    /// Its size, once it has lost its name.
    pub size: Option<u64>,
    /// Where what was copied of it begins.
    pub from: u64,
    /// Files are begun in this order.
    turn: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Learned {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stem: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    print: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

/// All of them.
pub(super) struct Notes {
    path: PathBuf,
    file: File,
    known: HashMap<FileId, Note>,
    turn: u64,
    lines: usize,
}

impl Notes {
    /// Reads what was noted.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let (known, turn) = match fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Default::default(),
            Err(err) => return Err(err),
        };
        let file = rewrite(&path, &known)?;
        Ok(Self { path, file, lines: known.len(), known, turn })
    }

    /// The files that are known, in the order in which they were begun.
    pub(super) fn all(&self) -> Vec<(FileId, Note)> {
        let mut all: Vec<_> = self.known.iter().map(|(id, note)| (*id, note.clone())).collect();
        all.sort_by_key(|(_, note)| note.turn);
        all
    }

    /// Hash of the first line of a file.
    pub(super) fn print(&self, id: FileId) -> Option<FileId> {
        self.known.get(&id).map(|note| note.print)
    }

    /// A file is read whose lines are those of `stem`.
    pub(super) fn begun(&mut self, id: FileId, stem: &Path, print: FileId) -> io::Result<()> {
        if self.known.get(&id).is_some_and(|note| note.stem == stem) {
            return Ok(());
        }
        self.note(Learned {
            file: text_of(id),
            stem: Some(stem.to_path_buf()),
            print: Some(text_of(print)),
            ..Learned::default()
        })
    }

    /// It has lost its name, and is of this size; what is copied of it begins at `from`.
    pub(super) fn sized(&mut self, id: FileId, size: u64, from: u64) -> io::Result<()> {
        if self.known.get(&id).is_some_and(|note| note.size == Some(size) && note.from == from) {
            return Ok(());
        }
        self.note(Learned { file: text_of(id), size: Some(size), from: Some(from), ..Learned::default() })
    }

    /// Nothing more will be asked of it.
    pub(super) fn gone(&mut self, id: FileId) -> io::Result<()> {
        if !self.known.contains_key(&id) {
            return Ok(());
        }
        self.note(Learned { file: text_of(id), gone: true, ..Learned::default() })
    }

    fn note(&mut self, learned: Learned) -> io::Result<()> {
        // A path that is not text cannot be noted.
        let mut line = serde_json::to_vec(&learned).map_err(io::Error::other)?;
        line.push(b'\n');
        learn(&mut self.known, &mut self.turn, learned);
        self.file.write_all(&line)?;
        self.lines += 1;
        if self.lines > MOST_LINES.max(4 * self.known.len()) {
            self.file = rewrite(&self.path, &self.known)?;
            self.lines = self.known.len();
        }
        Ok(())
    }
}

/// What lines say together, and how many files they have begun.
pub(super) fn read(lines: &[u8]) -> (HashMap<FileId, Note>, u64) {
    let (mut known, mut turn) = (HashMap::new(), 0);
    // The last line may be cut.
    for learned in lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
        learn(&mut known, &mut turn, learned);
    }
    (known, turn)
}

/// What is known, written anew; open at its end.
fn rewrite(path: &Path, known: &HashMap<FileId, Note>) -> io::Result<File> {
    let mut all: Vec<_> = known.iter().collect();
    all.sort_by_key(|(_, note)| note.turn);
    let mut text = Vec::new();
    for (id, note) in all {
        let learned = Learned {
            file: text_of(*id),
            stem: Some(note.stem.clone()),
            print: Some(text_of(note.print)),
            size: note.size,
            from: Some(note.from),
            gone: false,
        };
        serde_json::to_writer(&mut text, &learned)?;
        text.push(b'\n');
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).open(path)
}

fn learn(known: &mut HashMap<FileId, Note>, turn: &mut u64, learned: Learned) {
    let Some(id) = id_of(&learned.file) else { return };
    if learned.gone {
        known.remove(&id);
        return;
    }
    if let (Some(stem), Some(print)) = (learned.stem, learned.print.as_deref().and_then(id_of)) {
        *turn += 1;
        known.insert(id, Note { stem, print, size: None, from: 0, turn: *turn });
    }
    if let Some(note) = known.get_mut(&id) {
        note.size = learned.size.or(note.size);
        note.from = learned.from.unwrap_or(note.from);
    }
}

/// Its 32 hex digits.
pub(super) fn text_of(id: FileId) -> String {
    format!("{:032x}", u128::from_be_bytes(id.0))
}

/// The other way round.
pub(super) fn id_of(text: &str) -> Option<FileId> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(FileId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FileId = FileId([1; 16]);
    const B: FileId = FileId([2; 16]);
    const PRINT: FileId = FileId([9; 16]);

    /// Scenario: files are begun, lose their names, grow, go; the process dies while it writes a line; far more are
    /// begun and go than the file may have lines.
    /// Guarantees: what was learned last is there, in order; the file stays small.
    #[test]
    fn learned_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("files");
        let open = || Notes::open(path.clone()).unwrap();
        let mut notes = open();
        notes.begun(B, Path::new("/l/b.log"), PRINT).unwrap();
        notes.begun(A, Path::new("/l/a.log"), PRINT).unwrap();
        notes.sized(A, 10, 5).unwrap();
        notes.sized(A, 20, 5).unwrap();
        for n in 0..20_000_u128 {
            let id = FileId((n << 8).to_be_bytes());
            notes.begun(id, Path::new("/l/c.log"), PRINT).unwrap();
            notes.gone(id).unwrap();
        }
        notes.file.write_all(b"{\"file\":\"0101").unwrap();
        drop(notes);
        assert!(fs::metadata(&path).unwrap().len() < 4 << 20);
        let notes = open();
        let of = |(id, note): (FileId, Note)| (id, note.stem, note.size, note.from);
        let all: Vec<_> = notes.all().into_iter().map(of).collect();
        assert_eq!(all, [(B, "/l/b.log".into(), None, 0), (A, "/l/a.log".into(), Some(20), 5)]);
    }

    /// Scenario: any bytes where notes should be.
    /// Guarantees: it begins anew.
    #[test]
    fn damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("files");
        fs::write(&path, b"\xff\x00\n{}\n{\"file\":\"x\"}\n[]\n{\"file\":1}\n").unwrap();
        assert!(Notes::open(path).unwrap().all().is_empty());
    }
}
