//! Taking trees out of the way at once, and removing them later.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::renameat;
use rustix::io::Errno;

use crate::access::{open_up_named, with_access};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::Limits;
use crate::remove::{Removed, fresh_name, remove};

/// A folder of the host's own that no sandbox sees. Moving a tree there is one rename, however
/// large it is, on the same file system; what is in it is removed by [`Trash::sweep`] or by a
/// [`Sweeper`](crate::Sweeper), by a later process, too.
#[derive(Clone, Debug)]
pub struct Trash(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    folder: Folder,
    /// Whether something has come since the last look.
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Trash {
    /// Opens the folder, and makes it for its owner alone where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            folder: Folder::private(path)?,
            woken: Mutex::new(false),
            wake: Condvar::new(),
        })))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Removes whatever has that name in a folder: by a rename into the trash, which is done when
    /// this returns. Where the trash lies on another file system, or the disk has no room for a
    /// name, it is removed on the spot, within `limits`. What is not there is no error.
    ///
    /// # Errors
    /// As [`remove`].
    pub fn discard(&self, parent: &Folder, name: &OsStr, limits: &Limits) -> Result<()> {
        let take = || {
            with_access(parent, |parent| {
                renameat(parent, name, &self.0.folder, fresh_name())
            })
        };
        let taken = match take() {
            // A folder that moves has its `..` changed, which takes permission to write it.
            Err(Errno::ACCESS) => {
                open_up_named(rustix::fd::AsFd::as_fd(parent), name).and_then(|()| take())
            }
            taken => taken,
        };
        match taken {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::XDEV | Errno::NOSPC | Errno::DQUOT | Errno::MLINK) => {
                remove(parent, name, limits).map(drop)
            }
            Err(error) => Err(Error::io("move away", name, error)),
        }
    }

    /// The same for a path of the host's own.
    ///
    /// # Errors
    /// As [`Trash::discard`]; [`Error::NotInside`] where the path has no last part.
    pub fn discard_path(&self, path: &Path, limits: &Limits) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::NotInside(path.to_owned()));
        };
        match Folder::open(parent) {
            Err(error) if error.kind() == Some(std::io::ErrorKind::NotFound) => Ok(()),
            parent => self.discard(&parent?, name, limits),
        }
    }

    /// Removes what is in the trash, each tree within `limits`, and says how much that was. A tree
    /// that cannot be removed is logged and left, and the others are removed all the same.
    ///
    /// # Errors
    /// [`Error::Bound`] where another call would remove more; what kept a tree from being removed;
    /// [`Error::Io`] where the trash cannot be read.
    pub fn sweep(&self, limits: &Limits) -> Result<Removed> {
        self.sweep_by(limits, |remove| Some(remove()))
    }

    /// The same, with each tree removed by a function, which ends it all where it removes none.
    pub(crate) fn sweep_by(
        &self,
        limits: &Limits,
        mut by: impl FnMut(&dyn Fn() -> Result<Removed>) -> Option<Result<Removed>>,
    ) -> Result<Removed> {
        let mut total = Removed::default();
        let (mut bound, mut failed) = (None, None);
        let names = fs::read_dir(&self.0.path).map_err(|source| Error::Io {
            doing: "read",
            name: self.0.path.clone(),
            source,
        })?;
        for entry in names.flatten() {
            let name = entry.file_name();
            let Some(removed) = by(&|| remove(&self.0.folder, &name, limits)) else {
                break;
            };
            match removed {
                Ok(removed) => {
                    total.entries += removed.entries;
                    total.moved += removed.moved;
                }
                Err(error @ Error::Bound(_)) => bound = Some(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot remove a tree from the trash");
                    failed = Some(error);
                }
            }
        }
        bound.or(failed).map_or(Ok(total), Err)
    }

    /// Whether nothing is in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_empty(&self) -> Result<bool> {
        match self.0.folder.list(0) {
            Err(Error::Bound(_)) => Ok(false),
            listed => listed.map(|listed| listed.is_empty()),
        }
    }

    /// Says that there is something to do, or that it is time to stop.
    pub(crate) fn wake(&self) {
        // Nothing can panic while it is held.
        *self.0.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.wake.notify_all();
    }

    /// Waits until [`Trash::wake`] was called since the last time, or `at_most` so long.
    pub(crate) fn wait(&self, at_most: Duration) {
        let woken = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .wake
            .wait_timeout_while(woken, at_most, |woken| !*woken);
        let (mut woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}
