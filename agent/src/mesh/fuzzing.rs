//! Doors for the fuzz targets.

use super::packet::{self, Packet};
use super::tcp;

/// A question or an answer.
pub(crate) fn packet(data: &[u8]) {
    if let Some(Packet::Answer { token, times }) = packet::read(data) {
        assert_eq!(packet::read(&packet::answer(token, times)), Some(Packet::Answer { token, times }));
    }
}

/// What the kernel tells of a socket.
pub(crate) fn connection(data: &[u8]) {
    let _any = tcp::connection(data);
}
