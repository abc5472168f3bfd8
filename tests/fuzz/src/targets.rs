//! The table of targets: a name, which is its folder in `corpus/`; what it does; how many mutations of each file of its
//! corpus `make test` tries; how many MiB it may take at most for one input.

use crate::{cgroups, disk, text, wire};

/// A row.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name and folder.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
    /// Mutations of each file that are tried in the tests.
    pub mutations: u32,
    /// Memory for one input, in MiB.
    pub most_mib: usize,
}

/// All of them.
pub fn all() -> Vec<Target> {
    let row = |name, run: fn(&[u8]), mutations, most_mib| Target { name, run, mutations, most_mib };
    let mut all = vec![
        row("envelope", wire::envelope, 500, 24),
        row("keyframe", wire::keyframe, 400, 96),
        row("samples", wire::samples, 1_000, 96),
        row("log_frame", wire::log_frame, 1_000, 64),
        row("messages", wire::messages, 400, 16),
        row("journal_segment", disk::segment, 25, 80),
        row("journal_cursor", disk::cursor, 15, 16),
        row("journal_range", disk::range, 15, 16),
        row("journal_durable", disk::durable, 15, 80),
        row("node_names", disk::nodes, 60, 16),
        row("received_note", disk::received, 60, 16),
        row("fanout_notes", disk::notes, 60, 16),
        row("kept_identity", disk::identity, 60, 16),
        row("node_registry", disk::registry, 60, 16),
        row("loki_newest", disk::newest, 60, 32),
        row("spool_counts", disk::spool_counts, 60, 16),
        row("kept_clock", disk::clock, 60, 16),
        row("kept_directives", disk::directives, 200, 16),
        row("procfs", disk::procfs, 30, 32),
        row("cgroups", cgroups::files, 15, 32),
        row("agent_config", text::agent_config, 150, 16),
        row("aggregator_config", text::aggregator_config, 150, 16),
        row("units", text::units, 1_000, 1),
        row("certificates", text::certificates, 300, 4),
    ];
    let private = ao_agent::fuzzing::TARGETS.iter().chain(ao_aggregator::fuzzing::TARGETS);
    // Expressions are slow to make.
    let mutations = |name: &str| if name == "log_stages" { 30 } else { 500 };
    all.extend(private.map(|&(name, run)| row(name, run, mutations(name), 64)));
    all
}

/// One by its name.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}
