//! A packet socket with the kernel's stamps, and a TUN device: what no safe wrapper gives. Everything that reads the
//! bytes is safe code elsewhere.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Bytes for packets that wait to be read.
const BUFFER: i32 = 64 << 20;

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sees what a device sends and receives, from the network header on (packet(7)).
pub(super) fn packet_socket(device: &str) -> io::Result<OwnedFd> {
    let name = std::ffi::CString::new(device)?;
    let all = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: no pointers; the result is a new descriptor that nobody else owns.
    let fd = unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, kind, all.into()))?)
    };
    for (option, value) in [(libc::SO_RCVBUFFORCE, BUFFER), (libc::SO_TIMESTAMPNS, 1)] {
        // SAFETY: the pointer and length are those of a live integer.
        check(unsafe {
            let value = (&raw const value).cast();
            libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, value, size_of::<i32>() as u32)
        })?;
    }
    // SAFETY: the name ends with a zero byte; the address is plain data, live during the call, with its own length.
    check(unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
    })?;
    Ok(fd)
}

/// A packet's length (cut to the buffer) and stamp in nanoseconds since 1970; `None` when there is none.
pub(super) fn receive(fd: &OwnedFd, packet: &mut [u8]) -> io::Result<Option<(usize, i64)>> {
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: zeroes are a valid message; all pointers are to buffers that are live and exclusive, with their lengths;
    // the walk over the control messages is by the system's own macros, and what it reads is as long as a timespec.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let len = libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0);
        if len < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = head.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                let time: libc::timespec = libc::CMSG_DATA(head).cast::<libc::timespec>().read_unaligned();
                return Ok(Some((len as usize, time.tv_sec * 1_000_000_000 + time.tv_nsec)));
            }
            head = libc::CMSG_NXTHDR(&raw const message, head);
        }
        Ok(Some((len as usize, 0)))
    }
}

/// A TUN device that is there, without the packets' own heads (Documentation/networking/tuntap.rst).
pub(super) fn open_tun(device: &str) -> io::Result<OwnedFd> {
    let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: zeroes are a valid request; it is live during the call, and the name is shorter than its field.
    check(unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request)
    })?;
    Ok(file.into())
}
