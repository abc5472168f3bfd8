//! Files of the kernel: read by as few calls as possible into a buffer that is used again; numbers in them.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::Arg;

/// No file of a cgroup comes near it: `io.stat` has some 150 bytes for a device.
const FILE_BYTES: usize = 64 << 10;
/// A list of processes may be longer; beyond it the rest is left out.
const MOST_BYTES: usize = 4 << 20;

/// Reads a file into the buffer, which grows where it must; `whole`: until the kernel has no more.
pub(super) fn read_at(
    dir: impl AsFd,
    name: impl Arg,
    whole: bool,
    buffer: &mut Vec<u8>,
) -> Result<usize, Errno> {
    let file = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if buffer.len() < FILE_BYTES {
        buffer.resize(FILE_BYTES, 0);
    }
    let mut len = 0;
    loop {
        if len == buffer.len() {
            if len >= MOST_BYTES {
                return Ok(len);
            }
            buffer.resize(len * 2, 0);
        }
        let room = buffer.len() - len;
        match rustix::io::read(&file, &mut buffer[len..]) {
            Ok(0) => return Ok(len),
            Ok(read) => {
                len += read;
                if !whole && read < room {
                    return Ok(len);
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A decimal number; `None` for anything else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
