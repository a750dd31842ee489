//! Compressed content of files in copies.
//!
//! A packed file has the length of what it stands for, and takes less of the disk: compressed pieces
//! stand at its beginning, and a hole is behind them. A bit of its mode tells it from other files,
//! one that means nothing for a file; copies of files that have it do without. Whoever opened a
//! folder as a copy ([`Folder::open_copy`]) reads what such a file stands for.
//!
//! [`Folder::open_copy`]: crate::Folder::open_copy

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FileType, Stat};
use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// The bit of a packed file's mode: "sticky", which Linux ignores for files.
pub(crate) const MARK: u32 = 0o1000;
/// What a packed file begins with.
const MAGIC: [u8; 8] = *b"aodpack1";
/// In front of each piece: where it belongs, its length, and its length as it is packed. One whose
/// lengths are the same is not compressed; one without a length is behind the last.
const HEAD: usize = 16;
/// So much is compressed at once.
pub(super) const PIECE: usize = 1 << 20;
/// The size of a file system's block, as most have it: a file of no more would take as many blocks when
/// it is packed.
pub(super) const SHORTEST: u64 = 4096;
/// A file of which the first piece is not made shorter by such a part is left as it is.
const WORTH: usize = 8;

/// Whether a file of a copy is packed, as its mode says.
pub(crate) fn is_packed(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & MARK != 0
}

/// Writes a packed file.
pub(super) struct Packer<'a> {
    to: &'a File,
    /// Where the next piece goes.
    at: u64,
    /// The length of what is packed, which is all the room that there is.
    size: u64,
}

impl<'a> Packer<'a> {
    /// Into an empty file.
    pub(super) fn new(to: &'a File, size: u64) -> Self {
        let at = MAGIC.len() as u64;
        Self { to, at, size }
    }

    /// What it takes until now, with its end.
    pub(super) const fn taken(&self) -> u64 {
        self.at + HEAD as u64
    }

    /// Packs a piece of at most [`PIECE`] bytes; false where that is not worth it, and the file is to
    /// be copied as it is.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn add(&mut self, offset: u64, piece: &[u8]) -> io::Result<bool> {
        let compressed = compress_to_vec(piece, CompressionLevel::Fastest);
        let is_first = self.at == MAGIC.len() as u64;
        let is_shorter = compressed.len() < piece.len() - piece.len() / WORTH;
        if is_first && !is_shorter {
            return Ok(false);
        }
        let packed = match is_shorter {
            true => &compressed[..],
            false => piece,
        };
        let head = head(offset, piece.len(), packed.len());
        let next = self.at + (head.len() + packed.len()) as u64;
        if next + HEAD as u64 > self.size {
            return Ok(false);
        }
        self.to.write_all_at(&head, self.at)?;
        self.to.write_all_at(packed, self.at + head.len() as u64)?;
        self.at = next;
        Ok(true)
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn finish(self) -> io::Result<()> {
        self.to.write_all_at(&head(self.size, 0, 0), self.at)?;
        self.to.write_all_at(&MAGIC, 0)?;
        self.to.set_len(self.size)
    }
}

fn head(offset: u64, length: usize, packed: usize) -> [u8; HEAD] {
    // Both are no more than a piece's.
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = [0; HEAD];
    let parts = [&offset.to_le_bytes()[..], &number(length), &number(packed)];
    for (byte, value) in head.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *value;
    }
    head
}

/// What a packed file stands for, read from its beginning. Between its pieces are zeros.
#[derive(Debug)]
pub struct Unpacked {
    file: File,
    size: u64,
    /// What is read next.
    at: u64,
    /// Where the next head stands.
    next: u64,
    piece: Piece,
}

/// A part of a file's content.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) content: Vec<u8>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.content.len() as u64
    }
}

