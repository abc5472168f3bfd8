//! Judges a row of the ledger, and says in words what is open.

use super::row::{AgentHalf, Amount, Fate, Row, Verdict};

/// The verdict, and the sentence where something is open.
pub(super) fn of(row: &Row) -> (Verdict, String) {
    let what = match row.class {
        "metrics" => "samples",
        "spans" => "spans",
        _ => "lines",
    };
    let about = format!("node {}, {} ({what})", row.node, row.source);
    if let Some(agent) = &row.agent {
        let known = sum(agent);
        if known != agent.read {
            let (read, known) = (amount(agent.read), amount(known));
            return (Verdict::Off, format!("{about}: {read} read at the agent, {known} accounted for there"));
        }
    }
    if let Some(fate) = row.sinks.iter().find(|fate| !is_sound(fate)) {
        let (sink, received) = (&fate.sink, amount(row.received));
        let (records, bytes) = (fate.in_flight.records, fate.in_flight.bytes);
        let off = format!("{about}: {received} received, and {records} ({bytes} bytes) left over at {sink}");
        return (Verdict::Off, off);
    }
    let spooled = row.agent.as_ref().map_or(0, |agent| agent.in_flight.records);
    if let Some(agent) = row.agent.as_ref().filter(|agent| agent.delivered.records > row.received.records) {
        let (acknowledged, received) = (agent.delivered.records, row.received.records);
        let away = acknowledged - received;
        let text = format!(
            "{about}: {acknowledged} acknowledged, {received} of them received here, {away} elsewhere"
        );
        return (Verdict::Away, text);
    }
    let mut open = Vec::new();
    if spooled > 0 {
        open.push(format!("{spooled} in the spool"));
    }
    for fate in row.sinks.iter().filter(|fate| fate.in_flight.records > 0) {
        open.push(format!("{} on the way to {}", fate.in_flight.records, fate.sink));
    }
    if open.is_empty() {
        return (Verdict::Settled, String::new());
    }
    // The agent's word may be older than what has come since.
    let read = row.agent.as_ref().filter(|agent| agent.read.records >= row.received.records);
    let read = read.map_or_else(String::new, |agent| format!("{} read, ", agent.read.records));
    let text = format!("{about}: {read}{} at the aggregator, {}", row.received.records, open.join(", "));
    (Verdict::Moving, text)
}

fn is_sound(fate: &Fate) -> bool {
    let flying = fate.in_flight;
    flying.records >= 0 && flying.bytes >= 0 && (flying.records > 0 || flying.bytes == 0)
}

/// What the agent knows the end of, or has in its spool.
fn sum(agent: &AgentHalf) -> Amount {
    let all = [agent.delivered, agent.in_flight].into_iter().chain(agent.dropped.values().copied());
    all.fold(Amount::default(), |sum, part| Amount {
        records: sum.records.saturating_add(part.records),
        bytes: sum.bytes.saturating_add(part.bytes),
    })
}

fn amount(amount: Amount) -> String {
    format!("{} ({} bytes)", amount.records, amount.bytes)
}
