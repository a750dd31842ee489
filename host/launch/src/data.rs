//! Content in memory that a command reads from a descriptor.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

/// The starter's own descriptors have at least this number while a command is started, so that
/// none of them is in the way of a number that the command asks for.
pub(crate) const ABOVE: i32 = 256;

/// An unnamed file that holds `content`, can no longer be changed, and is read from its beginning.
/// It can be read to its end without help, which a pipe could not where the content exceeds its
/// buffer. Its number is [`ABOVE`] or more.
pub(crate) fn sealed(content: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("aod-data", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, all)?;
    lift(&file)
}

/// A copy of a descriptor whose number is [`ABOVE`] or more, closed when something is executed.
pub(crate) fn lift(fd: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, ABOVE)?)
}
