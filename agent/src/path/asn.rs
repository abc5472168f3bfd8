//! Who holds an address: a table from a local file.
//!
//! A line is `prefix AS [name]`, such as `192.0.2.0/24 64496 EXAMPLE`, or `first last AS [country name]`, as iptoasn.com
//! gives it; words are separated by tabs or blanks, `AS` may stand before the number, 0 stands for nobody, `#` begins a
//! comment. Of several prefixes that hold an address the longest counts.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Lines at most; the whole Internet has about a million.
const MOST: usize = 4_000_000;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsnError {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line.
    #[error(
        "{}:{line}: expected `prefix AS [name]` or `first last AS [country name]`, such as `192.0.2.0/24 64496`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
    },
}

/// Addresses as numbers: IPv4 mapped into IPv6, so that one table holds both.
#[derive(Clone, Copy, Debug)]
struct Row {
    first: u128,
    last: u128,
    number: u32,
}

/// Ranges that do not overlap, in order.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, AsnError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AsnError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|line| AsnError::Line { path: path.to_owned(), line })
    }

    /// The number of the first line that is none is the error.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut rows = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            rows.push(row(line).filter(|_| rows.len() < MOST).ok_or(at + 1)?);
        }
        Ok(Self(flatten(rows)))
    }

    /// The number of the autonomous system; `None` where nobody holds the address.
    pub(super) fn of(&self, address: IpAddr) -> Option<u32> {
        let address = number(address);
        let at = self.0.partition_point(|row| row.first <= address).checked_sub(1)?;
        self.0.get(at).filter(|row| address <= row.last && row.number != 0).map(|row| row.number)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let begin = words.next()?;
    let (first, last) = match begin.split_once('/') {
        Some((address, length)) => prefix(address.parse().ok()?, length.parse().ok()?)?,
        None => {
            let [first, last] = [begin, words.next()?].map(|word| word.parse::<IpAddr>().ok());
            let (first, last) = (first?, last?);
            (first.is_ipv4() == last.is_ipv4()).then_some((number(first), number(last)))?
        }
    };
    let word = words.next()?;
    let digits = word.strip_prefix("AS").unwrap_or(word);
    (first <= last).then_some(Row { first, last, number: digits.parse().ok()? })
}

fn prefix(address: IpAddr, length: u32) -> Option<(u128, u128)> {
    let bits = if address.is_ipv4() { length.checked_add(96)? } else { length };
    let host = u128::MAX.checked_shr(bits).unwrap_or(0);
    let fits = bits <= Ipv6Addr::BITS;
    fits.then(|| (number(address) & !host, number(address) | host))
}

/// Makes ranges within ranges a sequence of ranges: the inner ones cut the outer ones.
fn flatten(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| (row.first, std::cmp::Reverse(row.last)));
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    let mut open: Vec<Row> = Vec::new();
    let mut at = 0_u128;
    let close = |open: &mut Vec<Row>, out: &mut Vec<Row>, at: &mut u128, until: Option<u128>| {
        while let Some(top) = open.last().copied() {
            let ends = until.is_none_or(|until| top.last < until);
            let last = if ends { top.last } else { until.map_or(top.last, |until| until.saturating_sub(1)) };
            if *at <= last && until != Some(*at) {
                out.push(Row { first: *at, last, number: top.number });
                *at = last.saturating_add(1);
            }
            if !ends {
                break;
            }
            open.pop();
        }
    };
    for row in rows {
        close(&mut open, &mut out, &mut at, Some(row.first));
        at = row.first;
        open.push(row);
    }
    close(&mut open, &mut out, &mut at, None);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# who holds what\n10.0.0.0/8 AS64500 OUTER\n10.1.0.0/16\t64501\n10.1.2.0/24 64502\n\
        192.0.2.0\t192.0.2.127\t64503\tDE\tEXAMPLE Ltd\n192.0.2.128 192.0.2.255 0 None Not routed\n\
        2001:db8::/32 64504\n\n";

    /// Scenario: prefixes within prefixes, ranges, both families.
    /// Guarantees: the longest prefix counts; nobody is nobody.
    #[test]
    fn lookup() {
        let table = Table::parse(TEXT).unwrap();
        for (address, expected) in [
            ("10.0.0.0", Some(64500)),
            ("10.1.0.9", Some(64501)),
            ("10.1.2.0", Some(64502)),
            ("10.1.2.255", Some(64502)),
            ("10.1.3.0", Some(64501)),
            ("10.255.255.255", Some(64500)),
            ("11.0.0.0", None),
            ("192.0.2.5", Some(64503)),
            ("192.0.2.200", None),
            ("2001:db8:ffff::1", Some(64504)),
            ("2001:db9::", None),
            ("::", None),
        ] {
            assert_eq!(table.of(address.parse().unwrap()), expected, "{address}");
        }
    }

    /// Scenario: lines that are none.
    /// Guarantees: refused with their number.
    #[test]
    fn refused() {
        for line in
            ["10.0.0.0/33 1", "10.0.0.0/8", "10.0.0.9 10.0.0.1 5", "10.0.0.1 ::1 5", "x 5", "1.2.3.4/8 ASX"]
        {
            assert_eq!(Table::parse(&format!("\n{line}\n")).err(), Some(2), "{line}");
        }
    }

    proptest! {
        /// Scenario: any prefixes; any text.
        /// Guarantees: the table gives what looking through all of them gives; no panic.
        #[test]
        fn as_all_lines(
            prefixes in proptest::collection::vec((any::<u32>(), 0_u32..=32, 1_u32..99), 0..40),
            asked in proptest::collection::vec(any::<u32>(), 0..40),
            text: String,
        ) {
            let rows: Vec<(u128, u128, u32)> = prefixes
                .iter()
                .map(|(address, length, number)| {
                    let (first, last) = prefix(IpAddr::from(address.to_be_bytes()), *length).unwrap();
                    (first, last, *number)
                })
                .collect();
            let lines = prefixes.iter().map(|(address, length, number)| {
                format!("{}/{length} {number}\n", IpAddr::from(address.to_be_bytes()))
            });
            let table = Table::parse(&lines.collect::<String>()).unwrap();
            for address in asked.into_iter().chain(prefixes.iter().map(|(address, ..)| *address)) {
                let address = IpAddr::from(address.to_be_bytes());
                let within = rows.iter().filter(|(first, last, _)| (*first..=*last).contains(&number(address)));
                let narrowest = within.clone().map(|(first, last, _)| last - first).min();
                let right: Vec<u32> = within
                    .filter(|(first, last, _)| Some(last - first) == narrowest)
                    .map(|(.., number)| *number)
                    .collect();
                let found = table.of(address);
                prop_assert!(found.is_none() == right.is_empty(), "{:?} {:?}", found, right);
                prop_assert!(found.is_none_or(|found| right.contains(&found)), "{:?} {:?}", found, right);
            }
            let _any = Table::parse(&text);
        }
    }
}
