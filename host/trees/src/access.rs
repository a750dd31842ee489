//! Single steps from an open folder to a name in it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, chmod, fchmod, fstat, openat, openat2};
use rustix::io::Errno;

/// The kernel resolves a name beneath the folder, through no link, within the same mount.
pub(crate) const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// How folders are opened: a FIFO or device in the place of one is refused and not waited for.
pub(crate) const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// How files are opened for reading.
pub(crate) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What an owner needs to read, change and pass through a folder.
const OPEN: u32 = 0o700;

/// Opens the folder of that name. One that is closed to its owner is opened up first; the mode
/// that it had then comes with it.
pub(crate) fn open_folder(
    parent: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<(OwnedFd, Option<Mode>), Errno> {
    match openat2(parent, name, FOLDER, Mode::empty(), INSIDE) {
        Err(Errno::ACCESS) => {}
        opened => return Ok((opened?, None)),
    }
    let closed = match find_folder(parent, name) {
        // It is the folder around it that is closed.
        Err(Errno::ACCESS) => {
            open_up(parent)?;
            find_folder(parent, name)?
        }
        found => found?,
    };
    let before = open_up_path(&closed)?;
    let opened = openat2(&closed, c".", FOLDER, Mode::empty(), INSIDE)?;
    Ok((opened, Some(before)))
}

/// Opens a folder by a path of the host's own, which may lead through links.
pub(crate) fn open_root(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let flags = FOLDER.difference(OFlags::NOFOLLOW);
    match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {}
        opened => return opened,
    }
    let path_only = flags.union(OFlags::PATH);
    let closed = openat(CWD, path, path_only, Mode::empty())?;
    open_up_path(&closed)?;
    openat(&closed, c".", FOLDER, Mode::empty())
}

/// Finds a folder without the permission to read it.
fn find_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), INSIDE)
}

/// Opens up the folder of that name, without entering it.
pub(crate) fn open_up_named(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    open_up_path(&find_folder(parent, name)?).map(drop)
}

/// Opens up a folder that is open for reading; says what its mode was.
pub(crate) fn open_up(folder: BorrowedFd<'_>) -> Result<Mode, Errno> {
    let before = Mode::from_raw_mode(fstat(folder)?.st_mode);
    fchmod(folder, before | Mode::from_raw_mode(OPEN))?;
    Ok(before)
}

/// The same for one that is only known to the kernel by `O_PATH`, which `fchmod` does not take:
/// the link in `/proc` leads to that very folder, wherever it is by now.
fn open_up_path(folder: &OwnedFd) -> Result<Mode, Errno> {
    let before = Mode::from_raw_mode(fstat(folder)?.st_mode);
    let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
    chmod(link, before | Mode::from_raw_mode(OPEN))?;
    Ok(before)
}

/// Does something in a folder, and once more after opening it up where it was closed.
pub(crate) fn with_access<T>(
    folder: impl AsFd,
    mut work: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let folder = folder.as_fd();
    match work(folder) {
        Err(Errno::ACCESS) => {
            open_up(folder)?;
            work(folder)
        }
        done => done,
    }
}
