//! The kernel's tables of NFS calls, as its client and its server write them to /proc/net/rpc.

use crate::event::{FamilyRef, MetricSet};

/// Calls of NFS 2 (RFC 1094) in the kernel's order, under node_exporter's names.
pub(super) const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create",
    "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

/// Calls of NFS 3 (RFC 1813).
pub(super) const V3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];

/// More than any line has (the calls of NFS 4.2 are some seventy).
const MAX_NUMBERS: usize = 256;

/// The numbers of the line that begins with `key`, with the line and its number from 0; `None` where there is no such
/// line: an old kernel, or one without that version of NFS.
///
/// # Errors
/// The line, where what follows is no list of numbers.
pub(super) fn numbers<'a>(text: &'a str, key: &str) -> Result<Option<Numbers<'a>>, (usize, &'a str)> {
    for (i, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace();
        if fields.next() == Some(key) {
            // The numbers of threads are followed by times with a point, which nothing has filled since Linux 2.6.
            let fields = fields.take(MAX_NUMBERS).take_while(|field| !field.contains('.'));
            let values = fields.map(str::parse).collect::<Result<_, _>>().map_err(|_| (i, line))?;
            return Ok(Some(Numbers { at: (i, line), values }));
        }
    }
    Ok(None)
}

/// A line's numbers.
#[derive(Debug)]
pub(super) struct Numbers<'a> {
    at: (usize, &'a str),
    values: Vec<u64>,
}

impl<'a> Numbers<'a> {
    /// Number `index`, from 0.
    ///
    /// # Errors
    /// The line, where it has fewer.
    pub(super) fn get(&self, index: usize) -> Result<f64, (usize, &'a str)> {
        self.values.get(index).map(|value| *value as f64).ok_or(self.at)
    }
}

/// A sample for each call that has a name; 0 where the kernel does not know it, as from node_exporter.
///
/// # Errors
/// The line, where its first number is not how many follow.
pub(super) fn emit_calls<'a>(
    calls: Option<&Numbers<'a>>,
    names: &[&str],
    proto: &str,
    family: FamilyRef,
    out: &mut MetricSet,
) -> Result<(), (usize, &'a str)> {
    let values = match calls {
        None => &[][..],
        Some(Numbers { at, values }) => match values.split_first() {
            Some((count, values)) if *count == values.len() as u64 => values,
            _ => return Err(*at),
        },
    };
    for (i, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let value = values.get(i).copied().unwrap_or(0);
        out.push(family, &[("proto", proto), ("method", name)], value as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ao_proto::model::MetricType::Counter;

    use super::*;

    /// Scenario: lines that are there, absent, short, broken.
    /// Guarantees: numbers, nothing, or the line.
    #[test]
    fn lines() {
        let text = "net 1 2\nth 8 0 0.000 1.5\nproc2 2 7 9\nbad 1 x\nproc3 3 1\n";
        let net = numbers(text, "net").unwrap().unwrap();
        assert_eq!((net.get(1), net.get(2)), (Ok(2.0), Err((0, "net 1 2"))));
        assert_eq!(numbers(text, "th").unwrap().unwrap().values, [8, 0]);
        assert!(numbers(text, "proc4").unwrap().is_none());
        assert_eq!(numbers(text, "bad").unwrap_err().0, 3);
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        let family = out.family("calls", Counter, "");
        for (key, good) in [("proc2", true), ("none", true), ("proc3", false)] {
            let calls = numbers(text, key).unwrap();
            let result = emit_calls(calls.as_ref(), &["A", "", "C"], "2", family, &mut out);
            assert_eq!(result.is_ok(), good, "{key}");
        }
        let values: Vec<_> = out.samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [7.0, 0.0, 0.0, 0.0]);
    }
}
