//! The content of one file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::error::{Bound, Error, Result};

/// So much is copied between two looks at whether to go on.
const PIECE: u64 = 8 << 20;

/// A file and the one that it is copied to.
pub(super) struct Content<'a> {
    pub(super) name: &'a OsStr,
    pub(super) from: File,
    pub(super) to: File,
    /// Whether the file system is known to share content, or not known not to.
    pub(super) can_clone: bool,
    /// So many bytes may be written.
    pub(super) room: u64,
    pub(super) wanted: &'a dyn Fn() -> bool,
}

impl Content<'_> {
    /// Copies the first `size` bytes in the place of what was copied before; says how many of them
    /// are no holes.
    pub(super) fn copy(&mut self, size: u64) -> Result<u64> {
        let error = |error| Error::io("copy", self.name, error);
        if size > 0 && self.can_clone {
            match ioctl_ficlone(&self.to, &self.from) {
                Ok(()) => {
                    let stat = rustix::fs::fstat(&self.to).map_err(error)?;
                    let taken = u64::try_from(stat.st_blocks)
                        .unwrap_or(0)
                        .saturating_mul(512);
                    return self.within(taken).map(|()| taken);
                }
                Err(Errno::NOSPC | Errno::DQUOT) => return Err(error(Errno::NOSPC)),
                Err(Errno::INTR) => {}
                Err(_) => self.can_clone = false,
            }
        }
        // Whatever an earlier attempt wrote is no part of it.
        ftruncate(&self.to, 0).map_err(error)?;
        ftruncate(&self.to, size).map_err(error)?;
        let (mut at, mut written) = (0, 0u64);
        while at < size {
            let data = match seek(&self.from, SeekFrom::Data(at)) {
                Ok(data) => data.min(size),
                // Nothing but a hole is left.
                Err(Errno::NXIO) => break,
                // It does not say where its holes are.
                Err(_) => at,
            };
            let end = match seek(&self.from, SeekFrom::Hole(data)) {
                Ok(end) if end > data => end.min(size),
                _ => size,
            };
            written = written.saturating_add(end - data);
            self.within(written)?;
            if !self.segment(data, end)? {
                break;
            }
            at = end;
        }
        Ok(written)
    }

    fn within(&self, written: u64) -> Result<()> {
        match written > self.room {
            true => Err(Error::Bound(Bound::Total(self.room))),
            false => Ok(()),
        }
    }

    /// Copies what is between two places; says whether the file goes on behind that.
    fn segment(&self, mut at: u64, end: u64) -> Result<bool> {
        let mut by_kernel = true;
        let mut buffer = Vec::new();
        while at < end {
            if !(self.wanted)() {
                return Err(Error::Unwanted);
            }
            let length = (end - at).min(PIECE);
            let copied = match by_kernel {
                true => match self.by_kernel(at, length) {
                    Err(Errno::INTR) => continue,
                    Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                        return Err(Error::io("copy", self.name, error));
                    }
                    Err(_) => {
                        by_kernel = false;
                        continue;
                    }
                    Ok(copied) => copied,
                },
                false => self.by_hand(at, length, &mut buffer)?,
            };
            if copied == 0 {
                // It has become shorter.
                return Ok(false);
            }
            at += copied;
        }
        Ok(true)
    }

    fn by_kernel(&self, at: u64, length: u64) -> Result<u64, Errno> {
        let (mut from, mut to) = (at, at);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let copied = copy_file_range(&self.from, Some(&mut from), &self.to, Some(&mut to), length)?;
        Ok(copied as u64)
    }

    fn by_hand(&self, at: u64, length: u64, buffer: &mut Vec<u8>) -> Result<u64> {
        let error = |source| Error::Io {
            doing: "copy",
            name: self.name.into(),
            source,
        };
        buffer.resize(256 << 10, 0);
        let length = usize::try_from(length).map_or(buffer.len(), |it| it.min(buffer.len()));
        let read = self
            .from
            .read_at(&mut buffer[..length], at)
            .map_err(error)?;
        self.to.write_all_at(&buffer[..read], at).map_err(error)?;
        Ok(read as u64)
    }
}
