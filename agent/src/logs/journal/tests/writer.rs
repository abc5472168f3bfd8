//! Writes journal files as journald does: data once for each value, entries, and arrays of entries that double.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Regular,
    Compact,
}

/// How fields of a message are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pack {
    No,
    Xz,
    Lz4,
    Zstd,
}

pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    form: Form,
    /// Which boot of the machine entries are of.
    pub(super) boot: u8,
    data: HashMap<Vec<u8>, u64>,
    /// The newest array: where, items, of these used.
    array: (u64, u64, u64),
    entries: u64,
    /// Where each entry begins.
    pub(super) at: Vec<u64>,
}

const HEADER: usize = 272;

impl Writer {
    pub(super) fn new(form: Form, id: u8) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(b"LPKSHHRH");
        bytes[12] = 4 + 8 + if form == Form::Compact { 16 } else { 0 };
        bytes[16] = 1;
        bytes[24..40].copy_from_slice(&[id; 16]);
        bytes[88] = HEADER.to_le_bytes()[0];
        bytes[89] = HEADER.to_le_bytes()[1];
        Self { bytes, form, boot: 1, data: HashMap::new(), array: (0, 0, 0), entries: 0, at: Vec::new() }
    }

    pub(super) fn put(&mut self, at: u64, number: u64) {
        self.bytes[at as usize..at as usize + 8].copy_from_slice(&number.to_le_bytes());
    }

    fn object(&mut self, kind: u8, flags: u8, body: &[u8]) -> u64 {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at, 0);
        self.bytes.extend([kind, flags, 0, 0, 0, 0, 0, 0]);
        self.bytes.extend((body.len() as u64 + 16).to_le_bytes());
        self.bytes.extend(body);
        self.put(136, at as u64);
        at as u64
    }

    fn field(&mut self, text: &[u8], pack: Pack) -> u64 {
        if let Some(known) = self.data.get(text) {
            return *known;
        }
        let mut body = vec![0xaa; if self.form == Form::Compact { 56 } else { 48 }];
        let flags = match pack {
            Pack::No => {
                body.extend(text);
                0
            }
            Pack::Xz => {
                body.extend(b"not looked into");
                1
            }
            Pack::Lz4 => {
                body.extend((text.len() as u64).to_le_bytes());
                let mut block = vec![0; lz4_flex::block::get_maximum_output_size(text.len())];
                let size = lz4_flex::block::compress_into(text, &mut block).unwrap();
                body.extend(&block[..size]);
                2
            }
            Pack::Zstd => {
                body.extend(zstd::bulk::compress(text, 3).unwrap());
                4
            }
        };
        let at = self.object(1, flags, &body);
        self.data.insert(text.to_vec(), at);
        at
    }

    /// An entry of these fields at `at_us`.
    pub(super) fn entry(&mut self, at_us: u64, fields: &[&[u8]], pack: Pack) {
        let pack = |text: &[u8]| if text.starts_with(b"MESSAGE=") { pack } else { Pack::No };
        let data: Vec<u64> = fields.iter().map(|text| self.field(text, pack(text))).collect();
        let mut body = vec![0; 48];
        body[8..16].copy_from_slice(&at_us.to_le_bytes());
        body[16..24].copy_from_slice(&(at_us - START_US).to_le_bytes());
        body[24..40].copy_from_slice(&[self.boot; 16]);
        for at in data {
            match self.form {
                Form::Compact => body.extend((at as u32).to_le_bytes()),
                Form::Regular => body.extend([at.to_le_bytes(), [0x55; 8]].concat()),
            }
        }
        let entry = self.object(3, 0, &body);
        self.at.push(entry);
        self.link(entry);
        self.entries += 1;
        if self.entries == 1 {
            self.put(184, at_us);
        }
        self.put(152, self.entries);
        self.put(192, at_us);
    }

    /// What an entry becomes part of the file by, but for its number.
    fn link(&mut self, entry: u64) {
        let item = if self.form == Form::Compact { 4 } else { 8 };
        let (at, items, used) = self.array;
        if used == items {
            let items = (items * 2).max(4);
            let new = self.object(6, 0, &vec![0; 8 + (items * item) as usize]);
            self.put(if at == 0 { 176 } else { at + 16 }, new);
            self.array = (new, items, 0);
        }
        let place = (self.array.0 + 24 + self.array.2 * item) as usize;
        self.bytes[place..place + item as usize].copy_from_slice(&entry.to_le_bytes()[..item as usize]);
        self.array.2 += 1;
    }

    /// An entry as a service prints it.
    pub(super) fn say(&mut self, n: u64, unit: &str, message: &str) {
        let fields = [
            format!("MESSAGE={message}"),
            format!("_SYSTEMD_UNIT={unit}"),
            "_TRANSPORT=stdout".to_owned(),
            "PRIORITY=6".to_owned(),
        ];
        let fields: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
        self.entry(START_US + n, &fields, Pack::No);
    }

    /// Nothing will be added.
    pub(super) fn archive(&mut self) {
        self.bytes[16] = 2;
    }

    /// As journald has it: with room for more behind.
    pub(super) fn save(&self, path: &Path) {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(1 << 16), 0);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In place, as a mapped file changes.
        let file = fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    }
}

/// Microseconds since 1970 of the first entries.
pub(super) const START_US: u64 = 1_790_000_000_000_000;
