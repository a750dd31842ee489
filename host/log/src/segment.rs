//! Segment files: names, headers, and the sparse index beside each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::frame::{Decoded, FRAME_HEAD, decode, le32, le64};
use crate::{Error, Result};

/// The version of the format that this crate writes, and the newest it reads.
///
/// Version 2 has packed frames. All of version 1 is valid in it, and a segment that was begun with
/// that version is gone on with as it is.
pub const FORMAT_VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"aod-log\n";
/// A segment's header: magic, version, generation, first id, checksum of those.
pub(crate) const SEGMENT_HEAD: usize = 28;
const SUFFIX: &str = ".log";
/// An index entry: id and offset of a numbered record.
const ENTRY: usize = 16;
/// At least so many bytes lie between two entries.
pub(crate) const INDEX_EVERY: u64 = 64 << 10;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// The writer that made it.
    pub generation: u32,
    /// The number that its first numbered record has or will have; at least 1.
    pub first_id: u64,
}

/// Why bytes are no header.
pub(crate) enum HeaderError {
    Short,
    Newer(u32),
    Damaged(&'static str),
}

impl Header {
    pub fn encode(self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_id.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        // The version before the length: a newer header may be shorter or longer.
        if bytes.len() >= 12 && bytes[..8] == MAGIC && le32(&bytes[8..]) > FORMAT_VERSION {
            return Err(HeaderError::Newer(le32(&bytes[8..])));
        }
        if bytes.len() < SEGMENT_HEAD {
            return Err(HeaderError::Short);
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a log segment"));
        }
        if crc32c::crc32c(&bytes[..24]) != le32(&bytes[24..]) {
            return Err(HeaderError::Damaged("its header's checksum does not fit"));
        }
        let first_id = le64(&bytes[16..]);
        if first_id == 0 {
            return Err(HeaderError::Damaged("its first number is 0"));
        }
        Ok(Self {
            generation: le32(&bytes[12..]),
            first_id,
        })
    }
}

/// The path of the segment that begins with `first_id`.
pub(crate) fn path(dir: &Path, first_id: u64) -> PathBuf {
    dir.join(format!("{first_id:020}{SUFFIX}"))
}

/// The path of its index.
pub(crate) fn index_path(dir: &Path, first_id: u64) -> PathBuf {
    dir.join(format!("{first_id:020}.idx"))
}

/// The first ids of all segments, ascending. None where there is no folder yet.
pub(crate) fn list(dir: &Path) -> Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", dir))?;
        let name = entry.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse::<u64>().ok())
            .filter(|first_id| *first_id > 0);
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Opens a segment for reading and checks its header. None where it is gone, or so new that its
/// header is not yet there.
pub(crate) fn open(dir: &Path, first_id: u64) -> Result<Option<(File, Header)>> {
    let path = path(dir, first_id);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    Ok(read_header(&file, &path, first_id)?.map(|header| (file, header)))
}

/// Reads a segment's header; None where it is not whole.
pub(crate) fn read_header(file: &File, path: &Path, first_id: u64) -> Result<Option<Header>> {
    let mut bytes = [0; SEGMENT_HEAD];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    let damaged = |what| Error::Corrupt {
        segment: path.to_owned(),
        offset: 0,
        what,
    };
    match Header::decode(&bytes[..have]) {
        Ok(header) if header.first_id == first_id => Ok(Some(header)),
        Ok(_) => Err(damaged("its header's first number is not its name's")),
        Err(HeaderError::Short) => Ok(None),
        // A power loss may leave the length without the bytes.
        Err(HeaderError::Damaged(_)) if bytes == [0; SEGMENT_HEAD] => Ok(None),
        Err(HeaderError::Damaged(what)) => Err(damaged(what)),
        Err(HeaderError::Newer(found)) => Err(Error::NewerFormat {
            segment: path.to_owned(),
            found,
            supported: FORMAT_VERSION,
        }),
    }
}

