//! Files of a session's workspace, read and changed from outside while an agent may be at work in
//! it.
//!
//! Whatever the agent does at the same time, nothing outside of the workspace is reached: readers
//! find things by [`aod_trees::Folder::find`], and writers go through no link at all. What is
//! uploaded is written where no sandbox sees it and then renamed into its place.

mod body;
mod entry;
mod error;
mod list;
mod pack;
mod permits;
mod unpack;
mod upload;
mod zstandard;

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aod_resources::{FileEntry, FilePath};
use aod_store::Store;
use aod_trees::{Folder, Kind, Staging, Trash};
use aod_turns::Paths;
use uuid::Uuid;

use self::permits::UserPermits;
use crate::{Error, Result};

pub use self::entry::Present;
pub use self::error::FilesError;
pub use self::list::{FilePage, ListFiles};
pub(crate) use self::pack::pack_into;
pub use self::pack::{ArchiveFormat, Packing};
pub use self::unpack::Unpacked;
pub use self::upload::{Interrupted, Uploaded};

/// Decides by what has a name whether it may be changed, for those who say what they have seen.
pub type Precondition = Box<dyn Fn(Present<'_>) -> bool + Send>;

/// How many locks there are for all sessions. Two that share one wait for each other's renames.
const LOCKS: usize = 64;

/// The files of all sessions' workspaces.
#[derive(Clone, Debug)]
pub struct Files {
    pub(crate) store: Store,
    pub(crate) paths: Paths,
    pub(crate) trash: Trash,
    pub(crate) staging: Staging,
    pub(crate) limits: UploadLimits,
    permits: UserPermits,
    locks: Arc<[Mutex<()>]>,
}

/// What an upload may hold.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// The most bytes, as they are sent and as they are unpacked.
    pub bytes: u64,
    /// The most entries of an archive.
    pub entries: u64,
}

/// What a path led to.
#[derive(Debug)]
pub enum Opened {
    /// A file, and what is known of it.
    File(File, FileEntry),
    /// A folder, which can be sent as an archive.
    Folder(Packing),
}

impl Files {
    pub(crate) fn new(
        store: Store,
        paths: Paths,
        trash: Trash,
        limits: UploadLimits,
    ) -> aod_trees::Result<Self> {
        Ok(Self {
            staging: Staging::open(&paths.uploads(), &trash)?,
            store,
            paths,
            trash,
            limits,
            permits: UserPermits::default(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        })
    }

    /// The most bytes that an upload may have.
    #[must_use]
    pub fn upload_limit(&self) -> u64 {
        self.limits.bytes
    }

    /// Checks that a session is the user's.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn check(&self, owner: Uuid, session: Uuid) -> Result<()> {
        Ok(self.store.session(owner, session).await.map(drop)?)
    }

    /// What is known of something; of a link itself where the path's last part is one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`].
    pub async fn stat(&self, owner: Uuid, session: Uuid, path: FilePath) -> Result<FileEntry> {
        let workspace = self.workspace(owner, session).await?;
        blocking(move || {
            let node = workspace.find_itself(path.as_path());
            let node = node.map_err(|error| FilesError::of(error, &path))?;
            Ok(entry::of(&path, &node.status, node.target()))
        })
        .await
    }

    /// Opens a file or folder, through links that lead to something inside.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`].
    pub async fn open(&self, owner: Uuid, session: Uuid, path: FilePath) -> Result<Opened> {
        let workspace = self.workspace(owner, session).await?;
        let permits = self.permits.clone();
        blocking(move || {
            let named = |error| FilesError::of(error, &path);
            let node = workspace.find(path.as_path()).map_err(named)?;
            match node.status.kind {
                Kind::RegularFile => {
                    let file = node.file().map_err(named)?;
                    Ok(Opened::File(file, entry::of(&path, &node.status, None)))
                }
                Kind::Directory => {
                    let folder = node.folder().map_err(named)?;
                    let permit = permits.take(owner)?;
                    Ok(Opened::Folder(Packing { folder, permit }))
                }
                kind => Err(FilesError::NotRegular {
                    path: path.to_string(),
                    kind: entry::word(kind),
                }
                .into()),
            }
        })
        .await
    }

