//! Sequential reading of one segment in big blocks.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::frame::{Chain, Decoded, Head, contains_record, decode};
use crate::{Error, Result};

/// Live readers mostly find a little; replays grow to the larger size.
const SMALL_BLOCK: usize = 16 << 10;
const LARGE_BLOCK: usize = 256 << 10;

/// What stands at the cursor.
pub(crate) enum Step {
    /// A whole record, with the place of its payload in [`Cursor::bytes`]. The cursor is past it.
    Whole(Head, Range<usize>),
    /// The end of the file.
    End,
    /// The file ends within a record, or so it seems.
    Partial,
    /// Bytes that are no record.
    Invalid(&'static str),
}

/// A place in a segment. At anything but a whole record it holds no bytes and no memory, so that
/// the next step sees the file afresh.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: File,
    offset: u64,
    buffer: Vec<u8>,
    unread: Range<usize>,
    block: usize,
}

impl Cursor {
    pub const fn new(file: File, offset: u64) -> Self {
        Self {
            file,
            offset,
            buffer: Vec::new(),
            unread: 0..0,
            block: SMALL_BLOCK,
        }
    }

    /// Where in the file the next record begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    pub const fn file(&self) -> &File {
        &self.file
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// What was read of the file last: ranges of a step's payload are within it until the next.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Goes back before the frame that was read last.
    pub const fn step_back(&mut self, head: &Head) {
        self.offset -= head.total as u64;
        self.unread.start -= head.total;
    }

    /// Reads on.
    pub fn step(&mut self, path: &Path) -> Result<Step> {
        let mut fresh = self.unread.is_empty();
        loop {
            let needed = match decode(&self.buffer[self.unread.clone()]) {
                Decoded::Whole(head) => {
                    let start = self.unread.start;
                    self.unread.start += head.total;
                    self.offset += head.total as u64;
                    let payload = start + crate::frame::FRAME_HEAD..start + head.total;
                    return Ok(Step::Whole(head, payload));
                }
                Decoded::Needs(needed) => needed,
                Decoded::Invalid(_) if !fresh => {
                    // The block may have caught a torn tail that a new writer has since replaced.
                    self.release();
                    fresh = true;
                    continue;
                }
                Decoded::Invalid(what) => {
                    self.release();
                    return Ok(Step::Invalid(what));
                }
            };
            let have = self.unread.len();
            // A length that the file cannot hold must not make us allocate it.
            if needed > LARGE_BLOCK && self.offset + needed as u64 > self.size(path)? {
                self.release();
                return Ok(Step::Partial);
            }
            fresh &= have == 0;
            if self.fill(needed, path)? == 0 {
                self.release();
                return Ok(if have == 0 { Step::End } else { Step::Partial });
            }
        }
    }

    /// Whether any whole record that may follow `chain` stands behind the cursor.
    pub fn record_follows(&self, chain: &Chain, path: &Path) -> Result<bool> {
        let from = self.offset + 1;
        let size = self.size(path)?.saturating_sub(from);
        let mut rest = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut have = 0;
        while have < rest.len() {
            match read_at(&self.file, &mut rest[have..], from + have as u64, path)? {
                0 => break,
                count => have += count,
            }
        }
        Ok(contains_record(
            &rest[..have],
            chain.last_id,
            chain.generation,
        ))
    }

    /// Reads at least one byte more, into a buffer that takes `needed`; 0 at the end of the file.
    fn fill(&mut self, needed: usize, path: &Path) -> Result<usize> {
        let have = self.unread.len();
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..have;
        let wanted = self.block.max(needed);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        } else if self.buffer.len() > LARGE_BLOCK && wanted <= LARGE_BLOCK && have <= wanted {
            // A huge record has passed.
            self.buffer.truncate(wanted);
            self.buffer.shrink_to_fit();
        }
        let room = self.buffer.len() - have;
        let from = self.offset + have as u64;
        let count = read_at(&self.file, &mut self.buffer[have..], from, path)?;
        self.unread.end += count;
        if count == room {
            self.block = (self.block * 2).min(LARGE_BLOCK);
        }
        Ok(count)
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
        self.unread = 0..0;
        self.block = SMALL_BLOCK;
    }

    fn size(&self, path: &Path) -> Result<u64> {
        let meta = self.file.metadata().map_err(Error::io("inspect", path))?;
        Ok(meta.len())
    }
}

fn read_at(file: &File, buffer: &mut [u8], from: u64, path: &Path) -> Result<usize> {
    loop {
        match file.read_at(buffer, from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(Error::io("read", path)),
        }
    }
}
