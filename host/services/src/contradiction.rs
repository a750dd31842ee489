//! A start that contradicts what is on disk is refused: what was lost would be lost for good by
//! going on without it.

use std::fs;
use std::path::PathBuf;

use aod_store::{Page, Store};
use thiserror::Error;

use crate::backup::INCOMPLETE;
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
    /// A backup was being put back, and is not all there.
    #[error(
        "a backup was being put back into {} and is not all there: remove that folder, and run \
         `aod restore` again", .folder.display()
    )]
    RestoreIncomplete {
        /// The data folder.
        folder: PathBuf,
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

/// Opens a data folder's database. One that knows nothing beside folders of sessions is refused: it
/// is not the one that they were made with. Where it is missing, none is made, so that nothing is
/// in the way of the one that is put back.
pub(crate) async fn open_store(paths: &Paths) -> Result<Store, OpenError> {
    let database = paths.database();
    if database.with_file_name(INCOMPLETE).exists() {
        return Err(Contradiction::RestoreIncomplete {
            folder: database.parent().unwrap_or(&database).to_owned(),
        }
        .into());
    }
    let folders = paths
        .list_sessions()
        .map_err(|source| OpenError::DataFolder {
            path: paths.sessions(),
            source,
        })?
        .len();
    let refused = || Contradiction::DatabaseEmpty {
        database: database.clone(),
        folders,
    };
    let is_made = fs::metadata(&database).is_ok_and(|meta| meta.len() > 0);
    if folders > 0 && !is_made {
        return Err(refused().into());
    }
    let store = Store::open(&database)?;
    if folders > 0 && is_blank(&store).await? {
        // Takes its log along, which would be laid over the one that is put back.
        store.close().await?;
        return Err(refused().into());
    }
    Ok(store)
}

/// Whether a database has no session, and nothing that one is made of.
async fn is_blank(store: &Store) -> Result<bool, aod_store::Error> {
    if !store.session_ids().await?.is_empty() {
        return Ok(false);
    }
    for user in store.list_users().await? {
        let page = Page {
            limit: Some(1),
            ..Page::default()
        };
        if !store.list_agents(user.id, page).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
