//! Short records that share a frame.
//!
//! A frame's head is longer than many a line. So consecutive short records of a batch that differ
//! in their payloads alone, and in [`Flags::REPLACED`], are packed into one frame. Each keeps its
//! own number: the frame has the first one's, and the others count on from there. Its payload:
//!
//! ```text
//! count u32 │ entry │ entry …      entry: length u8 │ bytes
//!                                         └ with the highest bit set: REPLACED
//! ```

use std::ops::Range;

use crate::frame::{FRAME_HEAD, le32, prepare};
use crate::record::{Flags, Meta};

/// A longer payload has a frame of its own.
pub(crate) const LONGEST: usize = 0x7f;
/// A packed frame has no longer payload: what is torn is lost whole, and is passed over whole by
/// who looks for a record.
const LARGEST: usize = 32 << 10;
const COUNT: usize = 4;
const REPLACED: u8 = 0x80;

/// The last frame of a batch, if it takes more.
#[derive(Debug)]
pub(crate) struct Open {
    start: usize,
    meta: Meta,
    /// How many records are packed in it; 0 while it is a frame of its own.
    packed: u32,
    /// Whether bytes of its first record were replaced.
    replaced: bool,
}

impl Open {
    /// The frame that begins at `start` of a batch, if others can share it.
    pub(crate) fn new(start: usize, length: usize, meta: Meta) -> Option<Self> {
        (length <= LONGEST && meta.kind.is_numbered()).then(|| Self {
            start,
            meta: shared(meta),
            packed: 0,
            replaced: meta.flags.contains(Flags::REPLACED),
        })
    }

    /// Moves the frame that begins at `start`, the last one of `bytes`, into this one, which
    /// stands right before it. False where it does not fit, and stays as it is.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>, start: usize, meta: Meta) -> bool {
        let payload = start + FRAME_HEAD;
        let length = bytes.len() - payload;
        let used = start - self.start - FRAME_HEAD;
        let is_fit = length <= LONGEST && used + length < LARGEST;
        if !is_fit || shared(meta) != self.meta {
            return false;
        }
        let mut moved = [0; LONGEST];
        moved[..length].copy_from_slice(&bytes[payload..]);
        bytes.truncate(start);
        let own = self.start + FRAME_HEAD;
        if self.packed == 0 {
            bytes.extend_from_slice(&[0; COUNT + 1]);
            bytes.copy_within(own..start, own + COUNT + 1);
            bytes[own + COUNT] = entry_head(used, self.replaced);
            self.packed = 1;
        }
        bytes.push(entry_head(length, meta.flags.contains(Flags::REPLACED)));
        bytes.extend_from_slice(&moved[..length]);
        self.packed += 1;
        bytes[own..own + COUNT].copy_from_slice(&self.packed.to_le_bytes());
        prepare(&mut bytes[self.start..], self.meta, true);
        true
    }
}

/// What all records of a frame have in common.
fn shared(meta: Meta) -> Meta {
    Meta {
        flags: meta.flags.without(Flags::REPLACED),
        ..meta
    }
}

/// The length is at most [`LONGEST`].
fn entry_head(length: usize, replaced: bool) -> u8 {
    length as u8 | if replaced { REPLACED } else { 0 }
}

/// How many records a packed frame says that it has. Its payload is at least as long as that.
pub(crate) fn count(payload: &[u8]) -> u64 {
    u64::from(le32(payload))
}

/// [`count`], if that is how many there are.
pub(crate) fn checked_count(payload: &[u8]) -> Option<u64> {
    if payload.len() <= COUNT {
        return None;
    }
    let mut entries = Entries::new(0..payload.len());
    let mut found = 0;
    while entries.next(payload).is_some() {
        found += 1;
    }
    (entries.is_done() && found == count(payload)).then_some(found)
}

/// The records of a packed frame that are yet to be read.
#[derive(Clone, Debug)]
pub(crate) struct Entries(Range<usize>);

impl Entries {
    /// Of a payload that stands at `range` of a buffer.
    pub(crate) fn new(range: Range<usize>) -> Self {
        Self(range.start + COUNT..range.end)
    }

    /// The next one's flags, and where in the buffer its payload stands.
    pub(crate) fn next(&mut self, buffer: &[u8]) -> Option<(Flags, Range<usize>)> {
        let head = *buffer[self.0.clone()].first()?;
        let start = self.0.start + 1;
        let end = start + usize::from(head & !REPLACED);
        if end > self.0.end {
            return None;
        }
        self.0.start = end;
        let flags = match head & REPLACED {
            0 => Flags::NONE,
            _ => Flags::REPLACED,
        };
        Some((flags, start..end))
    }

    fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_is_counted() {
        let whole = [2, 0, 0, 0, 1, b'a', REPLACED | 2, b'b', b'c'];
        assert_eq!(checked_count(&whole), Some(2));
        let mut entries = Entries::new(0..whole.len());
        assert_eq!(entries.next(&whole), Some((Flags::NONE, 5..6)));
        assert_eq!(entries.next(&whole), Some((Flags::REPLACED, 7..9)));
        assert_eq!(entries.next(&whole), None);
        for wrong in [
            &whole[..8],
            &whole[..6],
            &whole[..4],
            &whole[..3],
            &[0, 0, 0, 0],
            &[3, 0, 0, 0, 1, b'a', 2, b'b', b'c'],
        ] {
            assert_eq!(checked_count(wrong), None, "{wrong:?}");
        }
    }
}