/// The last place in the index with an id of at most `id` where such a record really stands.
///
/// An index is a hint: it is written after the records, not synced, and may be missing.
pub(crate) fn indexed(dir: &Path, first_id: u64, segment: &File, id: u64) -> Option<(u64, u64)> {
    let mut bytes = Vec::new();
    File::open(index_path(dir, first_id))
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .ok()?;
    let entries = bytes.len() / ENTRY;
    let entry = |n: usize| {
        let at = &bytes[n * ENTRY..];
        (le64(at), le64(&at[8..]))
    };
    // Entries ascend unless the index is damaged, and then the check below finds it out.
    let (mut low, mut high) = (0, entries);
    while low < high {
        let middle = low + (high - low) / 2;
        if entry(middle).0 <= id {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The newest entries may be ahead of what a crash left of the segment.
    (0..low)
        .rev()
        .take(4)
        .map(entry)
        .find(|&(id, offset)| stands_at(segment, id, offset))
}

fn stands_at(segment: &File, id: u64, offset: u64) -> bool {
    let mut bytes = vec![0; FRAME_HEAD];
    if id == 0 || offset < SEGMENT_HEAD as u64 {
        return false;
    }
    loop {
        if segment.read_exact_at(&mut bytes, offset).is_err() {
            return false;
        }
        match decode(&bytes) {
            Decoded::Whole(head) => return head.id == id,
            Decoded::Needs(total) if total > bytes.len() => {
                // Never allocate what the file does not hold.
                let size = segment.metadata().map_or(0, |meta| meta.len());
                if offset.saturating_add(total as u64) > size {
                    return false;
                }
                bytes.resize(total, 0);
            }
            Decoded::Needs(_) | Decoded::Invalid(_) => return false,
        }
    }
}

/// The index of the segment that is being written.
#[derive(Debug)]
pub(crate) struct Index {
    file: Option<File>,
    entries: u64,
    last_offset: u64,
    pending: Vec<u8>,
}

impl Index {
    /// Opens or makes it; entries past `end` of the segment are dropped.
    pub fn open(dir: &Path, first_id: u64, trusted: Option<u64>) -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let mut index = Self {
            file: options.truncate(false).open(index_path(dir, first_id)).ok(),
            entries: 0,
            last_offset: 0,
            pending: Vec::new(),
        };
        let Some(offset) = trusted else { return index };
        // Entries up to the trusted one stay; what comes after is made anew by the caller's scan.
        let mut bytes = Vec::new();
        if let Some(file) = &mut index.file
            && file.read_to_end(&mut bytes).is_ok()
        {
            let kept = bytes
                .chunks_exact(ENTRY)
                .position(|entry| le64(&entry[8..]) == offset);
            if let Some(n) = kept {
                index.entries = n as u64 + 1;
                index.last_offset = offset;
            }
        }
        index
    }

    /// Notes a numbered record, if the last noted one is far enough behind.
    pub fn note(&mut self, id: u64, offset: u64) {
        if offset >= self.last_offset + INDEX_EVERY {
            self.pending.extend_from_slice(&id.to_le_bytes());
            self.pending.extend_from_slice(&offset.to_le_bytes());
            self.last_offset = offset;
        }
    }

    /// Forgets what was noted since the last [`Index::flush`].
    pub fn forget(&mut self, last_offset: u64) {
        self.pending.clear();
        self.last_offset = last_offset;
    }

    /// The offset last noted.
    pub const fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Writes what was noted. An index that cannot be written only makes seeking slower.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Some(file) = &self.file
            && file
                .write_all_at(&self.pending, self.entries * ENTRY as u64)
                .is_ok()
        {
            self.entries += (self.pending.len() / ENTRY) as u64;
        } else {
            self.file = None;
        }
        self.pending.clear();
    }

    /// Cuts whatever an earlier writer left behind the last entry.
    pub fn trim(&self) {
        if let Some(file) = &self.file {
            let _ = file.set_len(self.entries * ENTRY as u64);
        }
    }
}
