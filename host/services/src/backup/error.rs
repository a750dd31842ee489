//! Why a backup was not taken, or not put back.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a backup was not taken, or not put back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to be taken a backup of.
    #[error("there is no database in the data folder {}: name the folder with --data", .0.display())]
    NoDatabase(PathBuf),
    /// What is there is not overwritten.
    #[error("{} is there and not empty: name a folder that is not there", .0.display())]
    NotEmpty(PathBuf),
    /// Somebody else writes there.
    #[error("another backup into {} is under way", .0.display())]
    Underway(PathBuf),
    /// The identity is not in the data folder.
    #[error(
        "the vault's identity is not in the data folder but at {}: keep a copy of that file \
         yourself, and take the backup without the identity", .0.display()
    )]
    IdentityElsewhere(PathBuf),
    /// It is none, or was cut short.
    #[error(
        "{} is no whole backup: it has no {name}, which is written last", .folder.display(),
        name = super::MANIFEST
    )]
    NotWhole {
        /// What was named.
        folder: PathBuf,
    },
    /// Its own account of itself cannot be read.
    #[error("{} is no account of a backup that this release understands: {source}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer release has taken it.
    #[error(
        "the backup was taken by aod {aod}, and its {what} is of version {found}; this release \
         reads versions up to {supported}: put it back with that release or a newer one"
    )]
    Newer {
        /// The release that took it.
        aod: String,
        /// What is too new.
        what: &'static str,
        /// Its version.
        found: i64,
        /// The newest that is understood.
        supported: i64,
    },
    /// It is not what it was.
    #[error("{}: {problem}; the backup is damaged, and nothing was put back", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The data folder cannot be used.
    #[error("{0}")]
    Folder(String),
    /// A file cannot be worked on.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] aod_store::Error),
    /// A session's log.
    #[error(transparent)]
    Log(#[from] aod_log::Error),
    /// A session's files.
    #[error(transparent)]
    Trees(#[from] aod_trees::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] crate::vault::Error),
    /// Another server has the folder.
    #[error(transparent)]
    Owner(#[from] crate::OwnerError),
}
