//! A TUN device: the kernel's packets as reads and writes of a file.
#![allow(
    unsafe_code,
    reason = "an ioctl, setns(2) and sched_setscheduler(2), for which our rustix has no safe wrappers"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// linux/if_tun.h
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN: u16 = 1;
const IFF_NO_PI: u16 = 0x1000;

/// Opens a device that `ip tuntap` has made in this namespace; reads and writes never wait.
pub(crate) fn open(name: &str) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // struct ifreq: 16 bytes of name, then the flags; 40 bytes in all.
    let mut request = [0_u8; 40];
    request[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the pointer is to a live array as long as the struct ifreq that the kernel reads and writes.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, request.as_mut_ptr()) };
    if done == 0 { Ok(file) } else { Err(io::Error::last_os_error()) }
}

/// Makes this thread run before all others: what it carries shall not wait for a busy machine.
pub(crate) fn hurry() {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a live struct; 0 is the calling thread. Where it is denied, it is as slow as others.
    let _denied = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) };
}

/// Opens a device of another namespace, in a thread of its own: a thread that has moved there does not come back.
pub(crate) fn open_in(namespace: &str, name: &str) -> io::Result<File> {
    let namespace = File::open(format!("/run/netns/{namespace}"))?;
    let name = name.to_owned();
    let opening = std::thread::spawn(move || {
        // SAFETY: takes two numbers, of which one is an open file's.
        match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => open(&name),
            _ => Err(io::Error::last_os_error()),
        }
    });
    opening.join().unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))
}
