//! The kernel's counters of an interface one by one, from /sys/class/net/NAME/statistics (`rtnl_link_stats64` in
//! include/uapi/linux/if_link.h).

use std::path::Path;

use ao_proto::model::MetricType::Counter;

use super::super::device::Device;
use crate::event::MetricSet;

/// File, metric, help.
const COUNTERS: [(&str, &str, &str); 24] = [
    ("rx_packets", "node_network_receive_packets_total", "Packets received by the interface."),
    ("tx_packets", "node_network_transmit_packets_total", "Packets sent by the interface."),
    ("rx_bytes", "node_network_receive_bytes_total", "Bytes received by the interface."),
    ("tx_bytes", "node_network_transmit_bytes_total", "Bytes sent by the interface."),
    ("rx_errors", "node_network_receive_errors_total", "Packets received in error."),
    ("tx_errors", "node_network_transmit_errors_total", "Packets that could not be sent."),
    ("rx_dropped", "node_network_receive_dropped_total", "Packets received and dropped."),
    ("tx_dropped", "node_network_transmit_dropped_total", "Packets dropped before they were sent."),
    ("multicast", "node_network_multicast_total", "Multicast packets received."),
    ("collisions", "node_network_collisions_total", "Collisions."),
    ("rx_length_errors", "node_network_receive_length_errors_total", "Packets received with a wrong length."),
    ("rx_over_errors", "node_network_receive_over_errors_total", "Packets too long for the receive buffer."),
    ("rx_crc_errors", "node_network_receive_crc_errors_total", "Packets received with a wrong checksum."),
    (
        "rx_frame_errors",
        "node_network_receive_frame_errors_total",
        "Packets received with a wrong alignment.",
    ),
    (
        "rx_fifo_errors",
        "node_network_receive_fifo_errors_total",
        "Packets lost to a full receive queue of the hardware.",
    ),
    (
        "rx_missed_errors",
        "node_network_receive_missed_errors_total",
        "Packets missed for want of buffers at the host.",
    ),
    ("tx_aborted_errors", "node_network_transmit_aborted_errors_total", "Packets given up after collisions."),
    ("tx_carrier_errors", "node_network_transmit_carrier_errors_total", "Packets lost with the carrier."),
    (
        "tx_fifo_errors",
        "node_network_transmit_fifo_errors_total",
        "Packets lost to an empty transmit queue of the hardware.",
    ),
    ("tx_heartbeat_errors", "node_network_transmit_heartbeat_errors_total", "Heartbeats that were missed."),
    ("tx_window_errors", "node_network_transmit_window_errors_total", "Collisions that came too late."),
    ("rx_compressed", "node_network_receive_compressed_total", "Compressed packets received."),
    ("tx_compressed", "node_network_transmit_compressed_total", "Compressed packets sent."),
    ("rx_nohandler", "node_network_receive_nohandler_total", "Packets received that no protocol wanted."),
];

/// One sample for each counter that this kernel has.
pub(super) fn emit(folder: &Path, labels: &[(&str, &str)], device: &mut Device, out: &mut MetricSet) {
    // An interface that went away since it was listed.
    let Ok(()) = device.enter(folder) else { return };
    for (file, name, help) in &COUNTERS {
        if let Some(value) = device.unsigned(file) {
            let family = out.family(name, Counter, help);
            out.push(family, labels, value as f64);
        }
    }
}
