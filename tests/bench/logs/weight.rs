//! Bytes on the wire: three corpora in batches as the agent closes them, and the same batches by OTLP, compressed as ours
//! are. The figure without a name is the worst of the three.

use std::error::Error;

use ao_agent::batch::Config;

use crate::api::Row;
use crate::wire::corpus::{self, App};
use crate::wire::frame_bytes;
use crate::wire::lines::{PEER, encode, request, round_trip};

const BATCHES: usize = 4;

const CORPORA: [(&str, &str, &[App]); 3] = [
    ("json", "structured lines of services", &corpus::JSON),
    ("access", "nginx access lines", &corpus::ACCESS),
    ("klog", "lines of components written in Go", &corpus::KLOG),
];

pub(super) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let Config { bytes, lines, .. } = Config::default();
    let mut rows = Vec::new();
    for (name, what, apps) in CORPORA {
        let batches = corpus::batches(apps, BATCHES, lines, usize::try_from(bytes.0)?);
        let count: usize = batches.iter().map(|batch| batch.entries.len()).sum();
        let text: usize = batches.iter().map(|batch| batch.text.len()).sum();
        let mut ours = 0;
        for batch in &batches {
            ours += frame_bytes(&round_trip(batch)?);
        }
        let theirs: usize = batches.iter().map(|batch| encode(&request(batch)).len()).sum();
        let [ours, theirs] = [ours, theirs].map(|bytes| bytes as f64 / count as f64);
        let what = format!(
            "bytes per line, {what}: {count} of {} bytes in batches of {bytes}, all framing included",
            text / count
        );
        rows.push(Row::new(format!("logs.wire.{name}"), what, ours, "bytes").beside(PEER, theirs));
    }
    let ratios = rows.iter().filter_map(|row| row.ratio);
    let worst = ratios.fold(0.0, f64::max);
    rows.push(Row::new(
        "logs.wire",
        format!("of the bytes of {PEER}, the worst of the three"),
        worst,
        "share",
    ));
    Ok(rows)
}
