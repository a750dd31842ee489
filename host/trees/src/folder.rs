//! Single files in a tree that an agent shapes.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, openat2, renameat,
    unlinkat,
};
use rustix::io::Errno;
use uuid::Uuid;

use crate::access::{FILE, FOLDER, INSIDE, open_folder, open_root, with_access};
use crate::copy::{Unpacked, is_packed};
use crate::error::{Bound, Error, Result};
use crate::limits::Limits;
use crate::regular::{not_regular, read_at_most};
use crate::trash::Trash;

/// How often something in the way of a file is cleared that somebody puts there again.
const ATTEMPTS: u32 = 8;

/// A folder that is held open. Everything in it may be an agent's work.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    /// Whether it is, or is in, what [`copy`](crate::copy()) has made.
    is_copy: bool,
}

/// What is in a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// It is there as it is.
    File(File),
    /// It is compressed.
    Packed(Unpacked),
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Packed(unpacked) => unpacked.read(into),
        }
    }
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: OsString,
    /// What it is; [`FileType::Unknown`] where the file system does not say.
    pub kind: FileType,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens a folder by the host's own path, and opens it up where its mode is closed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let opened = open_root(path);
        let folder = opened.map_err(|error| Error::io("open", path.as_os_str(), error))?;
        Ok(Self::new(folder))
    }

    /// Opens what [`copy`](crate::copy()) has made, which may have compressed what is in files:
    /// [`Folder::content`] and [`Folder::read`] read what they stand for.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open_copy(path: &Path) -> Result<Self> {
        Ok(Self {
            is_copy: true,
            ..Self::open(path)?
        })
    }

    /// Opens a folder of the host's own, and makes it for its owner alone where it is missing.
    pub(crate) fn private(path: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| Error::Io {
            doing: "make",
            name: path.to_owned(),
            source,
        })?;
        Self::open(path)
    }

    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self { fd, is_copy: false }
    }

    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }

    pub(crate) fn try_clone(&self, name: &OsStr) -> Result<OwnedFd> {
        self.fd.try_clone().map_err(|source| Error::Io {
            doing: "open",
            name: name.into(),
            source,
        })
    }

    /// Opens the folder that a path's last part is in, through no link, and makes the folders on
    /// the way if that is wanted.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::Io`], where something on the way is missing or no folder,
    /// too.
    pub fn parent_of(&self, path: &Path, make: bool) -> Result<(Self, OsString)> {
        let (parent, name) = self.parent(path, make)?;
        Ok((parent, name.to_owned()))
    }

    /// Opens a folder inside, through no link, and makes it and those on the way.
    ///
    /// # Errors
    /// As [`Folder::parent_of`].
    pub fn make(&self, path: &Path) -> Result<Self> {
        self.walk(path, &parts(path)?, true)
    }

    /// Opens a folder inside, through no link.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::Io`], where something on the way is missing or no folder,
    /// too.
    pub fn folder(&self, path: &Path) -> Result<Self> {
        self.walk(path, &parts(path)?, false)
    }

    /// Opens a regular file inside for reading. It waits for nothing.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::Io`], of kind `InvalidInput` where it is no regular file.
    pub fn file(&self, path: &Path) -> Result<File> {
        let (parent, name) = self.parent(path, false)?;
        let opened = openat2(&parent, name, FILE, Mode::empty(), INSIDE);
        let at = path.as_os_str();
        let file = opened.map_err(|error| Error::io("open", at, error))?;
        let stat = fstat(&file).map_err(|error| Error::io("look at", at, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            kind => Err(Error::Io {
                doing: "read",
                name: path.to_owned(),
                source: not_regular(kind),
            }),
        }
    }

    /// What is in a regular file, also where that is compressed.
    ///
    /// # Errors
    /// As [`Folder::file`].
    pub fn content(&self, path: &Path) -> Result<Content> {
        let error = |source| Error::Io {
            doing: "read",
            name: path.to_owned(),
            source,
        };
        let file = self.file(path)?;
        let is_packed = self.is_copy && {
            let stat = fstat(&file).map_err(|errno| error(errno.into()))?;
            is_packed(&stat)
        };
        match is_packed {
            true => Ok(Content::Packed(Unpacked::new(file).map_err(error)?)),
            false => Ok(Content::File(file)),
        }
    }

    /// Reads a regular file of at most `max` bytes whole.
    ///
    /// # Errors
    /// As [`Folder::file`]; [`Error::Bound`] where it is longer.
    pub fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>> {
        read_at_most(self.content(path)?, max).map_err(|source| match source.kind() {
            std::io::ErrorKind::FileTooLarge => Error::Bound(Bound::Bytes(max)),
            _ => Error::Io {
                doing: "read",
                name: path.to_owned(),
                source,
            },
        })
    }

    /// Writes a file in the place of whatever is there, and makes the folders on the way to it.
    /// The old file is there until the new one is whole. A folder in the way goes to the trash.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::PutBack`]; [`Error::Io`], where a link or file is in the
    /// place of a folder on the way, too.
    pub fn write(&self, path: &Path, mode: u32, content: &[u8], trash: &Trash) -> Result<()> {
        let (parent, name) = self.parent(path, true)?;
        let draft = OsString::from(format!(".new-{}", Uuid::new_v4().simple()));
        let at = path.as_os_str();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let opened = with_access(&parent, |parent| {
            openat2(parent, &draft, flags, mode, INSIDE)
        });
        let file = opened.map_err(|error| Error::io("write", at, error))?;
        let placed = fchmod(&file, mode) // The umask took some of it away.
            .map_err(|error| Error::io("write", at, error))
            .and_then(|()| {
                File::from(file)
                    .write_all(content)
                    .map_err(|source| Error::Io {
                        doing: "write",
                        name: path.to_owned(),
                        source,
                    })
            })
            .and_then(|()| place(&parent, &draft, name, trash));
        if placed.is_err() {
            // What went wrong first is what is told.
            let _ = unlinkat(&parent, &draft, AtFlags::empty());
        }
        placed
    }

    /// Removes whatever is at a path, with all that is in it: a file at once, a folder by way of
    /// the trash. What is not there is no error.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::Io`], where a link is on the way, too.
    pub fn delete(&self, path: &Path, trash: &Trash) -> Result<()> {
        let (parent, name) = match self.parent(path, false) {
            Err(error) if error.kind() == Some(std::io::ErrorKind::NotFound) => return Ok(()),
            found => found?,
        };
        let unlinked = with_access(&parent, |parent| unlinkat(parent, name, AtFlags::empty()));
        match unlinked {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => trash.discard(&parent, name, &Limits::default()),
            Err(error) => Err(Error::io("remove", path.as_os_str(), error)),
        }
    }

    /// The folder's entries, in no order.
    ///
    /// # Errors
    /// [`Error::Bound`] where there are more than `max`; [`Error::Io`].
    pub fn list(&self, max: usize) -> Result<Vec<Listed>> {
        let name = OsStr::new(".");
        let error = |error| Error::io("read", name, error);
        let folder = with_access(&self.fd, |folder| {
            openat(folder, c".", FOLDER, Mode::empty())
        });
        let mut dir = Dir::new(folder.map_err(error)?).map_err(error)?;
        let mut listed = Vec::new();
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(error)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if listed.len() == max {
                return Err(Error::Bound(Bound::Entries(max as u64)));
            }
            listed.push(Listed {
                name: name.to_owned(),
                kind: entry.file_type(),
            });
        }
        Ok(listed)
    }

    /// The folder of a path and the path's last part.
    fn parent<'a>(&self, path: &'a Path, make: bool) -> Result<(Self, &'a OsStr)> {
        let mut parts = parts(path)?;
        let name = parts
            .pop()
            .ok_or_else(|| Error::NotInside(path.to_owned()))?;
        Ok((self.walk(path, &parts, make)?, name))
    }

    fn walk(&self, path: &Path, parts: &[&OsStr], make: bool) -> Result<Self> {
        let at = path.as_os_str();
        let mut folder = self.try_clone(at)?;
        for &part in parts {
            if make {
                let made = with_access(&folder, |folder| {
                    mkdirat(folder, part, Mode::from_raw_mode(0o755))
                });
                match made {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(Error::io("make", at, error)),
                }
            }
            let opened = open_folder(folder.as_fd(), part);
            (folder, _) = opened.map_err(|error| Error::io("open", at, error))?;
        }
        Ok(Self {
            fd: folder,
            is_copy: self.is_copy,
        })
    }
}

/// The parts of a path that leads down and nowhere else.
pub(crate) fn parts(path: &Path) -> Result<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => return Err(Error::NotInside(path.to_owned())),
        }
    }
    Ok(parts)
}

/// Gives a draft its name, in the place of whatever has it.
fn place(parent: &Folder, draft: &OsStr, name: &OsStr, trash: &Trash) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match renameat(parent, draft, parent, name) {
            Ok(()) => return Ok(()),
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                trash.discard(parent, name, &Limits::default())?;
            }
            Err(error) => return Err(Error::io("write", name, error)),
        }
    }
    Err(Error::PutBack(name.into()))
}
