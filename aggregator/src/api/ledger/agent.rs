//! The agents' half of the ledger, out of their own metrics.

use std::collections::{BTreeMap, BTreeSet};

use ao_proto::class::{self, CLASSES};

use super::row::{AgentHalf, Amount};
use crate::sink::embedded::series::{Book, Track};

/// By node, source and class. One that is not whole, since the store had no room for all of its series, is left out.
pub(super) fn halves(book: &Book) -> BTreeMap<Key, AgentHalf> {
    let mut heard = BTreeMap::new();
    let fields: [(&str, Pick); 4] = [
        ("read", |half, _| &mut half.read),
        ("delivered", |half, _| &mut half.delivered),
        ("resent", |half, _| &mut half.resent),
        ("dropped", |half, reason| half.dropped.entry(reason.to_owned()).or_default()),
    ];
    for (field, pick) in fields {
        add(book, &mut heard, (&format!("{field}_records_total"), &format!("{field}_bytes_total")), pick);
    }
    add(book, &mut heard, ("in_flight_records", "in_flight_bytes"), |half, _| &mut half.in_flight);
    let whole = heard.into_iter().filter(|(_, heard)| heard.names.len() == NAMES && heard.is_of_one_time);
    whole.map(|(key, heard)| (key, heard.half)).collect()
}

/// Families of an agent's figures: four and the gauge, in records and in bytes.
const NAMES: usize = 10;

/// Node, source and class.
type Key = (String, String, i32);

/// What is known of a half so far.
struct Heard {
    half: AgentHalf,
    names: BTreeSet<String>,
    is_of_one_time: bool,
}

/// A half's amount that a series of this reason belongs to.
type Pick = for<'a> fn(&'a mut AgentHalf, &str) -> &'a mut Amount;

/// Its records or its bytes.
type Unit = fn(&mut Amount) -> &mut u64;

fn add(book: &Book, halves: &mut BTreeMap<Key, Heard>, (records, bytes): (&str, &str), pick: Pick) {
    let units: [(&str, Unit); 2] =
        [(records, |amount| &mut amount.records), (bytes, |amount| &mut amount.bytes)];
    for (name, unit) in units {
        for track in book.named(&format!("ao_ledger_{name}")) {
            let Some((key, value, at_ms)) = said(track) else { continue };
            let half = AgentHalf { at_ms, ..AgentHalf::default() };
            let new = || Heard { half, names: BTreeSet::new(), is_of_one_time: true };
            let heard = halves.entry(key).or_insert_with(new);
            heard.is_of_one_time &= heard.half.at_ms == at_ms;
            heard.names.insert(name.to_owned());
            *unit(pick(&mut heard.half, track.label("reason"))) = value;
        }
    }
}

/// The newest word of an agent on one account; an aggregator's own figures, which name a sink, are not its.
fn said(track: &Track) -> Option<(Key, u64, i64)> {
    let point = track.last().filter(|point| point.value.is_finite() && point.value >= 0.0)?;
    let known = CLASSES.iter().find(|known| class::name(**known) == track.label("class"))?;
    if track.label("job") != "ao-agent" {
        return None;
    }
    let key = (track.node().to_owned(), track.label("source").to_owned(), (*known).into());
    Some((key, point.value as u64, point.at_ms))
}
