//! Content that a command finds under descriptor numbers of its choice.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use aod_supervisor::DataFd;
use rustix::fs::MemfdFlags;

/// Our own descriptors that must not be in the way have at least this number.
pub const ABOVE: i32 = 256;

/// Puts each content in memory and under its number, here in the supervisor, closed on exec. All
/// descriptors opened later then have other numbers, so that nothing can collide in the child.
pub fn place(wanted: &[DataFd]) -> io::Result<Vec<OwnedFd>> {
    let mut high = Vec::with_capacity(wanted.len());
    for (n, data) in wanted.iter().enumerate() {
        let repeated = wanted[..n].iter().any(|other| other.fd == data.fd);
        if !(3..ABOVE).contains(&data.fd) || repeated {
            let message = format!("descriptor {} is out of range or wanted twice", data.fd);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let memory = rustix::fs::memfd_create("data", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(data.content.expose())?;
        file.rewind()?;
        // Away from the numbers that are wanted.
        high.push(rustix::io::fcntl_dupfd_cloexec(&file, ABOVE)?);
    }
    let mut placed = Vec::with_capacity(wanted.len());
    for (file, data) in high.iter().zip(wanted) {
        // SAFETY: no value of this process owns the number: all are above, or below 3.
        let done = unsafe { libc::dup3(file.as_raw_fd(), data.fd, libc::O_CLOEXEC) };
        if done == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and owned by nobody else.
        placed.push(unsafe { OwnedFd::from_raw_fd(data.fd) });
    }
    Ok(placed)
}

/// In the child, between fork and exec: lets one through.
pub fn keep(fd: i32) -> io::Result<()> {
    // SAFETY: the parent holds it open until the child was started.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}
