//! The books of a sink and class when the aggregator starts. What was received, is not settled for the sink and does not
//! lie in the journal any more will never come to it, and would seem to be on its way for ever: it is counted as given
//! up. For a sink that is new here that is what came "earlier"; else it was "damaged". Nothing of a record that the disk
//! has lost can be trusted, not even whose it was: only this difference tells. (What a power cut takes of a sink's own
//! counts, which are not fsynced with each request, counts so as well.)

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use ao_common::journal::{Journal, JournalError, Position};
use ao_proto::frame;
use ao_proto::v1::Class;

use super::tally::Tally;
use crate::ledger::{ALL_SINKS, Account, Count, Entry, Ledger, class_name};
use crate::sink::api::DropReason;

/// What a sink is owed yet of a queue: from a position on, up to an end where it is a range.
pub(super) type Owed = (usize, Position, Option<Position>);

/// What will never come to a sink.
pub(super) type Lost = BTreeMap<Account, Count>;

/// What is received, not counted for a sink, and not in the journal where that is still to read: for each of the sinks
/// of a class. To be called while nothing is appended and their workers do not run. Reads what they are behind, once for
/// all of them, and nothing where they are not. Blocking.
///
/// # Errors
/// Where the disk fails.
pub(super) fn lost(
    journal: &Journal,
    ledger: &Ledger,
    class: Class,
    sinks: &[(&'static str, &[Owed])],
) -> Result<Vec<Lost>, JournalError> {
    let mut received = Lost::new();
    let mut known = vec![Lost::new(); sinks.len()];
    let of_class = ledger.lines().into_iter().filter(|(account, ..)| account.class == i32::from(class));
    for (account, entry, count) in of_class {
        match entry {
            Entry::Received => received.entry(account).or_default().add(count),
            Entry::Delivered(of) | Entry::Dropped(of, _) => {
                let theirs =
                    known.iter_mut().zip(sinks).filter(|(_, (sink, _))| of == *sink || of == ALL_SINKS);
                theirs.for_each(|(known, _)| known.entry(account.clone()).or_default().add(count));
            }
            Entry::Resent(_) => {}
        }
    }
    let is_settled = |known: &Lost| received.iter().all(|(account, count)| known.get(account) == Some(count));
    let behind: Vec<bool> = known.iter().map(|known| !is_settled(known)).collect();
    // By queue: whose it is, from where, to where.
    let mut parts: BTreeMap<usize, Vec<(usize, Position, Option<Position>)>> = BTreeMap::new();
    for (nth, (_, owed)) in sinks.iter().enumerate().filter(|(nth, _)| behind[*nth]) {
        for &(queue, from, end) in *owed {
            parts.entry(queue).or_default().push((nth, from, end));
        }
    }
    for (queue, parts) in parts {
        let from = parts.iter().map(|(_, from, _)| *from).min().unwrap_or_default();
        let mut reader = journal.reader(queue, from);
        while let Some(record) = reader.read()? {
            let at = record.position;
            let takes = |from: Position, end: Option<Position>| from <= at && end.is_none_or(|end| at < end);
            let mut theirs =
                parts.iter().filter(|(_, from, end)| takes(*from, *end)).map(|part| part.0).peekable();
            if theirs.peek().is_none() {
                continue;
            }
            let Ok(opened) = frame::open(&record.frame) else { continue };
            let account = Account::of(&opened.header);
            // As the ledger does with accounts that it has no room for.
            let has_room = received.contains_key(&account);
            let account = if has_room { account } else { Account::other(account.class) };
            for nth in theirs {
                known[nth].entry(account.clone()).or_default().add(Count::of(&opened.header));
            }
        }
    }
    let rest = |known: Lost| -> Lost {
        let less = received.iter().map(|(account, received)| {
            let known = known.get(account).copied().unwrap_or_default();
            let rest = Count {
                records: received.records.saturating_sub(known.records),
                bytes: received.bytes.saturating_sub(known.bytes),
            };
            (account.clone(), rest)
        });
        less.filter(|(_, rest)| *rest != Count::default()).collect()
    };
    Ok(known.into_iter().map(rest).collect())
}

/// The entries of what is lost. Damage is said to people, too.
pub(super) fn tally(lost: Lost, sink: &'static str, reason: DropReason) -> Tally {
    let entry = |(account, count): (Account, Count)| {
        if reason == DropReason::Damaged {
            let (source, class, Count { records, bytes }) =
                (&account.source, class_name(account.class), count);
            tracing::error!(sink, class, source, records, bytes, "the journal was damaged: dropped");
        }
        ((account, Entry::Dropped(sink, reason.name())), count)
    };
    lost.into_iter().map(entry).collect()
}

/// Whether the sink has no books yet.
pub(super) fn is_new(dir: &Path, name: &str) -> bool {
    matches!(dir.join(format!("{name}.counts")).try_exists(), Ok(false))
}

/// Closes the books of a sink that is no longer configured: should it come back, it is new again. `name` is that of the
/// fresh worker's files.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn close(dir: &Path, name: &str) -> io::Result<()> {
    for file in [format!("{name}-late.counts"), format!("{name}-backlog.counts"), format!("{name}.counts")] {
        match std::fs::remove_file(dir.join(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ao_common::journal::Append;
    use ao_proto::v1::FrameHeader;

    use super::*;
    use crate::journal;

    /// Scenario: two frames are in the journal, of earlier ones only the count is left; part of those was shed for a
    /// sink when it was configured before; another has taken all; a third has read the first frame, and so it says.
    /// Guarantees: what each will never see is exactly the rest; for a first start there is none.
    #[tokio::test]
    async fn what_a_new_sink_will_never_see() {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::default();
        let (log, _) = journal::open(dir.path(), &<_>::default(), &ledger, &["loki"]).expect("opened");
        let owed = [4, 5].map(|queue| (queue, Position::default(), None));
        let behind_first = |first: Position| [(4, first, None), (5, Position::default(), None)];
        let open = |first| {
            let half = behind_first(first);
            let sinks = [("loki", &owed[..]), ("embedded", &owed[..]), ("half", &half[..])];
            lost(&log, &ledger, Class::Logs, &sinks).expect("read")
        };
        let nothing = vec![Lost::new(); 3];
        assert_eq!(open(Position::default()), nothing);
        for (sequence, lane) in [(1, 0), (2, 1)] {
            let header = FrameHeader {
                agent: vec![7; 16],
                class: Class::Logs.into(),
                source: "logs".to_owned(),
                sequence,
                epoch: 1,
                lane,
                records: 10,
                bytes: 100,
                ..FrameHeader::default()
            };
            let append = Append { frame: frame::seal(&header, &[]), keyframe: None };
            let queue = 4 + lane as usize;
            log.append(queue, vec![append]).await.expect("taken").durable().await.expect("written");
        }
        assert_eq!(open(Position::default()), nothing);
        let header = FrameHeader {
            agent: vec![7; 16],
            class: Class::Logs.into(),
            source: "logs".to_owned(),
            ..<_>::default()
        };
        ledger.add(&header, Entry::Received, Count { records: 50, bytes: 500 });
        ledger.add(&header, Entry::Dropped("loki", "shed"), Count { records: 20, bytes: 200 });
        ledger.add(&header, Entry::Delivered("embedded"), Count { records: 50, bytes: 500 });
        ledger.add(&header, Entry::Delivered("half"), Count { records: 10, bytes: 100 });
        let second = log.durable(4).borrow().to_owned();
        let account = Account::of(&header);
        let rest = |records| Lost::from([(account.clone(), Count { records, bytes: 10 * records })]);
        assert_eq!(open(second), [rest(30), Lost::new(), rest(50)]);
        let entry = (account.clone(), Entry::Dropped("loki", "earlier"));
        let count = Count { records: 30, bytes: 300 };
        assert_eq!(tally(rest(30), "loki", DropReason::Earlier), Tally::from([(entry, count)]));
    }
}
