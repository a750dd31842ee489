//! A truth that one process tells another: at once, and for as long as both live.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::MemfdFlags;

/// Is written for true; all else is false.
const TRUE: u8 = 1;

/// A flag in memory of its own. Whoever has its descriptor reads what was written last, with no
/// message that could still be on its way.
#[derive(Debug)]
pub struct Flag(OwnedFd);

impl Flag {
    /// A flag that is set, or is not.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for it.
    pub fn new(value: bool) -> io::Result<Self> {
        let flag = Self(rustix::fs::memfd_create("aod-flag", MemfdFlags::CLOEXEC)?);
        flag.set(value)?;
        Ok(flag)
    }

    /// Sets it, for all who have it.
    ///
    /// # Errors
    /// When it cannot be written; it is then what it was.
    pub fn set(&self, value: bool) -> io::Result<()> {
        let byte = if value { TRUE } else { 0 };
        match rustix::io::pwrite(&self.0, &[byte], 0)? {
            1 => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Whether it is set. One that cannot be read is not.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let mut byte = [0];
        matches!(rustix::io::pread(&self.0, &mut byte, 0), Ok(1)) && byte == [TRUE]
    }
}

impl From<OwnedFd> for Flag {
    /// A flag that another process has made.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Flag {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_tells_what_was_set_last() {
        let flag = Flag::new(true).unwrap();
        let copy = Flag::from(flag.as_fd().try_clone_to_owned().unwrap());
        assert!(copy.is_set());
        flag.set(false).unwrap();
        assert!(!copy.is_set());
        flag.set(true).unwrap();
        assert!(copy.is_set());
    }

    #[test]
    fn what_is_no_flag_is_not_set() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        assert!(!Flag::from(reader).is_set() && !Flag::from(writer).is_set());
    }
}
