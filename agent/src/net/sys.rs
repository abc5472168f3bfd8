//! The system calls with control messages and the resolver's call for names, for which there is no safe wrapper that knows
//! timestamps and the error queue, and their file descriptor's registration with tokio. The only `unsafe` of the agent but
//! for one call in `collector/timex.rs` and one in `footprint.rs`; everything that reads or writes the bytes is safe code
//! elsewhere.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sizes of what one receive call filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    pub(super) data: usize,
    pub(super) name: usize,
    pub(super) control: usize,
}

/// Has tokio watch a socket.
pub(super) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: tokio asks that the descriptor stays open and the same until it is deregistered. An OwnedFd gives no
    // way to exchange it, and AsyncFd deregisters before it drops it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// `setsockopt(2)` with a value of plain bytes.
pub(super) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length are those of a live slice, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), value.len() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `sendmsg(2)` of one datagram to the socket address in `name`.
pub(super) fn send(fd: BorrowedFd<'_>, name: &[u8], data: &[u8], control: &[u8]) -> io::Result<()> {
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: msghdr is plain old data, for which all zeroes is a valid value (some libcs add private padding).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_ptr().cast_mut().cast();
    message.msg_namelen = name.len() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_ptr().cast_mut().cast();
        message.msg_controllen = control.len() as _;
    }
    // SAFETY: all pointers are to slices that outlive the call, with their own lengths; sendmsg only reads them.
    let sent =
        unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `recvmsg(2)` of one datagram, never waiting; `errors` reads the error queue. `WouldBlock` when there is none.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    errors: bool,
    data: &mut [u8],
    name: &mut [u8],
    control: &mut [u8],
) -> io::Result<Filled> {
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: as in `send`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = name.len() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len() as _;
    let flags = libc::MSG_DONTWAIT | if errors { libc::MSG_ERRQUEUE } else { 0 };
    // SAFETY: all pointers are to exclusively borrowed slices with their own lengths; the kernel writes within them.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // Lengths are cut to the buffers, so that nobody downstream must trust the kernel's figures.
    Ok(Filled {
        data: (got as usize).min(data.len()),
        name: (message.msg_namelen as usize).min(name.len()),
        control: (message.msg_controllen as usize).min(control.len()),
    })
}

/// `getnameinfo(3)` of the socket address in `address`; how much of `name` it filled, `None` without a name.
pub(super) fn name_of(address: &[u8], name: &mut [u8]) -> Option<usize> {
    // SAFETY: both pointers are to live slices with their own lengths; the C library writes within `name` and ends it
    // with a zero. An unaligned address is copied before it is read (getnameinfo(3) takes a const sockaddr).
    let mut aligned: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let len = address.len().min(size_of::<libc::sockaddr_storage>());
    // SAFETY: `len` bytes are within both, which do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(address.as_ptr(), (&raw mut aligned).cast::<u8>(), len) };
    // SAFETY: as above.
    let failed = unsafe {
        libc::getnameinfo(
            (&raw const aligned).cast(),
            len as libc::socklen_t,
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if failed != 0 {
        return None;
    }
    name.iter().position(|byte| *byte == 0).filter(|len| *len > 0)
}
