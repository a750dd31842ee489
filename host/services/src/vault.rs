//! The vault as its operator works with it: looked at, verified, given a new identity. All of it
//! works on the data folder, whether a server runs on it or not.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aod_resources::{Actor, Timestamp};
use aod_store::{SealedRecord, Store};
use aod_turns::{Seals, binding};
use aod_vault::{Sealed, Vault};
use serde::Serialize;
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::VaultConfig;
use crate::{OpenError, Paths};

/// How many sealed values are read at once.
const PAGE: u32 = 200;
/// How long the database may be in others' use before wiping it is given up.
const SCRUB: Duration = Duration::from_secs(60);

/// Opens a data folder's vault.
pub(crate) fn open(paths: &Paths, config: &VaultConfig) -> Result<Vault, aod_vault::Error> {
    let mut options = aod_vault::Options::new(paths.vault());
    options.identity_file.clone_from(&config.identity_file);
    options.passphrase.clone_from(&config.passphrase);
    Vault::open(options)
}

/// A vault in the hands of its operator.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    seals: Seals,
    rotation_lock: PathBuf,
}

/// Why an operator's work was not done, or not to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Values that would be lost with the old identity.
    #[error(
        "{} of the sealed values cannot be opened, and would be lost for good with the old \
         identity; `aod vault verify` names them: have their owners set or delete them, or \
         rotate with --discard-broken to delete them", .0.len()
    )]
    Broken(Vec<Broken>),
    /// Another process rotates.
    #[error("another rotation is under way on this data folder: wait for its end")]
    Underway,
    /// The database was in use for too long.
    #[error(
        "the rotation is not finished: the database could not be wiped within {} s, since other \
         processes read or write it all the time; run `aod vault rotate` again to go on",
        SCRUB.as_secs()
    )]
    Busy,
    /// The lock among rotations cannot be taken.
    #[error("cannot lock {}: {source}", .path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vault's files cannot be changed.
    #[error(transparent)]
    Vault(#[from] aod_vault::Error),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] aod_store::Error),
}

/// How a vault stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The file of the identity.
    pub identity_file: PathBuf,
    /// The public half of the identity that secrets are sealed to.
    pub recipient: String,
    /// Whether that identity is protected by a passphrase.
    pub protected: bool,
    /// Whether a rotation was begun and not finished.
    pub rotating: bool,
    /// How many sealed values there are.
    pub sealed: u64,
    /// How many of them are not sealed to that identity.
    pub left: u64,
}

/// A sealed value that does not open.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// Its owner's name, or id where there is no such user.
    pub owner: String,
    /// What kind of thing it belongs to.
    pub kind: &'static str,
    /// The id of what it belongs to.
    pub record: Uuid,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What opened and what did not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// How many sealed values opened.
    pub opened: u64,
    /// Those that did not.
    pub broken: Vec<Broken>,
}

/// How to rotate.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long processes that use the vault may take from sealing a value to storing it: what a
    /// server had sealed to the old identity a moment before is waited for.
    pub grace: Duration,
    /// Deletes values that do not open, instead of refusing.
    pub discard_broken: bool,
}

/// What a rotation did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rotated {
    /// The public half of the new identity.
    pub recipient: String,
    /// How many values were sealed anew.
    pub resealed: u64,
    /// How many were deleted since they did not open.
    pub discarded: u64,
}

impl Keeper {
    /// Opens the vault of a data folder that has been used; with a new identity in the place of a
    /// missing one only where it is to `begin_anew`.
    ///
    /// # Errors
    /// Where there is none, or it cannot be opened; see [`OpenError::wants_passphrase`].
    pub async fn open(
        data_dir: &Path,
        config: &VaultConfig,
        begin_anew: bool,
    ) -> Result<Self, OpenError> {
        if !data_dir.is_dir() {
            return Err(OpenError::NoDataFolder(data_dir.to_owned()));
        }
        let paths = crate::data_folder(data_dir)?;
        let store = crate::contradiction::open_store(&paths).await?;
        if !begin_anew {
            crate::contradiction::check_identity(&paths, config, &store).await?;
        }
        let vault = open(&paths, config)?;
        Ok(Self {
            store,
            seals: Seals::new(vault),
            rotation_lock: paths.vault().join("rotation.lock"),
        })
    }

    /// The public half of the identity that secrets are sealed to, `age1…`.
    pub fn recipient(&self) -> String {
        self.vault().recipient()
    }

