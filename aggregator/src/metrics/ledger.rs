//! The ledger as metrics: `ao_ledger_{received,delivered,dropped,resent}_{records,bytes}_total`, and
//! `ao_ledger_in_flight_{records,bytes}`. Of each node, source and class, and of each sink where it is a sink's.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::ledger::{Count, Fate, Ledger, Sheet, class_name};
use crate::nodes::Nodes;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAccount {
    node: String,
    source: String,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSink {
    node: String,
    source: String,
    class: &'static str,
    sink: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    node: String,
    source: String,
    class: &'static str,
    sink: &'static str,
    reason: &'static str,
}

/// Records or bytes: the ending of the name, the text for people, and which of the two.
type Unit = (&'static str, &'static str, fn(Count) -> u64);

const UNITS: [Unit; 2] = [
    ("records", "Records (samples, lines, spans)", |count| count.records),
    ("bytes", "Payload bytes of the records", |count| count.bytes),
];

/// Writes all families.
///
/// # Errors
/// Those of the encoder.
pub(super) fn encode(
    ledger: &Ledger,
    nodes: &Nodes,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let sheets = ledger.by_node(|agent| nodes.name_or_id(agent));
    let sheets: Vec<(OfAccount, Sheet)> = sheets
        .into_iter()
        .map(|((node, source, class), sheet)| (OfAccount { node, source, class: class_name(class) }, sheet))
        .collect();
    for (unit, what, pick) in UNITS {
        let (name, help) = (format!("ao_ledger_received_{unit}"), format!("{what} durable in the journal"));
        let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
        for (label, sheet) in &sheets {
            ConstCounter::new(pick(sheet.received)).encode(family.encode_family(label)?)?;
        }
        let delivered: fn(&Fate) -> Count = |fate| fate.delivered;
        for (name, text, of) in [
            ("delivered", "that the sink's backend has accepted", delivered),
            ("resent", "sent to the sink's backend again", |fate| fate.resent),
        ] {
            let (name, help) = (format!("ao_ledger_{name}_{unit}"), format!("{what} {text}"));
            let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
            for (label, _, fate) in fates(&sheets) {
                ConstCounter::new(pick(of(fate))).encode(family.encode_family(&label)?)?;
            }
        }
        let (name, help) = (format!("ao_ledger_dropped_{unit}"), format!("{what} given up for the sink"));
        let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
        for (label, _, fate) in fates(&sheets) {
            for (reason, count) in &fate.dropped {
                let OfSink { node, source, class, sink } = label.clone();
                let label = OfReason { node, source, class, sink, reason };
                ConstCounter::new(pick(*count)).encode(family.encode_family(&label)?)?;
            }
        }
    }
    for unit in ["records", "bytes"] {
        let name = format!("ao_ledger_in_flight_{unit}");
        let help = "Received, and neither delivered to the sink nor given up for it";
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (label, sheet, fate) in fates(&sheets) {
            let flying = fate.in_flight(sheet.received);
            let value = if unit == "records" { flying.records } else { flying.bytes };
            ConstGauge::new(value).encode(family.encode_family(&label)?)?;
        }
    }
    Ok(())
}

fn fates(sheets: &[(OfAccount, Sheet)]) -> impl Iterator<Item = (OfSink, &Sheet, &Fate)> {
    sheets.iter().flat_map(|(label, sheet)| {
        sheet.sinks.iter().map(move |(sink, fate)| {
            let OfAccount { node, source, class } = label.clone();
            (OfSink { node, source, class, sink }, sheet, fate)
        })
    })
}
