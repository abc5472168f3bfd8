//! Figures of the spool and the ledger, read when somebody asks.

use std::fmt::Error;
use std::sync::Arc;

use ao_common::journal::{Journal, Stats};
use ao_proto::queue::QUEUES;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::metrics::QueueLabel;
use crate::spool::api::Count;
use crate::spool::ledger::{Ledger, Line};

/// `ao_ledger_*`: read = delivered + dropped + in flight, by source and class.
#[derive(Clone)]
pub struct LedgerCollector(pub Arc<Ledger>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    source: String,
    class: &'static str,
    reason: String,
}

/// Of a count.
type Unit = (&'static str, fn(Count) -> u64);

/// Name, help, and what of a line.
type Family = (&'static str, &'static str, fn(&Line) -> Count);

const FAMILIES: [Family; 3] = [
    ("read", "read at their source: appended to the spool, or lost before they could be", |line| line.read),
    ("delivered", "acknowledged by an aggregator", |line| line.settled.delivered),
    ("resent", "sent again, since it was not known whether they had arrived", |line| line.settled.resent),
];

impl Collector for LedgerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let lines = self.0.lines();
        let units: [Unit; 2] = [("records", |c| c.records), ("bytes", |c| c.bytes)];
        for (unit, of) in units {
            let what = if unit == "records" { "Records (samples, lines, spans)" } else { "Payload bytes" };
            for (name, help, count) in FAMILIES {
                let name = format!("ao_ledger_{name}_{unit}");
                let help = format!("{what} {help}");
                let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
                for ((class, source), line) in &lines {
                    let labels = SourceLabels { source: source.clone(), class };
                    ConstCounter::new(of(count(line))).encode(family.encode_family(&labels)?)?;
                }
            }
            let name = format!("ao_ledger_dropped_{unit}");
            let help = format!("{what} given up, by reason");
            let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
            for ((class, source), line) in &lines {
                for (reason, count) in line.dropped() {
                    let labels = ReasonLabels { source: source.clone(), class, reason: reason.to_owned() };
                    ConstCounter::new(of(count)).encode(family.encode_family(&labels)?)?;
                }
            }
            let name = format!("ao_ledger_in_flight_{unit}");
            let help = format!("{what} in the spool");
            let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Gauge)?;
            for ((class, source), line) in &lines {
                let labels = SourceLabels { source: source.clone(), class };
                ConstGauge::new(of(line.in_flight()) as i64).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for LedgerCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerCollector")
    }
}

/// Size and damage of the spool, read when somebody asks.
pub struct SpoolCollector(pub Journal);

impl std::fmt::Debug for SpoolCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpoolCollector")
    }
}

impl Collector for SpoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let stats: Vec<Stats> = (0..QUEUES.len()).map(|n| self.0.stats(n)).collect();
        let label = |n: usize| QueueLabel::of(QUEUES[n]);
        let mut size = encoder.encode_descriptor(
            "ao_spool_size_bytes",
            "Bytes of the spool on disk",
            None,
            MetricType::Gauge,
        )?;
        for (n, stat) in stats.iter().enumerate() {
            ConstGauge::new(stat.bytes as i64).encode(size.encode_family(&label(n))?)?;
        }
        let mut damage = encoder.encode_descriptor(
            "ao_spool_damaged_records",
            "Damaged records skipped since the start",
            None,
            MetricType::Counter,
        )?;
        for (n, stat) in stats.iter().enumerate() {
            ConstCounter::new(stat.corrupt_records).encode(damage.encode_family(&label(n))?)?;
        }
        Ok(())
    }
}
