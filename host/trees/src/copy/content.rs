//! The content of one file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::error::{Bound, Error, Result};

use super::packed::{PIECE as PACKED_PIECE, Packer, SHORTEST, Unpacked};

/// So much is copied between two looks at whether to go on.
const PIECE: u64 = 8 << 20;

/// A file and the one that it is copied to.
pub(super) struct Content<'a> {
    pub(super) name: &'a OsStr,
    pub(super) from: File,
    pub(super) to: File,
    /// Whether the file system is known to share content, or not known not to.
    pub(super) can_clone: bool,
    /// Whether the file is packed, and to be what it stands for.
    pub(super) unpacks: bool,
    /// Whether content that cannot be shared is packed.
    pub(super) packs: bool,
    /// Whether nothing was written yet.
    pub(super) is_new: bool,
    /// So many bytes may be written.
    pub(super) room: u64,
    pub(super) wanted: &'a dyn Fn() -> bool,
}

/// What was written of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// So many bytes, without holes.
    pub(super) bytes: u64,
    pub(super) is_packed: bool,
}

impl Content<'_> {
    /// Copies the first `size` bytes in the place of what was copied before.
    pub(super) fn copy(&mut self, size: u64) -> Result<Written> {
        let plain = |bytes| Written {
            bytes,
            is_packed: false,
        };
        if self.unpacks {
            return self.unpack(size).map(plain);
        }
        let error = |error| Error::io("copy", self.name, error);
        if size > 0 && self.can_clone {
            match ioctl_ficlone(&self.to, &self.from) {
                Ok(()) => {
                    let stat = rustix::fs::fstat(&self.to).map_err(error)?;
                    let taken = u64::try_from(stat.st_blocks)
                        .unwrap_or(0)
                        .saturating_mul(512);
                    return self.within(taken).map(|()| plain(taken));
                }
                Err(Errno::NOSPC | Errno::DQUOT) => return Err(error(Errno::NOSPC)),
                Err(Errno::INTR) => {}
                Err(_) => self.can_clone = false,
            }
        }
        self.empty().map_err(error)?;
        if self.packs && size > SHORTEST {
            self.is_new = false;
            if let Some(bytes) = self.pack(size)? {
                return Ok(Written {
                    bytes,
                    is_packed: true,
                });
            }
            self.empty().map_err(error)?;
        }
        self.is_new = false;
        let (mut written, mut reached) = (0u64, 0u64);
        self.segments(size, &mut |content, data, end| {
            written = written.saturating_add(end - data);
            content.within(written)?;
            let goes_on = content.segment(data, end)?;
            if goes_on {
                reached = end;
            }
            Ok(goes_on)
        })?;
        if reached < size {
            // It ends with a hole, or has become shorter.
            ftruncate(&self.to, size).map_err(error)?;
        }
        Ok(plain(written))
    }

    /// Takes away what an earlier attempt wrote. A file that is empty anyway is not to be cut: ext4
    /// then takes it for one whose content is being replaced, and writes it to the disk when it is
    /// closed, with a request of its own.
    fn empty(&self) -> Result<(), Errno> {
        match self.is_new {
            true => Ok(()),
            false => ftruncate(&self.to, 0),
        }
    }

    /// Takes each part of the file that is no hole, until `take` says that there is no more.
    fn segments(
        &self,
        size: u64,
        take: &mut dyn FnMut(&Self, u64, u64) -> Result<bool>,
    ) -> Result<()> {
        let mut at = 0;
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
            if !take(self, data, end)? {
                break;
            }
            at = end;
        }
        Ok(())
    }

    /// Packs the file into an empty one; says what that takes, where it is worth it.
    fn pack(&self, size: u64) -> Result<Option<u64>> {
        let error = |source| self.failed(source);
        let mut packer = Packer::new(&self.to, size);
        let mut piece = Vec::new();
        let mut is_worth_it = true;
        let mut content = 0u64;
        self.segments(size, &mut |file, data, end| {
            let mut at = data;
            while at < end {
                if !(file.wanted)() {
                    return Err(Error::Unwanted);
                }
                let length = usize::try_from(end - at).unwrap_or(usize::MAX);
                piece.resize(length.min(PACKED_PIECE), 0);
                let read = file.from.read_at(&mut piece, at).map_err(error)?;
                if read == 0 {
                    // It has become shorter.
                    return Ok(false);
                }
                is_worth_it = packer.add(at, &piece[..read]).map_err(error)?;
                if !is_worth_it {
                    return Ok(false);
                }
                file.within(packer.taken())?;
                at += read as u64;
                content += read as u64;
            }
            Ok(true)
        })?;
        let taken = packer.taken();
        let blocks = |bytes: u64| bytes.div_ceil(SHORTEST);
        if !is_worth_it || blocks(taken) >= blocks(content) {
            return Ok(None);
        }
        packer.finish().map_err(error)?;
        Ok(Some(taken))
    }

    /// Writes what a packed file stands for.
    fn unpack(&mut self, size: u64) -> Result<u64> {
        self.empty()
            .and_then(|()| ftruncate(&self.to, size))
            .map_err(|error| Error::io("copy", self.name, error))?;
        self.is_new = false;
        let error = |source| self.failed(source);
        let from = self.from.try_clone().map_err(error)?;
        let mut unpacked = Unpacked::new(from).map_err(error)?;
        let mut written = 0u64;
        while let Some(piece) = unpacked.piece().map_err(error)? {
            if !(self.wanted)() {
                return Err(Error::Unwanted);
            }
            written = written.saturating_add(piece.content.len() as u64);
            self.within(written)?;
            let to = &self.to;
            to.write_all_at(&piece.content, piece.offset)
                .map_err(error)?;
        }
        Ok(written)
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io {
            doing: "copy",
            name: self.name.into(),
            source,
        }
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
        let error = |source| self.failed(source);
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
