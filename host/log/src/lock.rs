//! The right to write: an open-file-description lock, which the kernel releases with its holder.
//!
//! Not `flock`: that can be probed only by taking it, and a probe would make a writer that opens
//! at the same moment fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::{Error, Result};

const NAME: &str = "lock";

/// A held lock; closing the file releases it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a log's folder without waiting.
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match control(&file, libc::F_OFD_SETLK) {
            Ok(_) => Ok(Self { _file: file }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Locked {
                dir: dir.to_owned(),
            }),
            // POSIX allows either.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => Err(Error::Locked {
                dir: dir.to_owned(),
            }),
            Err(error) => Err(Error::io("lock", &path)(error)),
        }
    }
}

/// Whether a writer holds the log in `dir` at this moment. Takes nothing, disturbs nobody; a
/// folder without a log is not locked.
///
/// # Errors
/// When the lock's file cannot be looked at.
pub fn is_locked(dir: &Path) -> Result<bool> {
    let path = dir.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    let found = control(&file, libc::F_OFD_GETLK).map_err(Error::io("probe", &path))?;
    Ok(found != libc::F_UNLCK)
}

/// Runs one lock command over the whole file; returns the lock type that the kernel left behind.
fn control(file: &File, command: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: an all-zero flock is valid: from the start, to the end, of no process.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::F_WRLCK as libc::c_short;
    request.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open, and the command takes a pointer to a flock that lives on.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut request) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(libc::c_int::from(request.l_type))
}
