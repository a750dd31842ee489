//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a log could not be opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Another writer holds the log.
    #[error("the log in {} is being written by another process; wait until it lets go", dir.display())]
    Locked {
        /// The log's folder.
        dir: PathBuf,
    },
    /// A newer version of the program wrote this log.
    #[error(
        "{} has log format {found}, and this program knows formats up to {supported}; it was left untouched: use the newer program",
        segment.display()
    )]
    NewerFormat {
        /// The segment file.
        segment: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that is understood.
        supported: u32,
    },
    /// Bytes that no writer wrote this way stand before others that are whole.
    #[error("{} is damaged at byte {offset}: {what}; restore it from a copy", segment.display())]
    Corrupt {
        /// The segment file.
        segment: PathBuf,
        /// Where the first damaged record begins.
        offset: u64,
        /// What was found there.
        what: &'static str,
    },
    /// There was no room for a batch. Its first `written` records are in the log, whole.
    #[error("no room to append to the log in {}: free some disk space", dir.display())]
    DiskFull {
        /// The log's folder.
        dir: PathBuf,
        /// How many of the batch's records were written nevertheless.
        written: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A record's payload is longer than [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
    #[error("a record of {bytes} bytes is longer than the log takes ({max} bytes)")]
    TooLarge {
        /// The payload's length.
        bytes: usize,
        /// The longest that is taken.
        max: usize,
    },
    /// The system refused something else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: names the action and the path.
    pub(crate) fn io<'a, E: Into<io::Error>>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(E) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// Whether the system said that there is no room, by disk or by quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
