//! The bytes of one record.
//!
//! ```text
//! crc32c u32 │ length u32 │ id u64 │ time i64 │ turn u32 │ generation u32 │ kind u8 │ flags u8 │ payload
//!   │            └ of all that follows it                                              └ the highest bit: packed
//!   └ of all that follows it; all numbers are little-endian
//! ```
//!
//! A packed frame has several records: [`pack`] says how.

use crate::pack;
use crate::record::{Flags, Kind, MAX_PAYLOAD, Meta};
use crate::segment::{Header, HeaderError, SEGMENT_HEAD};

/// Checksum and length.
const ENVELOPE: usize = 8;
/// What stands between the length and the payload.
const FIXED: usize = 26;
/// All that stands before the payload.
pub(crate) const FRAME_HEAD: usize = ENVELOPE + FIXED;
/// In the byte of the flags: the frame has several records.
const PACKED: u8 = 0x80;

/// A frame's head, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// 0 for an unnumbered record; the first of a packed frame's.
    pub id: u64,
    /// How many records there are.
    pub count: u64,
    pub is_packed: bool,
    pub time: i64,
    pub turn: u32,
    pub generation: u32,
    pub kind: Kind,
    pub flags: Flags,
    /// The frame's length, head included.
    pub total: usize,
}

/// What stands at the start of some bytes.
pub(crate) enum Decoded {
    /// A whole record.
    Whole(Head),
    /// Not enough of it: this many bytes are wanted in all.
    Needs(usize),
    /// No record.
    Invalid(&'static str),
}

/// Writes what the caller knows into a frame whose payload is in place.
pub(crate) fn prepare(frame: &mut [u8], meta: Meta, is_packed: bool) {
    // A batch refuses payloads that do not fit.
    let length = (frame.len() - ENVELOPE) as u32;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    frame[16..24].copy_from_slice(&meta.time.to_le_bytes());
    frame[24..28].copy_from_slice(&meta.turn.to_le_bytes());
    frame[32] = meta.kind as u8;
    frame[33] = meta.flags.to_byte() | if is_packed { PACKED } else { 0 };
}

/// How many records a frame of our own has.
fn records(frame: &[u8]) -> u64 {
    match frame[33] & PACKED {
        0 => 1,
        _ => pack::count(&frame[FRAME_HEAD..]),
    }
}

/// Numbers and seals the prepared frames of a batch; calls `each` with every frame's offset and
/// first id (0 for unnumbered). Returns the last number given.
pub(crate) fn seal(
    mut bytes: &mut [u8],
    mut last_id: u64,
    generation: u32,
    mut each: impl FnMut(usize, u64),
) -> u64 {
    let mut offset = 0;
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at_mut(frame_length(bytes));
        let numbered = frame[32] < 32;
        let id = if numbered { last_id + 1 } else { 0 };
        if numbered {
            last_id += records(frame);
        }
        frame[8..16].copy_from_slice(&id.to_le_bytes());
        frame[28..32].copy_from_slice(&generation.to_le_bytes());
        let crc = checksum(frame);
        frame[0..4].copy_from_slice(&crc.to_le_bytes());
        each(offset, id);
        offset += frame.len();
        bytes = rest;
    }
    last_id
}

/// A whole frame that says that numbers go on behind `last_id`.
pub(crate) fn gap(last_id: u64, generation: u32, time: i64) -> [u8; FRAME_HEAD] {
    let mut frame = [0; FRAME_HEAD];
    prepare(&mut frame, Meta::new(Kind::Gap, 0, time), false);
    frame[8..16].copy_from_slice(&last_id.to_le_bytes());
    frame[28..32].copy_from_slice(&generation.to_le_bytes());
    let crc = checksum(&frame);
    frame[0..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// How many records of whole frames, and how many bytes of them, lie within the first `limit` bytes
/// of a sealed batch; with the last number among them.
pub(crate) fn whole_within(bytes: &[u8], limit: usize, mut last_id: u64) -> (usize, usize, u64) {
    let (mut count, mut end) = (0, 0);
    while end < bytes.len() {
        let next = end + frame_length(&bytes[end..]);
        if next > limit {
            break;
        }
        let (id, records) = (le64(&bytes[end + 8..]), records(&bytes[end..next]));
        if id != 0 {
            last_id = id + records - 1;
        }
        end = next;
        // A batch counts what it holds with a `usize`, too.
        count += records as usize;
    }
    (count, end, last_id)
}

/// Looks at the start of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() < FRAME_HEAD {
        return Decoded::Needs(FRAME_HEAD);
    }
    let total = frame_length(bytes);
    if !(FRAME_HEAD..=FRAME_HEAD + MAX_PAYLOAD).contains(&total) {
        return Decoded::Invalid("its length is impossible");
    }
    let Some(kind) = Kind::from_byte(bytes[32]) else {
        return Decoded::Invalid("its kind is unknown");
    };
    let is_packed = bytes[33] & PACKED != 0;
    let Some(flags) = Flags::from_byte(bytes[33] & !PACKED) else {
        return Decoded::Invalid("its flags are unknown");
    };
    let id = le64(&bytes[8..]);
    let has_number = kind.is_numbered() || kind == Kind::Gap;
    if has_number != (id != 0) || (is_packed && !kind.is_numbered()) {
        return Decoded::Invalid("its number does not fit its kind");
    }
    if bytes.len() < total {
        return Decoded::Needs(total);
    }
    if checksum(&bytes[..total]) != le32(bytes) {
        return Decoded::Invalid("its checksum does not fit");
    }
    let count = match is_packed {
        true => pack::checked_count(&bytes[FRAME_HEAD..total]),
        false => Some(1),
    };
    let Some(count) = count.filter(|count| id.checked_add(*count).is_some()) else {
        return Decoded::Invalid("it does not have the records that it says");
    };
    Decoded::Whole(Head {
        id,
        count,
        is_packed,
        time: le64(&bytes[16..]) as i64,
        turn: le32(&bytes[24..]),
        generation: le32(&bytes[28..]),
        kind,
        flags,
        total,
    })
}

