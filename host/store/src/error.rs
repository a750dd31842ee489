//! What can go wrong, as the callers need to tell it apart.

use std::{io, path::PathBuf, sync::Arc};

use aod_resources::{IllegalTransition, Status};
use thiserror::Error;
use uuid::Uuid;

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do what it was asked to. Nothing was changed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such record, or it is another user's.
    #[error("{what} {id} not found")]
    NotFound {
        /// What kind of record.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// A record of that name or id is there already.
    #[error("{what} {name} exists already")]
    AlreadyExists {
        /// What kind of record.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// An update was meant for another version.
    #[error("Version mismatch: expected {expected}, got {got}")]
    VersionMismatch {
        /// The record's present version.
        expected: i64,
        /// The version that the caller named.
        got: i64,
    },
    /// The record was archived: it takes no update and starts no session.
    #[error("{what} {id} is archived")]
    Archived {
        /// What kind of record.
        what: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// A session was made with the record, which therefore stays.
    #[error("{what} {id} is in use: a session was made with it; archive it instead")]
    InUse {
        /// What kind of record.
        what: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// The owner has as many pending and running sessions as they may have.
    #[error("{active} sessions are active, of at most {limit}; end one or wait for one")]
    ActiveLimit {
        /// How many are allowed.
        limit: u32,
        /// How many there are.
        active: u32,
    },
    /// The owner has as many records of that kind as they may have.
    #[error("there are {limit} {what}s already, which is the most: delete one")]
    TooMany {
        /// What kind of record.
        what: &'static str,
        /// How many are allowed.
        limit: u32,
    },
    /// The record is disabled.
    #[error("{what} {id} is disabled")]
    Disabled {
        /// What kind of record.
        what: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// The idempotency key was used within its time, with another body.
    #[error("this Idempotency-Key was used with another request; use a new key")]
    IdempotencyMismatch,
    /// The session does not take that event in its present state.
    #[error(transparent)]
    IllegalTransition(#[from] IllegalTransition),
    /// Prompts wait for the session's turn to end, and come first.
    #[error("prompts wait in the session's queue, and come first")]
    PromptsQueued,
    /// As many prompts wait as may.
    #[error("{limit} prompts wait in the session's queue already")]
    QueueFull {
        /// How many may wait.
        limit: u32,
    },
    /// There is no checkpoint of that turn.
    #[error("turn {turn} has no checkpoint")]
    NoCheckpoint {
        /// The turn.
        turn: u32,
        /// Why it was not made, where it was to be.
        reason: Option<String>,
        /// The turns that have one.
        there: Vec<u32>,
    },
    /// The session's files were removed, as its server's settings say of old ones.
    #[error("the session's files were removed at {at}")]
    FilesRemoved {
        /// When.
        at: aod_resources::Timestamp,
    },
    /// The turn is not its session's current one: somebody else moved the session on.
    #[error("turn {turn} of session {session} is not its current turn, which is {current}")]
    NotCurrentTurn {
        /// The session.
        session: Uuid,
        /// The turn that was named.
        turn: u32,
        /// The turn that it is at.
        current: u32,
    },
    /// The session cannot be deleted while a turn waits or runs.
    #[error("session {id} is {}; terminate it or wait for its end", .status.as_str())]
    SessionActive {
        /// The session.
        id: Uuid,
        /// `pending` or `running`.
        status: Status,
    },
    /// The file was written by a newer release.
    #[error(
        "{} has schema version {found}, and this release knows versions up to {supported}; \
         start the release that wrote it, or a newer one", .path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that this release knows.
        supported: i64,
    },
    /// The file is a database of something else.
    #[error("{} is an SQLite database that this program did not make; name another folder", .path.display())]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The write-ahead log beside the file is of another one, and would hide it.
    #[error(
        "{} was put beside {}, which belongs to another file and would hide this one: move the \
         latter and the file that ends in -shm away, and start again; if both were put back \
         together, delete {} instead",
        .path.display(), .log.display(), .words.display()
    )]
    ForeignLog {
        /// The database file.
        path: PathBuf,
        /// The write-ahead log.
        log: PathBuf,
        /// What says which file the log belongs to.
        words: PathBuf,
    },
    /// A stored value cannot be read back: the file was changed by hand or is damaged.
    #[error("the store holds a value that cannot be read: {detail}")]
    Corrupt {
        /// Which value, and why.
        detail: String,
    },
    /// The file or its folder cannot be reached.
    #[error("cannot open {}: {source}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// SQLite refused: the disk is full, the file is locked by another process, or worse.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Arc<rusqlite::Error>),
    /// Another process kept reading or writing, so that old pages could not be wiped.
    #[error("another process is using the store; stop it and try again")]
    Busy,
    /// An operation panicked, which is a defect; it was rolled back.
    #[error("a store operation failed unexpectedly and was rolled back; this is a defect")]
    Panicked,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Whether the disk has no room left.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        matches!(self, Self::Unavailable(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }

    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        match error {
            Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::InvalidColumnType(..) => Self::Corrupt {
                detail: error.to_string(),
            },
            other => Self::Unavailable(Arc::new(other)),
        }
    }
}

/// Whether SQLite refused a row because of a uniqueness constraint.
pub(crate) fn is_duplicate(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|sqlite| {
        matches!(
            sqlite.extended_code,
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        )
    })
}
