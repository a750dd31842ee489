//! A way down a tree of the host's own, beside the walk over an agent's.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::access::{FOLDER, open_folder, open_up};
use crate::error::{Error, Result};
use crate::folder::Folder;

/// How many levels are held open. The way back to one above them is its child's `..`.
const HELD_OPEN: usize = 16;

/// The folders that the way has come through; none for one that the tree does not have.
pub(super) struct Trail(Vec<Option<Level>>);

struct Level {
    /// None where so many are open below it that it was closed.
    folder: Option<OwnedFd>,
    id: (u64, u64),
    /// The mode that it had, where it was closed to its owner.
    closed: Option<Mode>,
}

impl Level {
    fn new(folder: OwnedFd, closed: Option<Mode>) -> Result<Self> {
        let error = |error| Error::io("open", OsStr::new("."), error);
        let stat = fstat(&folder).map_err(error)?;
        // Its owner may list it and not pass through it.
        let closed = match closed {
            None if stat.st_mode & 0o100 == 0 => Some(open_up(folder.as_fd()).map_err(error)?),
            closed => closed,
        };
        Ok(Self {
            id: (stat.st_dev, stat.st_ino),
            folder: Some(folder),
            closed,
        })
    }
}

impl Trail {
    pub(super) fn new(root: &Folder) -> Result<Self> {
        let root = root.try_clone(OsStr::new("."))?;
        Ok(Self(vec![Some(Level::new(root, None)?)]))
    }

    /// The folder where the way is.
    pub(super) fn current(&self) -> Result<BorrowedFd<'_>> {
        self.there().ok_or(Error::Changed)
    }

    /// The same, where the tree may not have it.
    pub(super) fn there(&self) -> Option<BorrowedFd<'_>> {
        let level = self.0.last()?.as_ref()?;
        level.folder.as_ref().map(OwnedFd::as_fd)
    }

    /// Makes a folder and enters it.
    pub(super) fn make(&mut self, name: &OsStr) -> Result<()> {
        let error = |error| Error::io("make", name, error);
        let here = self.current()?;
        mkdirat(here, name, Mode::RWXU).map_err(error)?;
        let (folder, closed) = open_folder(here, name).map_err(error)?;
        self.enter(folder, closed)
    }

    /// Enters a folder, where there is one.
    pub(super) fn down(&mut self, name: &OsStr) -> Result<()> {
        let opened = match self.there() {
            Some(here) => open_folder(here, name),
            None => Err(Errno::NOENT),
        };
        match opened {
            Ok((folder, closed)) => self.enter(folder, closed),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.0.push(None);
                Ok(())
            }
            Err(error) => Err(Error::io("open", name, error)),
        }
    }

    fn enter(&mut self, folder: OwnedFd, closed: Option<Mode>) -> Result<()> {
        self.0.push(Some(Level::new(folder, closed)?));
        // The first one stays open: it costs one descriptor.
        let close = self.0.len().checked_sub(HELD_OPEN + 1);
        if let Some(Some(level)) = close.filter(|it| *it > 0).and_then(|it| self.0.get_mut(it)) {
            level.folder = None;
        }
        Ok(())
    }

    /// Comes back up; gives the folder that was left.
    pub(super) fn up(&mut self) -> Result<Option<OwnedFd>> {
        let Some(Some(left)) = self.0.pop() else {
            return Ok(None);
        };
        let (Some(folder), closed) = (left.folder, left.closed) else {
            return Ok(None);
        };
        if let Some(Some(above)) = self.0.last_mut()
            && above.folder.is_none()
        {
            let opened = openat(&folder, c"..", FOLDER, Mode::empty());
            let opened = opened.map_err(|error| Error::io("open", OsStr::new(".."), error))?;
            if identity(opened.as_fd())? != above.id {
                return Err(Error::Changed);
            }
            above.folder = Some(opened);
        }
        if let Some(mode) = closed {
            let closed = fchmod(&folder, mode);
            closed.map_err(|error| Error::io("close", OsStr::new("."), error))?;
        }
        Ok(Some(folder))
    }
}

fn identity(folder: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let stat = fstat(folder).map_err(|error| Error::io("look at", OsStr::new("."), error))?;
    Ok((stat.st_dev, stat.st_ino))
}
