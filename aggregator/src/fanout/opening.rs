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

/// What is received, not counted for the sink, and not in the journal where the sink is still to read. To be called
/// while nothing is appended and the sink's workers do not run. Reads what the sink is behind, once. Blocking.
///
/// # Errors
/// Where the disk fails.
pub(super) fn tally(
    journal: &Journal,
    ledger: &Ledger,
    (sink, class): (&'static str, Class),
    owed: &[Owed],
    reason: DropReason,
) -> Result<Tally, JournalError> {
    let mut received: BTreeMap<Account, Count> = BTreeMap::new();
    let mut counted: BTreeMap<Account, Count> = BTreeMap::new();
    let of_class = ledger.lines().into_iter().filter(|(account, ..)| account.class == i32::from(class));
    for (account, entry, count) in of_class {
        match entry {
            Entry::Received => received.entry(account).or_default().add(count),
            Entry::Delivered(of) | Entry::Dropped(of, _) if of == sink || of == ALL_SINKS => {
                counted.entry(account).or_default().add(count);
            }
            _ => {}
        }
    }
    if received.iter().all(|(account, count)| counted.get(account) == Some(count)) {
        return Ok(Tally::new());
    }
    for &(queue, from, end) in owed {
        let mut reader = journal.reader(queue, from);
        while let Some(record) = reader.read()?
            && end.is_none_or(|end| record.position < end)
        {
            let Ok(opened) = frame::open(&record.frame) else { continue };
            let account = Account::of(&opened.header);
            // As the ledger does with accounts that it has no room for.
            let known = received.contains_key(&account);
            let account = if known { account } else { Account::other(account.class) };
            counted.entry(account).or_default().add(Count::of(&opened.header));
        }
    }
    let rest = received.into_iter().map(|(account, received)| {
        let known = counted.get(&account).copied().unwrap_or_default();
        let rest = Count {
            records: received.records.saturating_sub(known.records),
            bytes: received.bytes.saturating_sub(known.bytes),
        };
        ((account, Entry::Dropped(sink, reason.name())), rest)
    });
    let rest: Tally = rest.filter(|(_, rest)| *rest != Count::default()).collect();
    if reason == DropReason::Damaged {
        for ((account, _), Count { records, bytes }) in &rest {
            let (source, class) = (&account.source, class_name(account.class));
            tracing::error!(sink, class, source, records, bytes, "the journal was damaged: dropped");
        }
    }
    Ok(rest)
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

    /// Scenario: two frames are in the journal, of earlier ones only the count is left; part of those was shed for the
    /// sink when it was configured before.
    /// Guarantees: what it will never see is exactly the rest; for a first start there is none.
    #[tokio::test]
    async fn what_a_new_sink_will_never_see() {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::default();
        let (log, _) = journal::open(dir.path(), &<_>::default(), &ledger, &["loki"]).expect("opened");
        let owed = [4, 5].map(|queue| (queue, Position::default(), None));
        let open = || {
            let tally = tally(&log, &ledger, ("loki", Class::Logs), &owed, DropReason::Earlier);
            tally.expect("read")
        };
        assert_eq!(open(), Tally::new());
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
        assert_eq!(open(), Tally::new());
        let header = FrameHeader {
            agent: vec![7; 16],
            class: Class::Logs.into(),
            source: "logs".to_owned(),
            ..<_>::default()
        };
        ledger.add(&header, Entry::Received, Count { records: 50, bytes: 500 });
        ledger.add(&header, Entry::Dropped("loki", "shed"), Count { records: 20, bytes: 200 });
        ledger.add(&header, Entry::Delivered("embedded"), Count { records: 50, bytes: 500 });
        let key = (Account::of(&header), Entry::Dropped("loki", "earlier"));
        assert_eq!(open(), Tally::from([(key, Count { records: 30, bytes: 300 })]));
    }
}
