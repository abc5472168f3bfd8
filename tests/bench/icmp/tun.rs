//! A program behind a TUN device that answers each echo request after [`DELAY`].

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sys;

/// Far longer than what any tool adds.
const DELAY: Duration = Duration::from_millis(3);

/// Answers until it is killed.
pub(super) fn answer(device: &str) -> Result<(), Box<dyn Error>> {
    let tun = sys::open_tun(device)?;
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut packet = [0; 2048];
    loop {
        let now = Instant::now();
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, reply)) = waiting.pop_front() else { break };
            rustix::io::write(&tun, &reply)?;
        }
        let wait = waiting.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let wait = wait.map(Timespec::try_from).transpose()?;
        let mut fds = [PollFd::new(&tun, PollFlags::IN)];
        if poll(&mut fds, wait.as_ref())? == 0 {
            continue;
        }
        let len = rustix::io::read(&tun, &mut packet)?;
        if let Some(reply) = reply(&packet[..len]) {
            waiting.push_back((Instant::now() + DELAY, reply));
        }
    }
}

/// The answer to an echo request: the addresses exchanged, the type 0 instead of 8, which the checksum must make up for
/// (RFC 1624).
fn reply(packet: &[u8]) -> Option<Vec<u8>> {
    let mut reply = packet.to_vec();
    let header = usize::from(packet.first()? & 15) * 4;
    if packet[0] >> 4 != 4 || *packet.get(9)? != 1 || *packet.get(header)? != 8 {
        return None;
    }
    reply[12..16].copy_from_slice(packet.get(16..20)?);
    reply[16..20].copy_from_slice(packet.get(12..16)?);
    reply[header] = 0;
    let sum = u16::from_be_bytes([*packet.get(header + 2)?, *packet.get(header + 3)?]);
    let (sum, carry) = sum.overflowing_add(0x0800);
    reply[header + 2..header + 4].copy_from_slice(&sum.wrapping_add(carry.into()).to_be_bytes());
    Some(reply)
}
