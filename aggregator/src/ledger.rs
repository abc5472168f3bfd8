//! The ledger: for every node, source and class, received = delivered + dropped{reason} + in flight, per sink, in
//! records and bytes. Counted from the frames' headers; nothing here decodes a payload.
//!
//! A frame is counted at a sink once all of it is settled there, and its parts get shares of its bytes that add up to
//! all of them: so what is in flight is exactly the frames that are not settled, and nothing when all are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_proto::v1::{Class, FrameHeader};

/// Accounts that are kept apart; what comes beyond them is counted under [`OTHER`], so that an agent that invents
/// sources cannot fill our memory.
const MAX_ACCOUNTS: usize = 20_000;
/// Bytes of a source's name; ours are shorter.
const MAX_SOURCE: usize = 32;
/// Source of what has no account of its own.
const OTHER: &str = "other";
/// In place of a sink: what no sink will ever see.
pub const ALL_SINKS: &str = "journal";

/// Records and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Samples, lines or spans.
    pub records: u64,
    /// Payload bytes as read at the source.
    pub bytes: u64,
}

/// What one line of the ledger is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Agent's id.
    pub agent: [u8; 16],
    /// The ledger's source: "collector", "logs", ...
    pub source: String,
    /// Class of the frames.
    pub class: i32,
}

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// Durable in the aggregator's journal.
    Received,
    /// Accepted by a sink's backend.
    Delivered(&'static str),
    /// Given up for a sink ("journal" for all sinks), with the reason.
    Dropped(&'static str, &'static str),
    /// Sent again to a sink after a crash or an unclear answer.
    Resent(&'static str),
}

/// An account's sheet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Durable in the journal.
    pub received: Count,
    /// What became of it, for each sink that takes the class or ever took of it.
    pub sinks: BTreeMap<&'static str, Fate>,
}

/// What became of an account's records at one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Accepted by its backend.
    pub delivered: Count,
    /// Given up, by reason.
    pub dropped: BTreeMap<&'static str, Count>,
    /// Sent again; not part of the balance.
    pub resent: Count,
}

/// What is neither delivered nor dropped; below zero it is a fault of ours, and is shown as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Samples, lines or spans.
    pub records: i64,
    /// Payload bytes.
    pub bytes: i64,
}

/// Shared by ingest, the fan-out workers and the console.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    lines: BTreeMap<Account, BTreeMap<Entry, Count>>,
    /// Sinks that are configured, with their classes.
    sinks: BTreeSet<(i32, &'static str)>,
}

impl Ledger {
    /// A sink is there and takes this class: what it has not seen yet is in flight for it.
    pub fn open(&self, sink: &'static str, class: Class) {
        self.lock().sinks.insert((class.into(), sink));
    }

    /// Adds to a line. For a part of a frame (a refused record) pass that part's count.
    pub fn add(&self, header: &FrameHeader, entry: Entry, count: Count) {
        self.add_to(Account::of(header), entry, count);
    }

    /// Adds to an account's line.
    pub fn add_to(&self, account: Account, entry: Entry, count: Count) {
        let mut books = self.lock();
        let known = books.lines.len() < MAX_ACCOUNTS || books.lines.contains_key(&account);
        let account = if known { account } else { Account::other(account.class) };
        books.lines.entry(account).or_default().entry(entry).or_default().add(count);
    }

    /// All lines.
    pub fn lines(&self) -> Vec<(Account, Entry, Count)> {
        let books = self.lock();
        let of = |(account, lines): (&Account, &BTreeMap<Entry, Count>)| {
            lines.iter().map(|(entry, count)| (account.clone(), *entry, *count)).collect::<Vec<_>>()
        };
        books.lines.iter().flat_map(of).collect()
    }

    /// The sheets by node, source and class; agents of the same node (its state folder was lost) share one. `name`
    /// gives an agent's node.
    pub fn by_node(&self, name: impl Fn(&[u8; 16]) -> String) -> BTreeMap<(String, String, i32), Sheet> {
        let books = self.lock();
        let mut sheets: BTreeMap<(String, String, i32), Sheet> = BTreeMap::new();
        for (account, lines) in &books.lines {
            let node = if account.agent == [0; 16] { OTHER.to_owned() } else { name(&account.agent) };
            let sheet = sheets.entry((node, account.source.clone(), account.class)).or_default();
            for (entry, count) in lines {
                sheet.add(*entry, *count);
            }
        }
        for ((_, _, class), sheet) in &mut sheets {
            for (_, sink) in books.sinks.iter().filter(|(of, _)| of == class) {
                sheet.sinks.entry(sink).or_default();
            }
            sheet.spread();
        }
        sheets
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sheet {
    fn add(&mut self, entry: Entry, count: Count) {
        let line = match entry {
            Entry::Received => &mut self.received,
            Entry::Delivered(sink) => &mut self.sinks.entry(sink).or_default().delivered,
            Entry::Dropped(sink, reason) => {
                self.sinks.entry(sink).or_default().dropped.entry(reason).or_default()
            }
            Entry::Resent(sink) => &mut self.sinks.entry(sink).or_default().resent,
        };
        line.add(count);
    }

    /// What was given up for all sinks, for each of them.
    fn spread(&mut self) {
        let Some(all) = self.sinks.remove(ALL_SINKS) else { return };
        for fate in self.sinks.values_mut() {
            for (reason, count) in &all.dropped {
                fate.dropped.entry(reason).or_default().add(*count);
            }
        }
    }
}

impl Fate {
    /// All that was given up.
    pub fn given_up(&self) -> Count {
        let mut sum = Count::default();
        self.dropped.values().for_each(|count| sum.add(*count));
        sum
    }

    /// What is still to come of what was received.
    pub fn in_flight(&self, received: Count) -> InFlight {
        let dropped = self.given_up();
        let less = |all: u64, delivered: u64, dropped: u64| {
            let left = i128::from(all) - i128::from(delivered) - i128::from(dropped);
            i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX })
        };
        InFlight {
            records: less(received.records, self.delivered.records, dropped.records),
            bytes: less(received.bytes, self.delivered.bytes, dropped.bytes),
        }
    }
}

