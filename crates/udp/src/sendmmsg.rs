//! The system call. Everything `unsafe` in this crate is here.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::batch::Message;

/// Messages for one call: enough to make the call's own cost vanish, few enough for the stack.
pub(crate) const MAX_MESSAGES: usize = 64;

/// Room for one control message that holds a `u16`.
// SAFETY: `CMSG_SPACE` only computes with its argument.
const CONTROL_LEN: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as u32) } as usize;

#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Aligned as the kernel's `cmsghdr` wants it.
#[repr(C)]
#[derive(Clone, Copy)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; CONTROL_LEN],
}

/// Sends the leading messages of `messages` (at most [`MAX_MESSAGES`]), and says how many the
/// kernel took: at least one. An error is about the first message.
pub(crate) fn send(socket: BorrowedFd<'_>, messages: &[Message<'_>]) -> io::Result<usize> {
    // SAFETY: all four are plain C structures, of which all-zero bytes are a value.
    let (mut names, mut vectors, mut controls, mut headers): (
        [Name; MAX_MESSAGES],
        [libc::iovec; MAX_MESSAGES],
        [Control; MAX_MESSAGES],
        [libc::mmsghdr; MAX_MESSAGES],
    ) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed(), mem::zeroed()) };

    let slots = names.iter_mut().zip(&mut vectors).zip(&mut controls).zip(&mut headers);
    let mut count: libc::c_uint = 0;
    for (message, (((name, vector), control), header)) in messages.iter().zip(slots) {
        let header = &mut header.msg_hdr;
        header.msg_namelen = write_name(name, message.destination);
        header.msg_name = std::ptr::from_mut(name).cast();
        // `sendmmsg` reads through this pointer only; C has no const here.
        vector.iov_base = message.payload.as_ptr().cast_mut().cast();
        vector.iov_len = message.payload.len();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        if let Some(size) = message.segment_size {
            write_segment_size(header, control, size);
        }
        count += 1;
    }
    // SAFETY: `headers` begins with `count` filled entries; their pointers lead into `names`,
    // `vectors`, `controls` and the messages' payloads, all of which outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Fills in a destination; gives back its length.
fn write_name(name: &mut Name, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Asks the kernel to cut the message every `size` bytes (`UDP_SEGMENT`, udp(7)).
fn write_segment_size(header: &mut libc::msghdr, control: &mut Control, size: u16) {
    header.msg_control = std::ptr::from_mut(control).cast();
    header.msg_controllen = CONTROL_LEN as _;
    // SAFETY: the control buffer is aligned for a `cmsghdr` and has room for one with a `u16`,
    // so `CMSG_FIRSTHDR` points into it and `CMSG_DATA` at two bytes of it.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(size);
    }
}

/// Turns the merging of received datagrams off (`UDP_GRO`).
pub(crate) fn disable_gro(socket: BorrowedFd<'_>) -> io::Result<()> {
    let off: libc::c_int = 0;
    // SAFETY: `off` is a live `c_int` of the length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            std::ptr::from_ref(&off).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
