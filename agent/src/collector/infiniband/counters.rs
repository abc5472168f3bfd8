//! The counters of an InfiniBand port.

/// A file, the metric that it is, its help.
type Row = (&'static str, &'static str, &'static str);

/// Folders of a port with their files (Documentation/ABI/stable/sysfs-class-infiniband; those of `hw_counters` are the
/// driver's own, these mlx5's). Before Linux 4.5 the wide counters lay in a folder of their own.
pub(super) const FOLDERS: [(&str, &[Row]); 3] = [
    (
        "counters",
        &[
            (
                "excessive_buffer_overrun_errors",
                "node_infiniband_excessive_buffer_overrun_errors_total",
                "Times that buffers overflowed again and again.",
            ),
            (
                "link_downed",
                "node_infiniband_link_downed_total",
                "Times that the link could not be saved and went down.",
            ),
            (
                "link_error_recovery",
                "node_infiniband_link_error_recovery_total",
                "Times that the link was saved from an error.",
            ),
            (
                "local_link_integrity_errors",
                "node_infiniband_local_link_integrity_errors_total",
                "Times that local errors went over their limit.",
            ),
            (
                "multicast_rcv_packets",
                "node_infiniband_multicast_packets_received_total",
                "Multicast packets received.",
            ),
            (
                "multicast_xmit_packets",
                "node_infiniband_multicast_packets_transmitted_total",
                "Multicast packets sent.",
            ),
            (
                "port_rcv_constraint_errors",
                "node_infiniband_port_constraint_errors_received_total",
                "Received packets thrown away by a rule of the switch.",
            ),
            ("port_rcv_data", "node_infiniband_port_data_received_bytes_total", "Bytes received."),
            (
                "port_rcv_discards",
                "node_infiniband_port_discards_received_total",
                "Received packets thrown away, the port being down or full.",
            ),
            (
                "port_rcv_errors",
                "node_infiniband_port_errors_received_total",
                "Packets received with an error.",
            ),
            ("port_rcv_packets", "node_infiniband_port_packets_received_total", "Packets received."),
            (
                "port_rcv_remote_physical_errors",
                "node_infiniband_port_receive_remote_physical_errors_total",
                "Packets that another port had marked as bad.",
            ),
            (
                "port_rcv_switch_relay_errors",
                "node_infiniband_port_receive_switch_relay_errors_total",
                "Packets that the switch could not pass on.",
            ),
            (
                "port_xmit_constraint_errors",
                "node_infiniband_port_constraint_errors_transmitted_total",
                "Packets not sent by a rule of the switch.",
            ),
            ("port_xmit_data", "node_infiniband_port_data_transmitted_bytes_total", "Bytes sent."),
            (
                "port_xmit_discards",
                "node_infiniband_port_discards_transmitted_total",
                "Packets not sent, the port being down or full.",
            ),
            ("port_xmit_packets", "node_infiniband_port_packets_transmitted_total", "Packets sent."),
            (
                "port_xmit_wait",
                "node_infiniband_port_transmit_wait_total",
                "Ticks in which there was something to send and no credit for it.",
            ),
            ("symbol_error", "node_infiniband_symbol_error_total", "Small errors on a lane."),
            (
                "unicast_rcv_packets",
                "node_infiniband_unicast_packets_received_total",
                "Unicast packets received.",
            ),
            (
                "unicast_xmit_packets",
                "node_infiniband_unicast_packets_transmitted_total",
                "Unicast packets sent.",
            ),
            (
                "VL15_dropped",
                "node_infiniband_vl15_dropped_total",
                "Management packets thrown away for want of buffers.",
            ),
        ],
    ),
    (
        "counters_ext",
        &[
            (
                "port_multicast_rcv_packets",
                "node_infiniband_legacy_multicast_packets_received_total",
                "Multicast packets received (kernels before 4.5).",
            ),
            (
                "port_multicast_xmit_packets",
                "node_infiniband_legacy_multicast_packets_transmitted_total",
                "Multicast packets sent (kernels before 4.5).",
            ),
            (
                "port_rcv_data_64",
                "node_infiniband_legacy_data_received_bytes_total",
                "Bytes received (kernels before 4.5).",
            ),
            (
                "port_rcv_packets_64",
                "node_infiniband_legacy_packets_received_total",
                "Packets received (kernels before 4.5).",
            ),
            (
                "port_unicast_rcv_packets",
                "node_infiniband_legacy_unicast_packets_received_total",
                "Unicast packets received (kernels before 4.5).",
            ),
            (
                "port_unicast_xmit_packets",
                "node_infiniband_legacy_unicast_packets_transmitted_total",
                "Unicast packets sent (kernels before 4.5).",
            ),
            (
                "port_xmit_data_64",
                "node_infiniband_legacy_data_transmitted_bytes_total",
                "Bytes sent (kernels before 4.5).",
            ),
            (
                "port_xmit_packets_64",
                "node_infiniband_legacy_packets_transmitted_total",
                "Packets sent (kernels before 4.5).",
            ),
        ],
    ),
    (
        "hw_counters",
        &[
            (
                "duplicate_request",
                "node_infiniband_duplicate_requests_packets_total",
                "Requests that had been served before.",
            ),
            (
                "implied_nak_seq_err",
                "node_infiniband_implied_nak_seq_errors_total",
                "Answers to reads that were ahead of what was awaited.",
            ),
            (
                "local_ack_timeout_err",
                "node_infiniband_local_ack_timeout_errors_total",
                "Times that no acknowledgement came in time.",
            ),
            ("np_cnp_sent", "node_infiniband_np_cnp_packets_sent_total", "Notices of congestion sent."),
            (
                "np_ecn_marked_roce_packets",
                "node_infiniband_np_ecn_marked_roce_packets_received_total",
                "Packets received with a mark of congestion.",
            ),
            (
                "out_of_buffer",
                "node_infiniband_out_of_buffer_drops_total",
                "Packets dropped since no receive request was posted.",
            ),
            (
                "out_of_sequence",
                "node_infiniband_out_of_sequence_packets_received_total",
                "Packets received out of order.",
            ),
            (
                "packet_seq_err",
                "node_infiniband_packet_sequence_errors_total",
                "Answers that a packet was missing.",
            ),
            ("req_cqe_error", "node_infiniband_req_cqes_errors_total", "Requests that ended with an error."),
            (
                "req_cqe_flush_error",
                "node_infiniband_req_cqes_flush_errors_total",
                "Requests flushed with an error.",
            ),
            (
                "req_remote_access_errors",
                "node_infiniband_req_remote_access_errors_total",
                "Requests that the other end did not allow.",
            ),
            (
                "req_remote_invalid_request",
                "node_infiniband_req_remote_invalid_request_errors_total",
                "Requests that the other end called invalid.",
            ),
            (
                "resp_cqe_error",
                "node_infiniband_resp_cqes_errors_total",
                "Responses that ended with an error.",
            ),
            (
                "resp_cqe_flush_error",
                "node_infiniband_resp_cqes_flush_errors_total",
                "Responses flushed with an error.",
            ),
            (
                "resp_local_length_error",
                "node_infiniband_resp_local_length_errors_total",
                "Requests of a wrong length, seen at the responder.",
            ),
            (
                "resp_remote_access_errors",
                "node_infiniband_resp_remote_access_errors_total",
                "Requests that the responder did not allow.",
            ),
            (
                "rnr_nak_retry_err",
                "node_infiniband_rnr_nak_retry_packets_received_total",
                "Answers that the other end was not ready.",
            ),
            ("roce_adp_retrans", "node_infiniband_roce_adp_retransmits_total", "Adaptive retransmissions."),
            (
                "roce_adp_retrans_to",
                "node_infiniband_roce_adp_retransmits_timeout_total",
                "Adaptive retransmissions that came too late.",
            ),
            (
                "roce_slow_restart",
                "node_infiniband_roce_slow_restart_used_total",
                "Times that slow restart was used.",
            ),
            (
                "roce_slow_restart_cnps",
                "node_infiniband_roce_slow_restart_cnps_total",
                "Notices of congestion that slow restart made.",
            ),
            (
                "roce_slow_restart_trans",
                "node_infiniband_roce_slow_restart_total",
                "Changes into the state of slow restart.",
            ),
            (
                "rp_cnp_handled",
                "node_infiniband_rp_cnp_packets_handled_total",
                "Notices of congestion obeyed.",
            ),
            (
                "rp_cnp_ignored",
                "node_infiniband_rp_cnp_ignored_packets_received_total",
                "Notices of congestion ignored.",
            ),
            ("rx_atomic_requests", "node_infiniband_rx_atomic_requests_total", "Atomic requests received."),
            (
                "rx_dct_connect",
                "node_infiniband_rx_dct_connect_requests_total",
                "Connection requests received for dynamic transports.",
            ),
            (
                "rx_icrc_encapsulated",
                "node_infiniband_rx_icrc_encapsulated_errors_total",
                "Packets received with a wrong invariant checksum.",
            ),
            ("rx_read_requests", "node_infiniband_rx_read_requests_total", "Read requests received."),
            ("rx_write_requests", "node_infiniband_rx_write_requests_total", "Write requests received."),
        ],
    ),
];
