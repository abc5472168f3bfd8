//! Doors for the fuzz targets in tests/fuzz: each reads bytes from outside through code that is private otherwise.
//! Nothing else uses them.

use std::path::Path;

use crate::collector::COLLECTORS;
use crate::context::Roots;
use crate::event::MetricSet;
use crate::record::Recording;
use crate::{directives, logs, net, otlp, spool};

/// Reads some bytes; panics where something is wrong.
pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: &[(&str, Target)] = &[
    ("log_lines", logs::fuzzing::lines),
    ("glob", logs::fuzzing::glob),
    ("packet", net::fuzzing::packet),
    ("otlp_spans", otlp::fuzzing::spans),
    ("recording", recording),
    ("spool_state", spool::fuzzing::state),
];

fn recording(data: &[u8]) {
    let Ok(recording) = Recording::read(&String::from_utf8_lossy(data)) else { return };
    for snapshot in &recording.snapshots {
        assert!(snapshot.values.len() <= recording.series.len());
    }
}

/// The host collectors on a tree of files below `roots`.
pub fn collect(roots: &Roots) {
    for entry in COLLECTORS {
        let Ok(mut collector) = (entry.build)(None) else { continue };
        for round in 0..2 {
            let mut set = MetricSet::new("collector", "node-exporter", round);
            // An error is an answer.
            let _failed = collector.collect(roots, &mut set);
            let _text = set.exposition();
        }
    }
}

/// The directives kept in a data folder.
pub fn kept_directives(data_dir: &Path) -> u64 {
    directives::load(data_dir).version
}