/// How many bytes a search for a record may checksum in vain.
const SEARCH_BYTES: usize = 1 << 30;

/// Whether a whole record with a number or generation that may follow stands anywhere in `bytes`.
///
/// Tells damage in the middle from a torn tail. A CLI could print bytes that look like a record,
/// and be torn in the middle of that very line; all it gains is that its own session is called
/// damaged.
pub(crate) fn contains_record(bytes: &[u8], last_id: u64, generation: u32) -> bool {
    // Crafted bytes could look like the head of a huge record at every offset.
    let mut budget = SEARCH_BYTES;
    (0..bytes.len().saturating_sub(FRAME_HEAD - 1)).any(|at| {
        let rest = &bytes[at..];
        // The cheap checks first: this runs at every byte.
        let generation_fits = le32(&rest[28..]).wrapping_sub(generation) < 1 << 16;
        let id = le64(&rest[8..]);
        if !generation_fits || !(id == 0 || id.wrapping_sub(last_id) < 1 << 32) {
            return false;
        }
        let cost = frame_length(rest).min(rest.len());
        if cost > budget {
            return false;
        }
        match decode(rest) {
            Decoded::Whole(_) => true,
            Decoded::Needs(_) => false,
            Decoded::Invalid(_) => {
                budget -= cost;
                false
            }
        }
    })
}

/// How a scanned segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// With a whole record.
    Clean,
    /// With the beginning of one: the writer died, or writes it just now.
    Torn,
    /// Before the end, at damaged bytes; or it is no segment at all.
    Corrupt(&'static str),
    /// It is of a newer format, with this version.
    Newer(u32),
}

/// What a scan of a segment's bytes found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// How many whole records there are.
    pub records: u64,
    /// The last number; one less than the segment's first where there is none.
    pub last_id: u64,
    /// How many bytes from the start are valid.
    pub valid: u64,
    /// How it ended.
    pub end: ScanEnd,
}

/// Checks the bytes of a whole segment file. Never panics, whatever the bytes: the entry for
/// fuzzing.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan {
        records: 0,
        last_id: 0,
        valid: 0,
        end: ScanEnd::Clean,
    };
    let header = match Header::decode(bytes) {
        Ok(header) => header,
        Err(error) => {
            found.end = match error {
                HeaderError::Short => ScanEnd::Torn,
                HeaderError::Newer(version) => ScanEnd::Newer(version),
                HeaderError::Damaged(what) => ScanEnd::Corrupt(what),
            };
            return found;
        }
    };
    let mut chain = Chain::new(header.first_id - 1, header.generation);
    let mut at = SEGMENT_HEAD;
    while at < bytes.len() {
        let what = match decode(&bytes[at..]) {
            Decoded::Whole(head) => match chain.accept(&head) {
                Ok(()) => {
                    found.records += head.count;
                    at += head.total;
                    continue;
                }
                Err(what) => {
                    found.end = ScanEnd::Corrupt(what);
                    break;
                }
            },
            Decoded::Needs(_) => "it goes on past the end",
            Decoded::Invalid(what) => what,
        };
        let rest = &bytes[at + 1..];
        found.end = if contains_record(rest, chain.last_id, chain.generation) {
            ScanEnd::Corrupt(what)
        } else {
            ScanEnd::Torn
        };
        break;
    }
    found.last_id = chain.last_id;
    found.valid = at as u64;
    found
}

/// Checks that records follow one another: numbers without gaps but those that are said, generations
/// that never fall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub last_id: u64,
    pub generation: u32,
}

impl Chain {
    pub const fn new(last_id: u64, generation: u32) -> Self {
        Self {
            last_id,
            generation,
        }
    }

    /// Takes the records of the next frame, or says why it cannot be the next.
    pub fn accept(&mut self, head: &Head) -> Result<(), &'static str> {
        if head.generation < self.generation {
            return Err("it was written by a writer that had already been replaced");
        }
        if head.kind == Kind::Gap {
            if head.id < self.last_id {
                return Err("it leaves out numbers that stand before it");
            }
            self.last_id = head.id;
        } else if head.id != 0 {
            if head.id != self.last_id.wrapping_add(1) {
                return Err("its number does not follow the one before it");
            }
            self.last_id = head.id + (head.count - 1);
        }
        self.generation = head.generation;
        Ok(())
    }
}

fn frame_length(bytes: &[u8]) -> usize {
    le32(&bytes[4..]) as usize + ENVELOPE
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c(&frame[4..])
}

/// Reads a number from the first bytes, which the caller knows to be there.
pub(crate) fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Reads a number from the first bytes, which the caller knows to be there.
pub(crate) fn le64(bytes: &[u8]) -> u64 {
    u64::from(le32(bytes)) | u64::from(le32(&bytes[4..])) << 32
}
