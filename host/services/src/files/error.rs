//! Why something was not done with files.

use std::io::ErrorKind;

use aod_resources::{FilePath, PathProblem};
use aod_trees::Bound;
use rustix::io::Errno;
use thiserror::Error;

use super::upload::Interrupted;
use crate::Error as ServiceError;

/// Why something was not done with files of a workspace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The session was not provisioned yet.
    #[error("Session has no workspace yet: wait until its first turn is being provisioned")]
    NoWorkspace,
    /// The workspace is in an image that cannot be mounted.
    #[error("the session's disk cannot be used: {0}")]
    NoDisk(#[source] std::io::Error),
    /// A path is none.
    #[error("{field}: {problem}")]
    Path {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        problem: PathProblem,
    },
    /// Nothing has that path.
    #[error("there is nothing at {path:?} in the workspace")]
    Nothing {
        /// The path.
        path: String,
    },
    /// What the path leads through is no folder.
    #[error(
        "{path:?} cannot be changed: something on the way to it is a file or a symbolic link; name \
         a path through folders alone"
    )]
    Way {
        /// The path.
        path: String,
    },
    /// A link leads out.
    #[error(
        "{path:?} leads out of the workspace by a symbolic link, or through an absolute one: name \
         what it leads to by its path in the workspace"
    )]
    Leaves {
        /// The path.
        path: String,
    },
    /// Links lead in a circle.
    #[error("{path:?} leads through too many symbolic links")]
    Links {
        /// The path.
        path: String,
    },
    /// It can be neither read nor listed.
    #[error("{path:?} is {kind}: only files and folders can be read")]
    NotRegular {
        /// The path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A folder was needed.
    #[error("{path:?} is no folder")]
    NoFolder {
        /// The path.
        path: String,
    },
    /// A folder is in the way.
    #[error("{path:?} is a folder: delete it first, or name a path in it")]
    IsFolder {
        /// The path.
        path: String,
    },
    /// Something is in the way.
    #[error("there is something at {path:?} already: delete it first, or send overwrite")]
    Exists {
        /// The path.
        path: String,
    },
    /// A folder that is not empty is in the way.
    #[error("the folder {path:?} is not empty: delete it first")]
    NotEmpty {
        /// The path.
        path: String,
    },
    /// A folder cannot be moved into itself.
    #[error("a folder cannot be moved into itself")]
    IntoItself,
    /// Its permissions are in the way.
    #[error(
        "{path:?} cannot be opened: its permissions, or those of a folder on the way, forbid it"
    )]
    Closed {
        /// The path.
        path: String,
    },
    /// The agent changes it at the same time.
    #[error("{path:?} was changed while it was worked on: try again")]
    Busy {
        /// The path.
        path: String,
    },
    /// It is not what the client has seen.
    #[error("{path:?} is not as the request's If-Match or If-None-Match wants it: read it again")]
    Changed {
        /// The path.
        path: String,
    },
    /// There is more than is looked at for one request.
    #[error(
        "{path:?} has {bound}, which is more than one request may ask for: ask for parts of it"
    )]
    TooMuch {
        /// The path.
        path: String,
        /// How much.
        bound: Bound,
    },
    /// The upload is larger than it may be.
    #[error("the upload is larger than the server takes: at most {0} bytes (limits.upload)")]
    TooLarge(u64),
    /// The upload broke off.
    #[error(transparent)]
    Interrupted(Interrupted),
    /// An archive cannot be unpacked.
    #[error("the archive cannot be unpacked: {problem}")]
    Archive {
        /// What is wrong, and with which entry.
        problem: String,
    },
    /// A glob cannot be read.
    #[error("glob: {0}")]
    Glob(String),
    /// The place where a list goes on is none.
    #[error("after: it should be the `next` of the page before")]
    After,
    /// One user asks for too much at once.
    #[error("{0} archives and lists of yours are being made at once: wait for one to end")]
    TooMany(u32),
}

impl FilesError {
    /// Of a path that was asked for.
    pub(super) fn nothing_at(path: &FilePath) -> Self {
        Self::Nothing {
            path: path.to_string(),
        }
    }

    /// What a tree says of a path that was asked for.
    pub(super) fn of(error: aod_trees::Error, path: &FilePath) -> ServiceError {
        use aod_trees::Error as Trees;
        let at = path.to_string();
        match error {
            Trees::Leaves(_) | Trees::Mount(_) => Self::Leaves { path: at }.into(),
            Trees::Changed | Trees::PutBack(_) => Self::Busy { path: at }.into(),
            Trees::Bound(bound) => Self::TooMuch { path: at, bound }.into(),
            Trees::Io {
                doing,
                source,
                name,
            } => {
                let errno = source.raw_os_error().map(Errno::from_raw_os_error);
                match errno {
                    Some(Errno::NOENT) => Self::Nothing { path: at }.into(),
                    // Who reads finds nothing; who writes finds something in the way.
                    Some(Errno::NOTDIR) if doing == "find" => Self::Nothing { path: at }.into(),
                    Some(Errno::NOTDIR | Errno::LOOP) if doing == "open" => {
                        Self::Way { path: at }.into()
                    }
                    Some(Errno::LOOP) => Self::Links { path: at }.into(),
                    Some(Errno::NOTDIR | Errno::EXIST) => Self::Exists { path: at }.into(),
                    Some(Errno::ISDIR) => Self::IsFolder { path: at }.into(),
                    Some(Errno::NOTEMPTY) => Self::NotEmpty { path: at }.into(),
                    Some(Errno::ACCESS | Errno::PERM) => Self::Closed { path: at }.into(),
                    Some(Errno::NAMETOOLONG) => Self::Path {
                        field: "path",
                        problem: PathProblem::Long,
                    }
                    .into(),
                    Some(Errno::INVAL) if doing == "move" => Self::IntoItself.into(),
                    None if source.kind() == ErrorKind::InvalidInput => Self::NotRegular {
                        path: at,
                        kind: "no regular file",
                    }
                    .into(),
                    _ => ServiceError::internal(Trees::Io {
                        doing,
                        name,
                        source,
                    }),
                }
            }
            other => ServiceError::internal(other),
        }
    }
}
