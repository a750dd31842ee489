//! Removing a part of a tree.
//!
//! A few levels are gone down with their folders held open. What lies deeper is renamed up to a
//! folder at the top, and its turn comes later, so that neither descriptors nor memory grow with
//! the depth, and no way back up is needed that somebody could have moved.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{AtFlags, Dir, FileType, Mode, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use uuid::Uuid;

use crate::access::{FOLDER, open_folder, open_up_named, with_access};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::{Budget, Limits};

/// How many levels are held open before what lies deeper is moved up.
const HELD_OPEN: usize = 24;

/// How many are held open where nothing can be moved, for want of room on the disk.
const MOST_HELD_OPEN: usize = 200;

/// How often one folder is opened up again that somebody closes meanwhile.
const ATTEMPTS: u32 = 16;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files, links, folders and whatever else was there.
    pub entries: u64,
    /// Folders that were moved up first, since they lay deep.
    pub moved: u64,
}

/// Removes whatever has that name in a folder, with all that is in it. What is not there is no
/// error.
///
/// # Errors
/// [`Error::Bound`] with what was removed until then gone; [`Error::Mount`]; [`Error::PutBack`]
/// where somebody fills it as fast as it is emptied; [`Error::Io`].
pub fn remove(parent: &Folder, name: &OsStr, limits: &Limits) -> Result<Removed> {
    let mut work = Work {
        budget: Budget::new(limits),
        removed: Removed::default(),
    };
    work.remove(parent.as_fd(), name)?;
    Ok(work.removed)
}

/// A folder on the way down.
struct Level {
    dir: Dir,
    name: OsString,
    /// Something is in it that an earlier look at it did not meet.
    again: bool,
    passes: u32,
}

impl Level {
    fn new(folder: OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        Ok(Self {
            dir: Dir::new(folder)?,
            name: name.to_owned(),
            again: false,
            passes: 0,
        })
    }

    fn fd(&self) -> Result<BorrowedFd<'_>> {
        self.dir.fd().map_err(|error| self.error("use", error))
    }

    fn error(&self, doing: &'static str, errno: Errno) -> Error {
        Error::io(doing, &self.name, errno)
    }
}

/// What became of an entry.
enum Fate {
    Gone,
    /// A folder that is not empty.
    Full,
    /// It was a folder and is none, or the other way round.
    Changed,
}

struct Work {
    budget: Budget,
    removed: Removed,
}

