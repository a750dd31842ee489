//! When the kernel had what a socket receives: `SO_TIMESTAMPNS` of `socket(7)`, which Linux knows
//! for TCP, too. A reader that shares the processors with the server reads it later than one
//! elsewhere would.

use std::io;
use std::mem;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, SystemTime};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Room for the one message that comes with the bytes, aligned as its header must be.
#[repr(align(8))]
struct Control([u8; 64]);

/// Has the kernel say when it had what is read from now on.
pub(crate) fn ask(stream: &TcpStream) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, which lives until the call returns.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            mem::size_of_val(&on).try_into().unwrap_or_default(),
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads what there is, and says when the kernel had the last of it.
pub(crate) async fn read(
    stream: &TcpStream,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<SystemTime>)> {
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || receive(stream, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<SystemTime>)> {
    let mut control = Control([0; 64]);
    let mut into = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a message header of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut into;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: both buffers are as long as the header says, and live until the call returns.
    let received = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) };
    let Ok(length) = usize::try_from(received) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has filled in the header, and how much of the control buffer it used.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    let is_time = |it: &&libc::cmsghdr| {
        it.cmsg_level == libc::SOL_SOCKET && it.cmsg_type == libc::SCM_TIMESTAMPNS
    };
    let at = first.filter(is_time).map(|header| {
        // SAFETY: a message of this type holds a timespec, which need not be aligned.
        let time = unsafe {
            libc::CMSG_DATA(header)
                .cast::<libc::timespec>()
                .read_unaligned()
        };
        let seconds = time.tv_sec.try_into().unwrap_or_default();
        let nanoseconds = time.tv_nsec.try_into().unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    });
    Ok((length, at))
}