    /// Deletes something, a link itself and not what it leads to. Folders go with all that is in
    /// them, at once: their content is removed in the background.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`].
    pub async fn delete(
        &self,
        owner: Uuid,
        session: Uuid,
        path: FilePath,
        expected: Precondition,
    ) -> Result<()> {
        let workspace = self.workspace(owner, session).await?;
        let files = self.clone();
        blocking(move || {
            let named = |error| FilesError::of(error, &path);
            let parent = workspace.parent_of(path.as_path(), false);
            let (parent, name) = parent.map_err(named)?;
            let _lock = files.lock(session);
            if !files.is_as_expected((&parent, &name), &path, &expected)? {
                return Err(FilesError::nothing_at(&path).into());
            }
            parent.delete(name.as_ref(), &files.trash).map_err(named)
        })
        .await
    }

    /// Gives something another path, a link itself and not what it leads to, and makes the folders
    /// on the way. With `overwrite`, a file or link is replaced, and so is an empty folder by a
    /// folder.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`].
    pub async fn rename(
        &self,
        owner: Uuid,
        session: Uuid,
        from: FilePath,
        to: FilePath,
        overwrite: bool,
        expected: Precondition,
    ) -> Result<FileEntry> {
        let workspace = self.workspace(owner, session).await?;
        let files = self.clone();
        blocking(move || {
            let parent = workspace.parent_of(from.as_path(), false);
            let (parent, name) = parent.map_err(|error| FilesError::of(error, &from))?;
            let there = parent.status(&name);
            if there
                .map_err(|error| FilesError::of(error, &from))?
                .is_none()
            {
                return Err(FilesError::nothing_at(&from).into());
            }
            let below = to.as_bytes().strip_prefix(from.as_bytes());
            if below.is_some_and(|rest| rest.starts_with(b"/")) {
                return Err(FilesError::IntoItself.into());
            }
            let named = |error| FilesError::of(error, &to);
            let (new_parent, new_name) = workspace.parent_of(to.as_path(), true).map_err(named)?;
            let _lock = files.lock(session);
            if !files.is_as_expected((&parent, &name), &from, &expected)? {
                return Err(FilesError::nothing_at(&from).into());
            }
            let moved = aod_trees::rename((&parent, &name), (&new_parent, &new_name), overwrite);
            moved.map_err(named)?;
            let status = new_parent.status(&new_name).map_err(named)?;
            let status = status.ok_or_else(|| FilesError::nothing_at(&to))?;
            use std::os::fd::AsFd as _;
            let target = aod_trees::link_target(new_parent.as_fd(), &new_name);
            Ok(entry::of(&to, &status, target))
        })
        .await
    }

    /// The session's workspace, held open.
    async fn workspace(&self, owner: Uuid, session: Uuid) -> Result<Folder> {
        self.check(owner, session).await?;
        let paths = self.paths.session(session);
        blocking(move || {
            // What is held open stays there.
            let _disk = paths.disk().map_err(FilesError::NoDisk)?;
            open_workspace(&paths.workspace())
        })
        .await
    }

    /// Whoever holds it alone decides by what is there and renames. Agents take no part in this.
    fn lock(&self, session: Uuid) -> MutexGuard<'_, ()> {
        let index = session.as_u128() % LOCKS as u128;
        // It is less than the number of locks.
        let lock = &self.locks[usize::try_from(index).unwrap_or(0)];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is there, once that is what the caller has seen.
    fn is_as_expected(
        &self,
        (parent, name): (&Folder, &OsString),
        path: &FilePath,
        expected: &Precondition,
    ) -> Result<bool> {
        let status = parent.status(name);
        let status = status.map_err(|error| FilesError::of(error, path))?;
        let etag = status.as_ref().and_then(entry::etag);
        let present = match (&status, &etag) {
            (None, _) => Present::Nothing,
            (Some(_), None) => Present::Other,
            (Some(_), Some(etag)) => Present::File(etag),
        };
        match expected(present) {
            true => Ok(status.is_some()),
            false => Err(FilesError::Changed {
                path: path.to_string(),
            }
            .into()),
        }
    }
}

fn open_workspace(path: &Path) -> Result<Folder> {
    match Folder::open(path) {
        Err(error) if error.kind() == Some(std::io::ErrorKind::NotFound) => {
            Err(FilesError::NoWorkspace.into())
        }
        opened => opened.map_err(Error::internal),
    }
}

/// Does what waits for a disk where that keeps nobody else waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // What a client that is gone has asked for is done all the same.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}
