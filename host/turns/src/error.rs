//! What can go wrong with turns, and what of it is for users.
//!
//! What an [`Error`] displays is for users. What the system said of a failure that is not theirs
//! to mend stays in its sources, which [`Error::details`] writes out for the log.

use std::fmt;

use thiserror::Error;

/// The result of what turns do.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter of the session's runtime is loaded.
    #[error("runtime {runtime:?} cannot be used at the moment")]
    RuntimeUnusable {
        /// The runtime's name.
        runtime: String,
    },
    /// The runtime of a session is not in `runtimes.toml`.
    #[error(
        "runtime {runtime:?}, which this session began with, is no longer declared: put its table \
         back into runtimes.toml, or create a session with another runtime"
    )]
    RuntimeUndeclared {
        /// The runtime's name.
        runtime: String,
    },
    /// The table of a session's runtime is wrong, and was never right since the server started.
    #[error(
        "runtime {runtime:?}, which this session began with, cannot be used: mend its table in \
         runtimes.toml and send the prompt again ({problem})"
    )]
    RuntimeUnreadable {
        /// The runtime's name.
        runtime: String,
        /// What is wrong, with its place.
        problem: String,
    },
    /// The runtime does not take the session's model.
    #[error("{0}")]
    Model(#[from] aod_runtime::ModelError),
    /// The adapter that the session began with is not to be had.
    #[error(
        "the adapter that this session began with cannot be loaded any more: create another session"
    )]
    AdapterGone(#[source] aod_runtime::KeptError),
    /// A sealed value does not open.
    #[error("the sealed value {name:?} cannot be opened: {source}; set it again")]
    Sealed {
        /// Its name.
        name: String,
        /// Why.
        source: aod_vault::OpenError,
    },
    /// A sealed value that an agent refers to is not there.
    #[error("the value of {name:?} is gone: set it again")]
    ValueGone {
        /// Its name.
        name: String,
    },
    /// A credential has expired, and its provider does not renew it.
    #[error(
        "the credential {name:?} has expired and cannot be renewed ({reason}): register it anew, \
         and send the prompt again"
    )]
    CredentialExpired {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A credential has expired, and whoever renews it is not to be had.
    #[error(
        "the credential {name:?} has expired and could not be renewed just now ({reason}): send \
         the prompt again, or ask the server's operator"
    )]
    CredentialNotRenewed {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The server's disk, or its quota, has no room left.
    #[error("the server's disk is full: make room, or ask its operator to, and try again")]
    FullDisk(#[source] Cause),
    /// Anything that is not the user's to mend.
    #[error("the server failed to do this; its log has the cause: try again, or ask its operator")]
    Internal(#[source] Cause),
}

/// What the system said. It is for the log, not for users.
#[derive(Debug)]
pub struct Cause(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Error {
    /// Something that is not the user's to mend, or a full disk.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        let is_full = chain(&*error).any(is_full_disk);
        match is_full {
            true => Self::FullDisk(Cause(error)),
            false => Self::Internal(Cause(error)),
        }
    }

    /// Whether its cause is for the log alone.
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::FullDisk(_) | Self::Internal(_))
    }

    /// Everything that is known of it, for the log.
    pub fn details(&self) -> impl fmt::Display + '_ {
        Details(self)
    }

    /// Whether a session's log cannot be written any more, however long one waits for it.
    pub(crate) fn is_broken_log(&self) -> bool {
        let Self::Internal(Cause(error)) = self else {
            return false;
        };
        chain(&**error).any(|cause| match cause.downcast_ref() {
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

struct Details<'a>(&'a Error);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What an internal error displays says less than its cause.
        let skipped = usize::from(self.0.is_internal());
        let mut before = String::new();
        for error in chain(self.0).skip(skipped).map(ToString::to_string) {
            // Many errors tell their source themselves.
            if !before.ends_with(&error) {
                let colon = if before.is_empty() { "" } else { ": " };
                write!(f, "{colon}{error}")?;
            }
            before = error;
        }
        Ok(())
    }
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let file = |error: &std::io::Error| matches!(error.kind(), StorageFull | QuotaExceeded);
    cause.downcast_ref().is_some_and(file)
        || cause
            .downcast_ref()
            .is_some_and(aod_store::Error::is_full_disk)
}

impl From<aod_store::Error> for Error {
    fn from(error: aod_store::Error) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_for_the_log_alone() {
        let error = Error::internal(io::Error::other("/srv/aod/secret-place is broken"));
        assert!(matches!(error, Error::Internal(_)));
        assert!(!error.to_string().contains("secret-place"), "{error}");
        assert_eq!(
            error.details().to_string(),
            "/srv/aod/secret-place is broken"
        );
    }

    #[test]
    fn a_full_disk_is_known_however_deep_it_lies() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = aod_vault::Error::Io {
            doing: "write",
            path: "vault".into(),
            source: full(),
        };
        for error in [Error::internal(full()), Error::internal(wrapped)] {
            assert!(matches!(error, Error::FullDisk(_)), "{error:?}");
            assert!(error.to_string().contains("disk is full"), "{error}");
        }
    }
}