impl InFlight {
    /// Nothing is delivered or dropped that was not received, and no bytes are under way without records.
    pub fn is_sound(self) -> bool {
        self.records >= 0 && self.bytes >= 0 && (self.records > 0 || self.bytes == 0)
    }
}

impl Account {
    /// That a frame is counted in.
    pub fn of(header: &FrameHeader) -> Self {
        let mut agent = [0; 16];
        let n = header.agent.len().min(16);
        agent[..n].copy_from_slice(&header.agent[..n]);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let named = (1..=MAX_SOURCE).contains(&header.source.len()) && header.source.bytes().all(plain);
        let source = if named { header.source.clone() } else { OTHER.to_owned() };
        Self { agent, source, class: header.class }
    }

    /// In place of one that there is no room for.
    pub fn other(class: i32) -> Self {
        Self { agent: [0; 16], source: OTHER.to_owned(), class }
    }
}

impl Count {
    /// A whole frame's.
    pub fn of(header: &FrameHeader) -> Self {
        Self { records: header.records, bytes: header.bytes }
    }

    /// Adds another one.
    pub fn add(&mut self, more: Self) {
        self.records = self.records.saturating_add(more.records);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// The class's name in metrics, files and the console.
pub fn class_name(class: i32) -> &'static str {
    match Class::try_from(class) {
        Ok(Class::Metrics) => "metrics",
        Ok(Class::Spans) => "spans",
        Ok(Class::Logs) => "logs",
        Ok(Class::LogsLow) => "logs_low",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(agent: u8, source: &str) -> FrameHeader {
        let class = Class::Logs.into();
        FrameHeader { agent: vec![agent; 16], source: source.to_owned(), class, ..FrameHeader::default() }
    }

    fn count(records: u64) -> Count {
        Count { records, bytes: 10 * records }
    }

    /// Scenario: a node has had two agent ids; the journal shed some of what it sent, one sink has taken a part.
    /// Guarantees: one sheet for the node; what was shed counts for every sink, the one that has seen nothing included.
    #[test]
    fn a_node_has_one_sheet() {
        let ledger = Ledger::default();
        ledger.open("loki", Class::Logs);
        ledger.open("embedded", Class::Logs);
        ledger.open("tempo", Class::Spans);
        for agent in [1, 2] {
            ledger.add(&header(agent, "logs"), Entry::Received, count(10));
            ledger.add(&header(agent, "logs"), Entry::Dropped("journal", "shed"), count(3));
        }
        ledger.add(&header(1, "logs"), Entry::Delivered("loki"), count(7));
        ledger.add(&header(1, "logs"), Entry::Resent("loki"), count(5));
        let sheets = ledger.by_node(|_| "n".to_owned());
        assert_eq!(sheets.len(), 1);
        let sheet = &sheets[&("n".to_owned(), "logs".to_owned(), i32::from(Class::Logs))];
        let flying = |sink: &str| sheet.sinks[sink].in_flight(sheet.received);
        assert_eq!(sheet.sinks.keys().copied().collect::<Vec<_>>(), ["embedded", "loki"]);
        assert_eq!(flying("loki"), InFlight { records: 7, bytes: 70 });
        assert_eq!(flying("embedded"), InFlight { records: 14, bytes: 140 });
        assert!(flying("loki").is_sound());
    }

    /// Scenario: more is delivered than was received; bytes are left behind without records.
    /// Guarantees: neither is sound.
    #[test]
    fn what_cannot_be_is_seen() {
        let fate = Fate { delivered: Count { records: 3, bytes: 20 }, ..Fate::default() };
        assert!(!fate.in_flight(Count { records: 2, bytes: 20 }).is_sound());
        assert!(!fate.in_flight(Count { records: 3, bytes: 21 }).is_sound());
        assert!(fate.in_flight(Count { records: 3, bytes: 20 }).is_sound());
        assert!(fate.in_flight(Count { records: 4, bytes: 20 }).is_sound());
    }

    /// Scenario: an agent invents sources without end, some of them of odd names.
    /// Guarantees: the number of accounts is bounded, and every record is still counted and balanced.
    #[test]
    fn invented_sources_are_bounded() {
        let ledger = Ledger::default();
        let total = MAX_ACCOUNTS as u64 + 500;
        for n in 0..total {
            let odd = header(1, &format!("s{n}"));
            ledger.add(&odd, Entry::Received, count(1));
            ledger.add(&odd, Entry::Delivered("loki"), count(1));
        }
        ledger.add(&header(1, "\"} or {a=\""), Entry::Received, count(1));
        ledger.add(&header(1, &"x".repeat(MAX_SOURCE + 1)), Entry::Received, count(1));
        let sheets = ledger.by_node(|_| "n".to_owned());
        assert!(sheets.len() <= MAX_ACCOUNTS + 2, "{}", sheets.len());
        let received: u64 = sheets.values().map(|sheet| sheet.received.records).sum();
        assert_eq!(received, total + 2);
        let unsound = |sheet: &&Sheet| sheet.sinks.values().any(|f| !f.in_flight(sheet.received).is_sound());
        assert_eq!(sheets.values().filter(unsound).count(), 0);
    }
}