    /// How the vault stands.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn status(&self) -> Result<Status, Error> {
        let vault = self.vault();
        let (mut sealed, mut left) = (0, 0);
        let mut pages = Pages::new(&self.store);
        while let Some(page) = pages.next().await? {
            for record in page {
                sealed += 1;
                left += u64::from(vault.needs_rotation(&Sealed::from(record.blob)));
            }
        }
        Ok(Status {
            identity_file: vault.identity_file().to_owned(),
            recipient: vault.recipient(),
            protected: vault.is_protected(),
            rotating: vault.is_rotating(),
            sealed,
            left,
        })
    }

    /// Opens every sealed value.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn verify(&self) -> Result<Verified, Error> {
        let users = self.store.list_users().await?;
        let users: HashMap<_, _> = users.into_iter().map(|it| (it.id, it.name)).collect();
        let mut verified = Verified::default();
        let mut pages = Pages::new(&self.store);
        while let Some(page) = pages.next().await? {
            for record in page {
                let opened = self
                    .vault()
                    .open_sealed(&binding(&record.key), &Sealed::from(record.blob));
                let Err(problem) = opened else {
                    verified.opened += 1;
                    continue;
                };
                let key = record.key;
                let owner = users.get(&key.owner).cloned();
                verified.broken.push(Broken {
                    owner: owner.unwrap_or_else(|| key.owner.to_string()),
                    kind: key.kind.as_str(),
                    record: key.record,
                    name: key.name,
                    problem: problem.to_string(),
                });
            }
        }
        Ok(verified)
    }

    /// Seals everything to a new identity and retires the old one, or goes on with a rotation
    /// that was cut short.
    ///
    /// # Errors
    /// With what is in the way. The vault opens everything then, and the rotation can be gone on
    /// with.
    pub async fn rotate(&self, rotation: Rotation) -> Result<Rotated, Error> {
        let _lock = lock_rotation(&self.rotation_lock)?;
        if !rotation.discard_broken {
            let broken = self.verify().await?.broken;
            if !broken.is_empty() {
                return Err(Error::Broken(broken));
            }
        }
        self.vault().begin_rotation()?;
        let mut done = Rotated::default();
        let mut waited = false;
        loop {
            if self.pass(rotation, &mut done).await? {
                continue;
            }
            if waited {
                break;
            }
            // What was sealed just before the beginning may not be stored yet.
            tokio::time::sleep(rotation.grace).await;
            waited = true;
        }
        self.scrub().await?;
        self.vault().finish_rotation()?;
        done.recipient = self.vault().recipient();
        Ok(done)
    }

    /// Goes through all values once; says whether there was anything to do.
    async fn pass(&self, rotation: Rotation, done: &mut Rotated) -> Result<bool, Error> {
        let mut busy = false;
        let mut pages = Pages::new(&self.store);
        while let Some(page) = pages.next().await? {
            for SealedRecord { key, blob, .. } in page {
                let old = Sealed::from(blob);
                match self.vault().reseal(&binding(&key), &old) {
                    Ok(None) if rotation.discard_broken => {
                        // Sealed to the new identity, which says nothing of its place.
                        if self.vault().open_sealed(&binding(&key), &old).is_err() {
                            busy = true;
                            done.discarded += u64::from(self.store.delete_sealed(key).await?);
                        }
                    }
                    Ok(None) => {}
                    Ok(Some(new)) => {
                        busy = true;
                        let (old, new) = (old.into_bytes(), new.into_bytes());
                        let (actor, at) = (Actor::Operator, Timestamp::now());
                        let swapped = self.store.swap_sealed(key, old, new, actor, at).await?;
                        done.resealed += u64::from(swapped);
                    }
                    Err(aod_vault::Error::Open(_)) if rotation.discard_broken => {
                        busy = true;
                        done.discarded += u64::from(self.store.delete_sealed(key).await?);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(busy)
    }

    /// Wipes what was replaced from the database's files.
    async fn scrub(&self) -> Result<(), Error> {
        let end = Instant::now() + SCRUB;
        loop {
            match self.store.scrub().await {
                Err(aod_store::Error::Busy) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(aod_store::Error::Busy) => return Err(Error::Busy),
                scrubbed => return Ok(scrubbed?),
            }
        }
    }

    fn vault(&self) -> &Vault {
        self.seals.vault()
    }
}

/// Two rotations at once could retire each other's identities; the kernel releases the lock with its
/// holder.
pub(crate) fn lock_rotation(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Lock {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Underway),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// All sealed values, page by page.
struct Pages<'a> {
    store: &'a Store,
    after: Option<aod_store::SealedKey>,
}

impl<'a> Pages<'a> {
    const fn new(store: &'a Store) -> Self {
        Self { store, after: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<SealedRecord>>, aod_store::Error> {
        let page = self.store.sealed_page(self.after.take(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = Some(last.key.clone());
        Ok(Some(page))
    }
}
