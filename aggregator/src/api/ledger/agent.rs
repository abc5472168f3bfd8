//! The agents' half of the ledger, out of their own metrics.

use std::collections::BTreeMap;

use ao_proto::class::{self, CLASSES};

use super::row::{AgentHalf, Amount};
use crate::sink::embedded::series::{Book, Track};

/// By node, source and class.
pub(super) fn halves(book: &Book) -> BTreeMap<(String, String, i32), AgentHalf> {
    let mut halves = BTreeMap::new();
    let fields: [(&str, Pick); 4] = [
        ("read", |half, _| &mut half.read),
        ("delivered", |half, _| &mut half.delivered),
        ("resent", |half, _| &mut half.resent),
        ("dropped", |half, reason| half.dropped.entry(reason.to_owned()).or_default()),
    ];
    for (field, pick) in fields {
        add(book, &mut halves, (&format!("{field}_records_total"), &format!("{field}_bytes_total")), pick);
    }
    add(book, &mut halves, ("in_flight_records", "in_flight_bytes"), |half, _| &mut half.in_flight);
    halves
}

/// A half's amount that a series of this reason belongs to.
type Pick = for<'a> fn(&'a mut AgentHalf, &str) -> &'a mut Amount;

/// Its records or its bytes.
type Unit = fn(&mut Amount) -> &mut u64;

fn add(
    book: &Book,
    halves: &mut BTreeMap<(String, String, i32), AgentHalf>,
    (records, bytes): (&str, &str),
    pick: Pick,
) {
    let units: [(&str, Unit); 2] =
        [(records, |amount| &mut amount.records), (bytes, |amount| &mut amount.bytes)];
    for (name, unit) in units {
        for track in book.named(&format!("ao_ledger_{name}")) {
            let Some((key, value, at_ms)) = said(track) else { continue };
            let half = halves.entry(key).or_default();
            half.at_ms = half.at_ms.max(at_ms);
            *unit(pick(half, track.label("reason"))) = value;
        }
    }
}

/// The newest word of an agent on one account; an aggregator's own figures, which name a sink, are not its.
fn said(track: &Track) -> Option<((String, String, i32), u64, i64)> {
    let point = track.last().filter(|point| point.value.is_finite() && point.value >= 0.0)?;
    let known = CLASSES.iter().find(|known| class::name(**known) == track.label("class"))?;
    if track.label("job") != "ao-agent" {
        return None;
    }
    let key = (track.node().to_owned(), track.label("source").to_owned(), (*known).into());
    Some((key, point.value as u64, point.at_ms))
}
