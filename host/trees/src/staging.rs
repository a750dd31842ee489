//! What is written where nobody else sees it, and put in its place when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, fchmod, fstat, linkat, openat2, readlinkat,
    renameat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;
use uuid::Uuid;

use crate::access::{INSIDE, open_up_named, with_access};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::Limits;
use crate::status::Status;
use crate::trash::Trash;

/// A folder of the host's own for what is being written, on the file system where it will be.
#[derive(Clone, Debug)]
pub struct Staging(Arc<Folder>);

/// Something in a [`Staging`] folder. It is removed where it is not put in its place.
#[derive(Debug)]
pub struct Staged {
    folder: Arc<Folder>,
    name: OsString,
}

impl Staging {
    /// Opens the folder, for its owner alone. What an earlier process left in it goes to the trash.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, trash: &Trash) -> Result<Self> {
        trash.discard_path(path, &Limits::default())?;
        Ok(Self(Arc::new(Folder::private(path)?)))
    }

    fn staged(&self) -> Staged {
        let name = OsString::from(Uuid::new_v4().simple().to_string());
        Staged {
            folder: self.0.clone(),
            name,
        }
    }

    /// A new file, and the same to write to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&self) -> Result<(Staged, File)> {
        let staged = self.staged();
        let file = create(&self.0, &staged.name)?;
        Ok((staged, file))
    }

    /// A new symbolic link.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn link(&self, target: &OsStr) -> Result<Staged> {
        let staged = self.staged();
        let made = symlinkat(target, &*self.0, &staged.name);
        made.map_err(|error| Error::io("link", target, error))?;
        Ok(staged)
    }

    /// Another name of a regular file.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `InvalidInput` where it is no regular file.
    pub fn another_name(&self, parent: &Folder, name: &OsStr) -> Result<Staged> {
        let mut staged = self.staged();
        let link = |to: &Folder, new: &OsStr| linkat(parent, name, to, new, AtFlags::empty());
        let made = match link(&self.0, &staged.name) {
            // A session's files may be on a disk of their own: beside the file then, where whoever
            // exchanges it gets what they put there themselves.
            Err(Errno::XDEV) => {
                staged = Staged {
                    folder: Arc::new(Folder::new(parent.try_clone(name)?)),
                    name: OsString::from(format!(".new-{}", Uuid::new_v4().simple())),
                };
                with_access(parent, |parent| {
                    linkat(parent, name, parent, &staged.name, AtFlags::empty())
                })
            }
            made => made,
        };
        made.map_err(|error| Error::io("link", name, error))?;
        // In a folder of the host's own it is out of everybody's reach now, and stays what it is.
        match staged.folder.status(&staged.name)? {
            Some(status) if status.kind == FileType::RegularFile => Ok(staged),
            _ => Err(Error::Io {
                doing: "link",
                name: name.into(),
                source: io::ErrorKind::InvalidInput.into(),
            }),
        }
    }
}

fn create(folder: &Folder, name: &OsStr) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = with_access(folder, |folder| {
        openat2(folder, name, flags, Mode::RUSR | Mode::WUSR, INSIDE)
    });
    Ok(File::from(
        opened.map_err(|error| Error::io("write", name, error))?,
    ))
}

impl Staged {
    /// Puts a file in its place, with these permissions, and says what it is there. A file or link
    /// that has the name is replaced, a folder is not.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `IsADirectory` where a folder has the name.
    pub fn place_file(
        mut self,
        file: &File,
        parent: &Folder,
        name: &OsStr,
        mode: u32,
    ) -> Result<Status> {
        let error = |error| Error::io("write", name, error);
        let mode = Mode::from_raw_mode(mode & 0o777);
        fchmod(file, mode).map_err(error)?;
        let placed = with_access(parent, |parent| {
            renameat(&*self.folder, &self.name, parent, name)
        });
        match placed {
            Ok(()) => fstat(file).map(|stat| Status::new(&stat)).map_err(error),
            // An operator may have put sessions on another disk, and nothing comes by a rename into
            // a folder whose content is counted (a project's quota).
            Err(Errno::XDEV) => {
                let from = self.folder.file(Path::new(&self.name))?;
                let copy = Self {
                    folder: Arc::new(Folder::new(parent.try_clone(name)?)),
                    name: OsString::from(format!(".new-{}", Uuid::new_v4().simple())),
                };
                drop(std::mem::replace(&mut self, copy));
                let to = create(&self.folder, &self.name)?;
                io::copy(&mut &from, &mut &to).map_err(|source| Error::Io {
                    doing: "write",
                    name: name.into(),
                    source,
                })?;
                fchmod(&to, mode).map_err(error)?;
                renameat(&*self.folder, &self.name, parent, name).map_err(error)?;
                let stat = fstat(&to).map_err(error)?;
                Ok(Status::new(&stat))
            }
            Err(errno) => Err(error(errno)),
        }
    }

    /// Puts a link, or another name of a file, in its place.
    ///
    /// # Errors
    /// As [`Staged::place_file`].
    pub fn place(self, parent: &Folder, name: &OsStr) -> Result<()> {
        let placed = with_access(parent, |parent| {
            renameat(&*self.folder, &self.name, parent, name)
        });
        let placed = match placed {
            // Nothing comes by a rename into a folder whose content is counted (a project's quota),
            // nor from another disk. A link can be made anew there.
            Err(Errno::XDEV) => self.make_anew(parent, name),
            placed => placed,
        };
        placed.map_err(|error| Error::io("write", name, error))
    }

    fn make_anew(&self, parent: &Folder, name: &OsStr) -> rustix::io::Result<()> {
        let target = match readlinkat(&*self.folder, &self.name, Vec::new()) {
            Err(Errno::INVAL) => return Err(Errno::XDEV),
            target => target?,
        };
        let draft = OsString::from(format!(".new-{}", Uuid::new_v4().simple()));
        with_access(parent, |parent| symlinkat(&target, parent, &draft))?;
        let placed = renameat(parent, &draft, parent, name);
        if placed.is_err() {
            let _ = unlinkat(parent, &draft, AtFlags::empty());
        }
        placed
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Where it is in its place, nothing has this name any more.
        let _ = unlinkat(&*self.folder, &self.name, AtFlags::empty());
    }
}

/// Gives what has a name in a folder another one, perhaps in another folder. A link is moved and
/// not followed. What has the new name is replaced if that is wanted: a file by a file, an empty
/// folder by a folder.
///
/// # Errors
/// [`Error::Io`], of kind `AlreadyExists` where something has the name.
pub fn rename(from: (&Folder, &OsStr), to: (&Folder, &OsStr), replace: bool) -> Result<()> {
    let move_it = || match replace {
        true => renameat(from.0, from.1, to.0, to.1),
        false => renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE),
    };
    let moved = match move_it() {
        // A folder that moves has its `..` changed, which takes permission to write it.
        Err(Errno::ACCESS) => {
            let opened = open_up_named(rustix::fd::AsFd::as_fd(from.0), from.1);
            match opened {
                Ok(()) | Err(Errno::NOTDIR) => {
                    for folder in [from.0, to.0] {
                        // What this does not help is told by the next attempt.
                        let _ = crate::access::open_up(rustix::fd::AsFd::as_fd(folder));
                    }
                    move_it()
                }
                Err(error) => Err(error),
            }
        }
        moved => moved,
    };
    moved.map_err(|error| Error::io("move", from.1, error))
}
