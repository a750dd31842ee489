//! What can go wrong with a tree.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tree was not read, changed or removed, or not to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a step.
    #[error("cannot {doing} {name:?}: {source}")]
    Io {
        /// What was being done, such as `open`.
        doing: &'static str,
        /// To which name or path.
        name: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A path is absolute, empty, or contains `..`.
    #[error("{0:?} is no path inside the folder")]
    NotInside(PathBuf),
    /// The tree is more than may be worked on at once. What was removed until then stays removed,
    /// and another call goes on from there.
    #[error("the tree has {0}")]
    Bound(Bound),
    /// Another file system is mounted at this name inside the tree; it is left alone.
    #[error("{0:?} is a mount inside the tree")]
    Mount(PathBuf),
    /// A folder was moved while the tree was walked, so that the way back is lost.
    #[error("the tree was changed while it was walked")]
    Changed,
    /// A link on the path is absolute or leads out of the folder, or something is mounted there.
    #[error("{0:?} leads out of the folder by a symbolic link, or into a mount")]
    Leaves(PathBuf),
    /// The work was broken off, since nobody wants it any more.
    #[error("the work on the tree was broken off")]
    Unwanted,
    /// Something was put at this name each time that it was cleared.
    #[error("{0:?} is put back as often as it is removed")]
    PutBack(PathBuf),
}

/// Which bound of [`Limits`](crate::Limits) was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Bound {
    /// Too many entries.
    #[error("more than {0} entries")]
    Entries(u64),
    /// Nested too deep.
    #[error("more than {0} levels")]
    Depth(u32),
    /// It took too long.
    #[error("more than can be handled in {0} ms")]
    Millis(u64),
    /// A file is longer than it may be.
    #[error("a file of more than {0} bytes where a small one should be")]
    Bytes(u64),
    /// More would be written than may be.
    #[error("more than {0} bytes altogether")]
    Total(u64),
}

impl Error {
    pub(crate) fn io(doing: &'static str, name: &OsStr, errno: Errno) -> Self {
        let name = PathBuf::from(name);
        match errno {
            Errno::XDEV if doing == "open" => Self::Mount(name),
            errno => Self::Io {
                doing,
                name,
                source: errno.into(),
            },
        }
    }

    /// The kind of the kernel's refusal, where there was one.
    #[must_use]
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::NotInside(_) | Error::Leaves(_) => io::ErrorKind::InvalidInput,
            Error::Bound(Bound::Bytes(_)) => io::ErrorKind::FileTooLarge,
            Error::Bound(_) => io::ErrorKind::TimedOut,
            Error::Mount(_) => io::ErrorKind::CrossesDevices,
            Error::Unwanted => io::ErrorKind::Interrupted,
            Error::Changed | Error::PutBack(_) => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error)
    }
}
