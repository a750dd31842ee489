//! A start that contradicts what is on disk is refused: what was lost would be lost for good by
//! going on without it.

use std::path::PathBuf;

use aod_store::{Page, Store};
use thiserror::Error;

use crate::{OpenError, Paths, VaultConfig};

/// What in a data folder does not go together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// There are sealed values, and the identity that opens them is not there.
    #[error(
        "the vault's identity {} is missing, and the database holds sealed values that nothing \
         else opens: put the folder `vault` back from a backup, or name the identity in \
         AOD_VAULT_IDENTITY_FILE; to give those values up for good and begin with a new identity, \
         run `aod vault rotate --discard-broken`", .identity.display()
    )]
    IdentityMissing {
        /// Where the identity should be.
        identity: PathBuf,
    },
    /// There are folders of sessions, and the database knows nothing.
    #[error(
        "the database {} is empty, and beside it lie the folders of {folders} sessions: put the \
         database back that belongs to them, or, to begin anew, move the folder `sessions` away",
        .database.display()
    )]
    DatabaseEmpty {
        /// The database.
        database: PathBuf,
        /// How many sessions have folders.
        folders: usize,
    },
}

/// Refuses a vault without its identity where there are values that only it opens: a new one would
/// be made in its place.
pub(crate) async fn check_identity(
    paths: &Paths,
    config: &VaultConfig,
    store: &Store,
) -> Result<(), OpenError> {
    let own = paths.vault().join("identity.txt");
    let file = config.identity_file.as_ref().unwrap_or(&own);
    if file.symlink_metadata().is_ok() || store.sealed_page(None, 1).await?.is_empty() {
        return Ok(());
    }
    Err(Contradiction::IdentityMissing {
        identity: file.clone(),
    }
    .into())
}

/// Refuses a database that knows nothing beside folders of sessions: it is not the one that they
/// were made with.
pub(crate) async fn check_database(paths: &Paths, store: &Store) -> Result<(), OpenError> {
    let folders = paths
        .list_sessions()
        .map_err(|source| OpenError::DataFolder {
            path: paths.sessions(),
            source,
        })?
        .len();
    if folders == 0 || !store.session_ids().await?.is_empty() {
        return Ok(());
    }
    for user in store.list_users().await? {
        let page = Page {
            limit: Some(1),
            ..Page::default()
        };
        if !store.list_agents(user.id, page).await?.is_empty() {
            return Ok(());
        }
    }
    Err(Contradiction::DatabaseEmpty {
        database: paths.database(),
        folders,
    }
    .into())
}
