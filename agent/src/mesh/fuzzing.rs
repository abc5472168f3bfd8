//! Doors for the fuzz targets.

use super::flight::{Look, OtherEnd};
use super::packet::{self, Packet};
use super::tcp;

/// A question or an answer.
pub(crate) fn packet(data: &[u8]) {
    if let Some(Packet::Answer { token, times }) = packet::read(data) {
        assert_eq!(packet::read(&packet::answer(token, times)), Some(Packet::Answer { token, times }));
    }
}

/// What the other end of a way is asked, and what it tells.
pub(crate) fn look(data: &[u8]) {
    if let Some(look) = Look::read(data) {
        assert_eq!(Look::read(&look.write()), Some(look));
    }
    if let Some((token, told)) = OtherEnd::read(data) {
        assert!(OtherEnd::read(&told.write(token)).is_some());
    }
}

/// What the kernel tells of a socket.
pub(crate) fn connection(data: &[u8]) {
    let _any = tcp::connection(data);
}
