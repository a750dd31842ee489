//! How many requests to a model a turn may make, and has made: counted where they pass, and kept by
//! whoever started the command, so that a server that ends and is started again goes on counting.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

/// What an egress program tells its starter when it lets a request to a model through no more, a
/// line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceReport {
    /// The turn had made all the requests that it may, and wanted to make another one.
    RequestsSpent {
        /// So many they are.
        most: u32,
    },
}

/// Numbers in memory of their own: the most requests of the turn, where there is such a number, and
/// those that it has made. Two processes share them: one begins turns, the other counts.
#[derive(Debug)]
pub struct Allowance(OwnedFd);

/// How the numbers stand in memory. Nothing may be 0 requests: that is no bound.
const SIZE: usize = 8;

impl Allowance {
    /// One without a bound.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let fd = rustix::fs::memfd_create("aod-allowance", MemfdFlags::CLOEXEC)?;
        let allowance = Self(fd);
        allowance.begin(None)?;
        Ok(allowance)
    }

    /// A turn begins, and may make so many requests; none: as many as it likes.
    ///
    /// # Errors
    /// When it cannot be written; it is then what it was.
    pub fn begin(&self, most: Option<u32>) -> io::Result<()> {
        self.write(most.unwrap_or(0), 0)
    }

    /// Whether all requests were made that may be.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_spent(&self) -> io::Result<bool> {
        let (most, spent) = self.read()?;
        Ok(most > 0 && spent >= most)
    }

    /// Counts a request, unless all were made that may be: then it says how many those are.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn spend(&self) -> io::Result<Result<(), u32>> {
        let (most, spent) = self.read()?;
        if most > 0 && spent >= most {
            return Ok(Err(most));
        }
        self.write(most, spent.saturating_add(1))?;
        Ok(Ok(()))
    }

    fn read(&self) -> io::Result<(u32, u32)> {
        let mut numbers = [0; SIZE];
        if rustix::io::pread(&self.0, &mut numbers, 0)? != SIZE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let [a, b, c, d, e, f, g, h] = numbers;
        let number = u32::from_le_bytes;
        Ok((number([a, b, c, d]), number([e, f, g, h])))
    }

    fn write(&self, most: u32, spent: u32) -> io::Result<()> {
        let [a, b, c, d] = most.to_le_bytes();
        let [e, f, g, h] = spent.to_le_bytes();
        match rustix::io::pwrite(&self.0, &[a, b, c, d, e, f, g, h], 0)? {
            SIZE => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl From<OwnedFd> for Allowance {
    /// One that another process has made.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Allowance {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_makes_as_many_requests_as_it_may() {
        let starter = Allowance::new().unwrap();
        let server = || Allowance::from(starter.as_fd().try_clone_to_owned().unwrap());
        for _ in 0..5 {
            assert_eq!(server().spend().unwrap(), Ok(()));
        }
        starter.begin(Some(2)).unwrap();
        let counts: Vec<_> = (0..4).map(|_| server().spend().unwrap()).collect();
        assert_eq!(counts, [Ok(()), Ok(()), Err(2), Err(2)]);
        assert!(server().is_spent().unwrap());
        starter.begin(Some(1)).unwrap();
        let counts: Vec<_> = (0..2).map(|_| server().spend().unwrap()).collect();
        assert_eq!(counts, [Ok(()), Err(1)]);
        starter.begin(None).unwrap();
        assert!(!server().is_spent().unwrap());
        assert_eq!(server().spend().unwrap(), Ok(()));
    }
}
