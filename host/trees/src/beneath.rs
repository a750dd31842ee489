//! Finding what a path leads to, for those who only read: through links that stay inside.
//!
//! The kernel resolves the whole path in one call and never leaves the folder meanwhile, whatever
//! is renamed at the same time. What is found is only known by then (`O_PATH`): a FIFO is not
//! opened, and neither is a device.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use crate::access::FOLDER;
use crate::error::{Error, Result};
use crate::folder::{Folder, parts};
use crate::regular::not_regular;
use crate::status::Status;

/// The kernel follows links, but none that is absolute or leads out, and no mount.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// How often the kernel is asked again where something was renamed while it looked.
const ATTEMPTS: u32 = 32;

/// Something that a path led to. It stays the same, whatever is put in its place.
#[derive(Debug)]
pub struct Node {
    fd: OwnedFd,
    /// What the file system said of it.
    pub status: Status,
}

impl Folder {
    /// Finds what a path leads to, through links that lead to something inside.
    ///
    /// # Errors
    /// [`Error::NotInside`]; [`Error::Leaves`]; [`Error::Changed`]; [`Error::Io`].
    pub fn find(&self, path: &Path) -> Result<Node> {
        self.resolve(path, OFlags::empty())
    }

    /// The same; where the path's last part is a link, it is the link itself that is found.
    ///
    /// # Errors
    /// As [`Folder::find`].
    pub fn find_itself(&self, path: &Path) -> Result<Node> {
        self.resolve(path, OFlags::NOFOLLOW)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<Node> {
        let at = path.as_os_str();
        let path = match parts(path)?.is_empty() {
            true => Path::new("."),
            false => path,
        };
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            match openat2(self.as_fd(), path, flags, Mode::empty(), BENEATH) {
                Ok(fd) => {
                    let stat = fstat(&fd).map_err(|error| Error::io("look at", at, error))?;
                    let status = Status::new(&stat);
                    return Ok(Node { fd, status });
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV) => return Err(Error::Leaves(at.into())),
                Err(error) => return Err(Error::io("find", at, error)),
            }
        }
        Err(Error::Changed)
    }

    /// What the file system says of a name in this folder; none where nothing has it. Links are
    /// not followed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn status(&self, name: &OsStr) -> Result<Option<Status>> {
        match statat(self.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Status::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::io("look at", name, error)),
        }
    }
}

impl Node {
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `InvalidInput` where it is no regular file.
    pub fn file(&self) -> Result<File> {
        if self.status.kind != FileType::RegularFile {
            return Err(Error::Io {
                doing: "read",
                name: ".".into(),
                source: not_regular(self.status.kind),
            });
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // The link in `/proc` leads to this very file, wherever it is by now.
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let file = openat(CWD, link, flags, Mode::empty());
        let file = file.map_err(|error| Error::io("open", OsStr::new("."), error))?;
        Ok(File::from(file))
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// [`Error::Io`], where it is none, too.
    pub fn folder(&self) -> Result<Folder> {
        let opened = openat(&self.fd, c".", FOLDER, Mode::empty());
        let opened = opened.map_err(|error| Error::io("open", OsStr::new("."), error))?;
        Ok(Folder::new(opened))
    }

    /// Where a link leads; none where this is no link.
    #[must_use]
    pub fn target(&self) -> Option<OsString> {
        match self.status.kind {
            FileType::Symlink => link_target(self.fd.as_fd(), OsStr::new("")),
            _ => None,
        }
    }
}

/// Where the link of that name in a folder leads; none where it is no link.
#[must_use]
pub fn link_target(folder: BorrowedFd<'_>, name: &OsStr) -> Option<OsString> {
    let target = readlinkat(folder, name, Vec::new()).ok()?;
    Some(OsString::from_vec(target.into_bytes()))
}
