//! The source's figures as metric families, read when somebody asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::logs::LogsStats;

/// For the registry.
#[derive(Debug)]
pub struct LogsCollector(pub Arc<LogsStats>);

impl Collector for LogsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let s = &self.0;
        for (name, help, value) in [
            ("followed", "Files that are followed now", &s.files_followed),
            ("open", "Files that are held open now", &s.files_open),
        ] {
            let gauge = ConstGauge::new(value.load(Ordering::Relaxed) as i64);
            let name = format!("ao_logs_files_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in [
            ("lines", "Lines handed over", &s.lines),
            ("read_bytes", "Bytes of files handed over", &s.bytes),
            ("files_found", "Files that were begun", &s.files_found),
            ("files_rotated", "Files whose name was given to another file", &s.rotated),
            ("files_truncated", "Files that were emptied in place", &s.truncated),
            (
                "files_adopted",
                "Rotated files and copies that were read on from where reading had come",
                &s.adopted,
            ),
            ("files_finished", "Files that are gone and were read to their end", &s.finished),
            ("files_abandoned", "Files that went, their last bytes possibly unread", &s.abandoned),
            (
                "unread_bytes",
                "Bytes of files that went or were emptied before they were read",
                &s.unread_bytes,
            ),
            ("escrow_linked", "Hard links to files that lost their names unread", &s.escrow_linked),
            (
                "escrow_copied_bytes",
                "Bytes copied of files that lost their names unread",
                &s.escrow_copied_bytes,
            ),
            ("cuts", "Cuts within lines longer than max_line", &s.cuts),
            ("partials_split", "Partial lines whose rest did not come in time", &s.partials_split),
            ("invalid_utf8_lines", "Lines with bytes that are not UTF-8", &s.invalid_utf8),
            ("packed_damaged", "Compressed files that are cut off or damaged", &s.damaged_packed),
            ("malformed_lines", "Lines that are not in their file's format", &s.malformed),
            ("journal_damaged", "Entries of journals that are damaged and left out", &s.journal_damaged),
            (
                "journal_unreadable",
                "Entries of journals with a field that could not be unpacked",
                &s.journal_unreadable,
            ),
            ("journal_copies", "Entries that journald moved to another folder, read once", &s.journal_copies),
            ("left_out", "Pipes, sockets and devices under a name that is wanted", &s.left_out),
            ("zero_bytes", "Zeros at the beginning of files, left out", &s.zero_bytes),
            ("read_errors", "Failures to open or read a file", &s.read_errors),
            ("watch_errors", "Folders that could not be watched", &s.watch_errors),
            ("overflows", "Times that changes were lost and everything was looked at anew", &s.overflows),
        ] {
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            let name = format!("ao_logs_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
