//! What the services answer when they do not do what they were asked to.

use aod_resources::{IllegalTransition, Status};
use thiserror::Error;

/// The services' result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a service did not do what it was asked to. The texts are for the user, except for those of
/// [`Error::Internal`].
#[derive(Debug, Error)]
pub enum Error {
    /// Not there, or another user's. Holds what kind of thing it is.
    #[error("{0} not found")]
    NotFound(String),
    /// No such runtime is declared and ready.
    #[error("{0}")]
    UnknownRuntime(String),
    /// Well-formed and yet not possible.
    #[error("{0}")]
    Invalid(String),
    /// Not in the present state.
    #[error("{0}")]
    Conflict(String),
    /// The user has as many active sessions as they may have.
    #[error("{active} of {limit} sessions are active")]
    ActiveLimit {
        /// How many are allowed.
        limit: u32,
        /// How many there are.
        active: u32,
    },
    /// Something that the host needs does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// The server's disk, or its quota, has no room left.
    #[error("the server's disk is full: make room, or ask its operator to, and try again")]
    FullDisk(#[source] anyhow::Error),
    /// Anything that is not the user's to mend.
    #[error("{0:#}")]
    Internal(anyhow::Error),
}

impl Error {
    /// Something that is not the user's to mend, or a full disk.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        match error.chain().any(is_full_disk) {
            true => Self::FullDisk(error),
            false => Self::Internal(error),
        }
    }
}

impl Error {
    /// Whether a session's log cannot be written any more, however long one waits for it.
    pub(crate) fn is_broken_log(&self) -> bool {
        let Self::Internal(error) = self else {
            return false;
        };
        error.chain().any(|cause| match cause.downcast_ref() {
            Some(aod_log::Error::Corrupt { .. } | aod_log::Error::NewerFormat { .. }) => true,
            Some(aod_log::Error::Io { source, .. }) => {
                use std::io::ErrorKind::{
                    InvalidInput, IsADirectory, NotADirectory, NotFound, Other,
                };
                let kinds = [InvalidInput, IsADirectory, NotADirectory, NotFound, Other];
                kinds.contains(&source.kind())
            }
            _ => false,
        })
    }
}

fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let file = |error: &std::io::Error| matches!(error.kind(), StorageFull | QuotaExceeded);
    cause.downcast_ref().is_some_and(file)
        || cause
            .downcast_ref()
            .is_some_and(aod_store::Error::is_full_disk)
}

/// The API's word for what the store calls by a table's name.
fn capitalised(what: &str) -> String {
    let mut letters = what.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

impl From<aod_store::Error> for Error {
    fn from(error: aod_store::Error) -> Self {
        use aod_store::Error as Store;
        match error {
            Store::NotFound { what, .. } => Self::NotFound(capitalised(what)),
            Store::VersionMismatch { .. } => Self::Conflict(error.to_string()),
            Store::Archived { what, .. } => {
                Self::Conflict(format!("{} is archived", capitalised(what)))
            }
            Store::InUse { what, .. } => Self::Conflict(format!(
                "{} is referenced by a session and cannot be deleted: archive it instead",
                capitalised(what)
            )),
            Store::ActiveLimit { limit, active } => Self::ActiveLimit { limit, active },
            Store::IdempotencyMismatch => Self::Invalid(
                "this Idempotency-Key was used with another request: use a new key".to_owned(),
            ),
            Store::IllegalTransition(illegal) => Self::Conflict(refusal(illegal)),
            Store::SessionActive { status, .. } => Self::Conflict(format!(
                "Session is {}: terminate it or wait for its end before deleting it",
                status.as_str()
            )),
            Store::AlreadyExists { .. } => Self::Conflict(capitalised(&error.to_string())),
            other => Self::internal(other),
        }
    }
}

/// Each state refuses with a message of its own (`1-http-api.md`, "Rules").
fn refusal(illegal: IllegalTransition) -> String {
    use aod_resources::SessionEvent::{End, Prompt, Start};
    match (illegal.state.status, illegal.event) {
        (Status::Pending, Prompt) => {
            "Session is pending: its turn has not started yet; wait for its end".to_owned()
        }
        (Status::Running, Prompt) => {
            "Session is running: wait for the turn's end, or interrupt it".to_owned()
        }
        (Status::Terminated, Prompt) => {
            "Session is terminated and takes no more prompts: create another".to_owned()
        }
        (Status::Failed, Prompt) => {
            "Session failed before its sandbox was provisioned: create another".to_owned()
        }
        (Status::Pending, End(_)) => {
            "Session is still being provisioned: wait for its turn to start, or terminate it"
                .to_owned()
        }
        (status, End(_)) => format!("Session is {}: no turn waits or runs", status.as_str()),
        (status, Start | Prompt) => format!("Session is {}", status.as_str()),
    }
}