impl Work {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        for _ in 0..ATTEMPTS {
            self.budget.spend()?;
            match self.entry(parent, name, FileType::Unknown)? {
                Fate::Gone => return Ok(()),
                Fate::Changed => continue,
                Fate::Full => {}
            }
            match open_folder(parent, name) {
                Ok((folder, _)) => self.empty(&folder, name)?,
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(Error::io("open", name, error)),
            }
        }
        Err(Error::PutBack(name.into()))
    }

    /// Removes a single entry, unless it is a folder with something in it.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &OsStr, hint: FileType) -> Result<Fate> {
        let gone = |work: &mut Self| {
            work.removed.entries += 1;
            Ok(Fate::Gone)
        };
        if hint != FileType::Directory {
            let unlinked = with_access(parent, |parent| unlinkat(parent, name, AtFlags::empty()));
            match unlinked {
                Ok(()) => return gone(self),
                Err(Errno::NOENT) => return Ok(Fate::Gone),
                // Some file systems say the latter of folders.
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(Error::io("remove", name, error)),
            }
        }
        let removed = with_access(parent, |parent| unlinkat(parent, name, AtFlags::REMOVEDIR));
        match removed {
            Ok(()) => gone(self),
            Err(Errno::NOENT) => Ok(Fate::Gone),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Fate::Full),
            // It was no folder at all that could not be unlinked above.
            Err(Errno::NOTDIR) if hint == FileType::Directory => Ok(Fate::Changed),
            Err(Errno::NOTDIR) => Err(Error::io("remove", name, Errno::PERM)),
            Err(Errno::BUSY) => Err(Error::Mount(name.into())),
            Err(error) => Err(Error::io("remove", name, error)),
        }
    }

    /// Removes all that is in a folder.
    fn empty(&mut self, root: &OwnedFd, name: &OsStr) -> Result<()> {
        let again = with_access(root, |root| openat(root, c".", FOLDER, Mode::empty()));
        let again = again.map_err(|error| Error::io("open", name, error))?;
        let mut above = Above {
            root: root.as_fd(),
            current: None,
        };
        self.descend(again, name, &mut above)?;
        // What lay deep is at the top now, and what lay deeper in that will be.
        while let Some((name, folder)) = above.current.take() {
            self.descend(folder, &name, &mut above)?;
            self.budget.spend()?;
            match unlinkat(root, &name, AtFlags::REMOVEDIR) {
                // Whoever filled it again is met when the root itself is to be removed.
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                Err(error) => return Err(Error::io("remove", &name, error)),
            }
        }
        Ok(())
    }

    /// Removes what is in a folder, and moves what lies deep out of it.
    fn descend(&mut self, folder: OwnedFd, name: &OsStr, above: &mut Above<'_>) -> Result<()> {
        let first = Level::new(folder, name).map_err(|error| Error::io("read", name, error))?;
        let mut levels = vec![first];
        while let Some(level) = levels.last_mut() {
            let entry = match level.dir.read() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) if error != Errno::NOENT => return Err(level.error("read", error)),
                _ => {
                    self.leave(&mut levels)?;
                    continue;
                }
            };
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            self.budget.spend()?;
            let name = OsStr::from_bytes(bytes);
            if above.is_current(name) && levels.len() == 1 {
                continue;
            }
            // A loop cannot borrow what it goes on with.
            let depth = levels.len();
            let Some(level) = levels.last_mut() else {
                break;
            };
            match self.entry(level.fd()?, name, entry.file_type())? {
                Fate::Gone => continue,
                Fate::Changed => {
                    level.again = true;
                    continue;
                }
                Fate::Full => {}
            }
            if depth >= HELD_OPEN {
                match above.take(level.fd()?, name) {
                    Ok(()) => {
                        self.removed.moved += 1;
                        continue;
                    }
                    Err(Errno::NOENT) => continue,
                    // There may be no room for it, before the first files are gone.
                    Err(_) if depth < MOST_HELD_OPEN => {}
                    Err(error) => return Err(Error::io("move", name, error)),
                }
            }
            match open_folder(level.fd()?, name) {
                Ok((folder, _)) => {
                    let next = Level::new(folder, name);
                    levels.push(next.map_err(|error| Error::io("read", name, error))?);
                }
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => level.again = true,
                Err(error) => return Err(Error::io("open", name, error)),
            }
        }
        Ok(())
    }

    /// Leaves a folder that has been read to its end, and removes it; or reads it again.
    fn leave(&mut self, levels: &mut Vec<Level>) -> Result<()> {
        let Some(mut level) = levels.pop() else {
            return Ok(());
        };
        let Some(above) = levels.last_mut() else {
            if level.again && level.passes < ATTEMPTS {
                level.again = false;
                level.passes += 1;
                level.dir.rewind();
                levels.push(level);
            }
            return Ok(());
        };
        self.budget.spend()?;
        match self.entry(above.fd()?, &level.name, FileType::Directory)? {
            Fate::Gone => {}
            Fate::Full if level.passes < ATTEMPTS => {
                level.passes += 1;
                level.dir.rewind();
                levels.push(level);
            }
            // Somebody fills it as fast as it is emptied, or has put something in its place.
            Fate::Full | Fate::Changed => above.again = true,
        }
        Ok(())
    }
}

/// A folder at the top, where what lies deep is moved. A new one for each turn: one that had held
/// a million names would be read again and again.
struct Above<'a> {
    root: BorrowedFd<'a>,
    current: Option<(OsString, OwnedFd)>,
}

impl Above<'_> {
    fn is_current(&self, name: &OsStr) -> bool {
        self.current.as_ref().is_some_and(|(own, _)| own == name)
    }

    fn take(&mut self, from: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        let to = match &self.current {
            Some((_, folder)) => folder,
            None => {
                let name = fresh_name();
                with_access(self.root, |root| mkdirat(root, &name, Mode::RWXU))?;
                let (folder, _) = open_folder(self.root, &name)?;
                &self.current.insert((name, folder)).1
            }
        };
        let new = fresh_name();
        match with_access(from, |from| renameat(from, name, to, &new)) {
            // A folder that moves has its `..` changed, which takes permission to write it.
            Err(Errno::ACCESS) => {
                open_up_named(from, name)?;
                renameat(from, name, to, &new)
            }
            // Somebody has removed the folder at the top.
            Err(Errno::NOENT) if fstat(to)?.st_nlink == 0 => {
                self.current = None;
                Err(Errno::AGAIN)
            }
            moved => moved,
        }
    }
}

/// A name that nobody else has.
pub(crate) fn fresh_name() -> OsString {
    OsString::from_vec(format!(".removed-{}", Uuid::new_v4().simple()).into_bytes())
}