impl Unpacked {
    /// A file that is packed.
    ///
    /// # Errors
    /// Those of reading; [`io::ErrorKind::InvalidData`] where it is not packed.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        if magic != MAGIC {
            return Err(damaged());
        }
        Ok(Self {
            file,
            size,
            at: 0,
            next: MAGIC.len() as u64,
            piece: Piece::default(),
        })
    }

    /// The next piece, in their order; none behind the last.
    pub(super) fn piece(&mut self) -> io::Result<Option<&Piece>> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, self.next)?;
        let [a, b, c, d, e, f, g, h, rest @ ..] = head;
        let offset = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let [a, b, c, d, e, f, g, h] = rest;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let packed = u32::from_le_bytes([e, f, g, h]) as usize;
        if length == 0 {
            return Ok(None);
        }
        let end = offset.checked_add(length as u64);
        let fits = end.is_some_and(|end| end <= self.size) && offset >= self.piece.end();
        if !fits || length > PIECE || packed > length {
            return Err(damaged());
        }
        let mut stored = vec![0; packed];
        let at = self.next + HEAD as u64;
        self.file.read_exact_at(&mut stored, at)?;
        self.next = at + packed as u64;
        self.piece.offset = offset;
        self.piece.content = match packed == length {
            true => stored,
            false => {
                let mut content = vec![0; length];
                let read = FrameDecoder::new().decode_all(&stored, &mut content);
                if !read.is_ok_and(|read| read == length) {
                    return Err(damaged());
                }
                content
            }
        };
        Ok(Some(&self.piece))
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || into.is_empty() {
            return Ok(0);
        }
        if self.at >= self.piece.end() && self.piece()?.is_none() {
            // Nothing but a hole is left.
            self.piece = Piece {
                offset: self.size,
                content: Vec::new(),
            };
        }
        let (until, content) = match self.at.checked_sub(self.piece.offset) {
            None => (self.piece.offset, None),
            Some(within) => {
                let within = usize::try_from(within).unwrap_or(usize::MAX);
                (self.piece.end(), self.piece.content.get(within..))
            }
        };
        let left = usize::try_from(until - self.at).unwrap_or(usize::MAX);
        let into = match into.len() > left {
            true => &mut into[..left],
            false => into,
        };
        match content {
            None => into.fill(0),
            Some(content) => into.copy_from_slice(&content[..into.len()]),
        }
        self.at += into.len() as u64;
        Ok(into.len())
    }
}

fn damaged() -> io::Error {
    let problem = "a compressed file of a copy is damaged";
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs these parts of a file of such a length; none where that is not worth it.
    fn packed(size: u64, parts: &[(u64, Vec<u8>)]) -> Option<File> {
        let file = tempfile::tempfile().unwrap();
        let mut packer = Packer::new(&file, size);
        for (offset, part) in parts {
            if !packer.add(*offset, part).unwrap() {
                return None;
            }
        }
        packer.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        Some(file)
    }

    fn read(file: File) -> Vec<u8> {
        let mut content = Vec::new();
        Unpacked::new(file)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        content
    }

    #[test]
    fn what_is_packed_is_read_again_with_its_holes() {
        let text = "all work and no play ".repeat(3_000).into_bytes();
        let file = packed(1 << 20, &[(8192, text.clone()), (900_000, text.clone())]).unwrap();
        let mut wanted = vec![0; 1 << 20];
        wanted[8192..8192 + text.len()].copy_from_slice(&text);
        wanted[900_000..900_000 + text.len()].copy_from_slice(&text);
        assert!(read(file) == wanted);
    }

    #[test]
    fn what_gets_no_shorter_is_not_packed() {
        let mut noise = vec![0u8; 100_000];
        let mut state = 1u32;
        for byte in &mut noise {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        assert!(packed(100_000, &[(0, noise.clone())]).is_none());
        // A part of it may be so.
        let file = packed(200_000, &[(0, vec![7; 100_000]), (100_000, noise.clone())]).unwrap();
        assert!(read(file)[100_000..] == noise);
    }

    #[test]
    fn what_is_damaged_is_an_error_and_no_more() {
        let file = packed(50_000, &[(0, vec![7; 50_000])]).unwrap();
        let mut bytes = vec![0; 200];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let other = tempfile::tempfile().unwrap();
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                other.write_all_at(&bytes, 0).unwrap();
                other.set_len(50_000).unwrap();
                let mut content = Vec::new();
                // Whatever it is, there is no more than that.
                if let Ok(mut unpacked) = Unpacked::new(other) {
                    let _ = unpacked.read_to_end(&mut content);
                }
                assert!(content.len() <= 50_000);
            }
        }
    }

    proptest! {
        #[test]
        fn any_content_is_what_it_was(
            parts in proptest::collection::vec((0u64..5_000, proptest::collection::vec(any::<u8>(), 1..3_000), any::<bool>()), 1..5),
            step in 1usize..5_000,
        ) {
            let mut wanted = Vec::new();
            let mut given = Vec::new();
            for (hole, part, is_even) in parts {
                let part = if is_even { vec![part[0]; part.len()] } else { part };
                wanted.resize(wanted.len() + hole as usize, 0);
                given.push((wanted.len() as u64, part.clone()));
                wanted.extend(part);
            }
            if let Some(file) = packed(wanted.len() as u64, &given) {
                let mut unpacked = Unpacked::new(file).unwrap();
                let mut content = Vec::new();
                let mut buffer = vec![0; step];
                while let read @ 1.. = unpacked.read(&mut buffer).unwrap() {
                    content.extend_from_slice(&buffer[..read]);
                }
                prop_assert!(content == wanted);
            }
        }
    }
}
