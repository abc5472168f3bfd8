//! Doors for the fuzz targets in tests/fuzz: each reads bytes from outside through code that is private otherwise.
//! Nothing else uses them.

use std::path::Path;

use crate::collector::COLLECTORS;
use crate::context::Roots;
use crate::event::MetricSet;
use crate::record::Recording;
use crate::{container, directives, exposition, identity, logs, mesh, net, otlp, pipeline, rules, spool};

/// Reads some bytes; panics where something is wrong.
pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: &[(&str, Target)] = &[
    ("cgroup_path", container::fuzzing::path),
    ("log_lines", logs::fuzzing::lines),
    ("log_packed", logs::fuzzing::packed),
    ("log_notes", logs::fuzzing::noted),
    ("log_journal", logs::fuzzing::journal),
    ("glob", logs::fuzzing::glob),
    ("packet", net::fuzzing::packet),
    ("mesh_packet", mesh::fuzzing::packet),
    ("mesh_look", mesh::fuzzing::look),
    ("mesh_connection", mesh::fuzzing::connection),
    ("otlp_spans", otlp::fuzzing::spans),
    ("exposition", families),
    ("recording", recording),
    ("log_stages", pipeline::fuzzing::stages),
    ("log_rules", rules::fuzzing::rules),
    ("spool_state", spool::fuzzing::state),
];

/// What was read is written, and reads the same again.
fn families(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(families) = exposition::parse(&text) else { return };
    let mut set = MetricSet::new("collector", "node-exporter", 0);
    for family in &families {
        let number = set.family(family.name, family.kind, family.help.as_deref().unwrap_or_default());
        for sample in &family.samples {
            let labels: Vec<_> = sample.labels.iter().map(|(name, value)| (*name, &**value)).collect();
            set.push_suffixed(number, sample.suffix, &labels, sample.value);
        }
    }
    let written = set.exposition();
    let again =
        exposition::parse(&written).map(|families| families.iter().map(|f| f.samples.len()).sum::<usize>());
    assert_eq!(again, Ok(set.samples.len()), "{written}");
}

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

/// The containers on trees of cgroups below `roots`.
pub fn containers(roots: &Roots) {
    container::fuzzing::rounds(roots);
}

/// The directives kept in a data folder.
pub fn kept_directives(data_dir: &Path) -> u64 {
    directives::load(data_dir).version
}

/// A node's key and certificates kept in a data folder.
pub fn kept_identity(data_dir: &Path) {
    identity::fuzzing::kept(data_dir);
}

/// The counts beside a cursor of the spool.
pub fn spool_counts(file: &Path) {
    spool::fuzzing::counts(file);
}
