//! Fibre Channel ports: what they are and what went through, from /sys/class/fc_host.

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `fibrechannel` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Fibrechannel::default()))
}

#[derive(Default)]
struct Fibrechannel {
    device: Device,
}

/// Labels of `node_fibrechannel_info`: the files' names; whether the two characters in front (`0x`) are left out.
const LABELS: [(&str, bool); 10] = [
    ("speed", false),
    ("port_state", false),
    ("port_type", false),
    ("port_id", true),
    ("port_name", true),
    ("fabric_name", true),
    ("symbolic_name", false),
    ("supported_classes", false),
    ("supported_speeds", false),
    ("dev_loss_tmo", false),
];
const PORT_STATE: usize = 1;

/// Files of a port's `statistics` (include/scsi/scsi_transport_fc.h, `fc_host_statistics`), hexadecimal.
const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "node_fibrechannel_dumped_frames_total", "Frames thrown away for want of buffers."),
    ("error_frames", "node_fibrechannel_error_frames_total", "Frames received with an error."),
    ("invalid_crc_count", "node_fibrechannel_invalid_crc_total", "Frames received with a wrong checksum."),
    ("rx_frames", "node_fibrechannel_rx_frames_total", "Frames received."),
    ("rx_words", "node_fibrechannel_rx_words_total", "Words of four bytes received."),
    ("tx_frames", "node_fibrechannel_tx_frames_total", "Frames sent."),
    ("tx_words", "node_fibrechannel_tx_words_total", "Words of four bytes sent."),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Time since the port was reset.",
    ),
    (
        "invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Words that are none in the line's code.",
    ),
    ("link_failure_count", "node_fibrechannel_link_failure_total", "Times that the link failed."),
    ("loss_of_sync_count", "node_fibrechannel_loss_of_sync_total", "Times that synchronisation was lost."),
    ("loss_of_signal_count", "node_fibrechannel_loss_of_signal_total", "Times that the signal was lost."),
    ("nos_count", "node_fibrechannel_nos_total", "Times that the other end said it does not work (NOS)."),
    ("fcp_packet_aborts", "node_fibrechannel_fcp_packet_aborts_total", "SCSI exchanges given up."),
];
/// What drivers write for a counter that they do not have.
const UNKNOWN: u64 = u64::MAX;

impl Collector for Fibrechannel {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let hosts = folder::class(&roots.sys.join("class/fc_host"), "Fibre Channel", |_| true)?;
        let info = out.family("node_fibrechannel_info", Gauge, "What a Fibre Channel port is.");
        let families = COUNTERS.map(|(_, name, help)| out.family(name, Counter, help));
        for host in hosts {
            if self.device.enter(&host.path).is_err() {
                continue;
            }
            let texts = LABELS.map(|(file, cut)| {
                let text = self.device.text(file).unwrap_or_default();
                if cut { text.get(2..).unwrap_or(text).to_owned() } else { text.to_owned() }
            });
            let name = ("fc_host", &*host.name);
            let labels = LABELS.iter().zip(&texts).map(|((label, _), text)| (*label, &**text));
            let labels: Vec<_> = std::iter::once(name).chain(labels).collect();
            out.push(info, &labels, 1.0);
            // A port that is switched off counts nothing.
            let off = matches!(&*texts[PORT_STATE], "" | "Unknown");
            let counts = !off && self.device.enter(&host.path.join("statistics")).is_ok();
            for ((file, ..), family) in COUNTERS.iter().zip(families) {
                let value = if counts { self.device.unsigned(file) } else { off.then_some(0) };
                if let Some(value) = value.filter(|value| *value != UNKNOWN) {
                    out.push(family, &[name], value as f64);
                }
            }
        }
        Ok(())
    }
}
