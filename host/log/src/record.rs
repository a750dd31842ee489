//! Records, and batches of them on their way into the log.

use std::fmt;

use crate::frame::{self, FRAME_HEAD};
use crate::pack;
use crate::{Error, Result};

/// The longest payload of one record, in bytes.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// What a record is. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Numbered. A provisioning stage began or ended: JSON.
    Stage = 1,
    /// Numbered. A line (or a piece of one) that the CLI wrote to stdout: UTF-8 text, with its
    /// newline where it had one.
    Stdout = 2,
    /// Numbered. The same from stderr.
    Stderr = 3,
    /// Numbered. The turn ended with the CLI's exit: JSON.
    Exit = 4,
    /// Numbered. The turn ended because the host could not run or finish it: JSON.
    Error = 5,
    /// Numbered. The session was terminated: JSON.
    Terminated = 6,
    /// Unnumbered. A turn begins: JSON with what recovery needs.
    Begin = 32,
    /// Unnumbered. Bytes that were written to the CLI's stdin, with secrets redacted.
    Stdin = 33,
    /// Unnumbered. The CLI has ended: JSON with its code, signal and the reason.
    Exited = 34,
    /// Unnumbered. A user's answer to a question: JSON.
    Answer = 35,
    /// Unnumbered. Time passed for an adapter: JSON.
    Tick = 36,
    /// Unnumbered. What became of an effect that wrote nothing: JSON.
    Note = 37,
    /// Unnumbered. The user wishes to stop the turn: JSON.
    Interrupt = 38,
    /// Unnumbered, and written by [`Writer::open_after`](crate::Writer::open_after) alone: entries up
    /// to this record's number were given to readers and are gone.
    Gap = 39,
    /// Unnumbered. The turn is over and the CLI's process stays, for the turn of the next `Begin`:
    /// JSON.
    TurnEnded = 40,
    /// Unnumbered. What a user tells the turn that runs, besides its prompt: JSON.
    Input = 41,
    /// Unnumbered. A connection that the sandbox did not get: JSON.
    Network = 42,
    /// Unnumbered. A call of a tool waits for its answer, or does so no more: JSON.
    Call = 43,
}

impl Kind {
    /// All kinds that a batch takes.
    pub const ALL: [Self; 17] = [
        Self::Stage,
        Self::Stdout,
        Self::Stderr,
        Self::Exit,
        Self::Error,
        Self::Terminated,
        Self::Begin,
        Self::Stdin,
        Self::Exited,
        Self::Answer,
        Self::Tick,
        Self::Note,
        Self::Interrupt,
        Self::TurnEnded,
        Self::Input,
        Self::Network,
        Self::Call,
    ];

    /// Whether records of this kind are numbered, and seen by clients.
    pub const fn is_numbered(self) -> bool {
        (self as u8) < 32
    }

    /// Whether it is output of the CLI, of either stream.
    pub const fn is_output(self) -> bool {
        matches!(self, Self::Stdout | Self::Stderr)
    }

    /// Whether it ends a turn for clients.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Exit | Self::Error | Self::Terminated)
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .chain([Self::Gap])
            .find(|kind| *kind as u8 == byte)
    }
}

/// What else is to be known of an output record.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The line goes on in the next record of the same stream.
    pub const CONTINUED: Self = Self(1);
    /// Bytes that were not UTF-8 were replaced.
    pub const REPLACED: Self = Self(2);
    /// It is the first output record of its turn.
    pub const FIRST: Self = Self(4);

    const KNOWN: u8 = 7;

    /// Whether all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        if byte & !Self::KNOWN == 0 {
            Some(Self(byte))
        } else {
            None
        }
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::CONTINUED, "CONTINUED"),
            (Self::REPLACED, "REPLACED"),
            (Self::FIRST, "FIRST"),
        ];
        f.debug_set()
            .entries(
                names
                    .iter()
                    .filter(|(flag, _)| self.contains(*flag))
                    .map(|(_, name)| *name),
            )
            .finish()
    }
}

/// What a writer says of a record; its number and generation come from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// What else is to be known.
    pub flags: Flags,
    /// The turn it belongs to; 0 for none.
    pub turn: u32,
    /// Microseconds since the Unix epoch.
    pub time: i64,
}

impl Meta {
    /// Without flags.
    pub const fn new(kind: Kind, turn: u32, time: i64) -> Self {
        Self {
            kind,
            flags: Flags::NONE,
            turn,
            time,
        }
    }
}

/// A record as it was read. The payload borrows the reader's buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of a numbered record its number; of another the last number before it.
    pub id: u64,
    /// Microseconds since the Unix epoch.
    pub time: i64,
    /// The turn it belongs to; 0 for none.
    pub turn: u32,
    /// Which writer wrote it: each opening of the log raises this.
    pub generation: u32,
    /// What it is.
    pub kind: Kind,
    /// What else is to be known.
    pub flags: Flags,
    /// Text or JSON, by the kind.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Whether `id` is its own number.
    pub const fn is_numbered(&self) -> bool {
        self.kind.is_numbered()
    }

    /// The payload as text. Writers of this project write nothing else; what is not UTF-8 comes
    /// back empty.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.payload).unwrap_or_default()
    }
}

// Payloads are the user's: not for debug output.
impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("turn", &self.turn)
            .field("generation", &self.generation)
            .field("flags", &self.flags)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Records on their way into the log, framed in one reusable buffer. Appending writes them with
/// one system call.
///
/// Short numbered records that follow one another share a frame where what is said of them is the
/// same. Nobody who reads them can tell.
#[derive(Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    records: usize,
    /// The last frame, if it takes more.
    open: Option<pack::Open>,
}

impl Batch {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            records: 0,
            open: None,
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the batch is then as it was.
    pub fn push(&mut self, meta: Meta, payload: &[u8]) -> Result<()> {
        self.push_with(meta, |buffer| buffer.extend_from_slice(payload))
    }

    /// Adds a record whose payload `fill` appends to the buffer it is given. It must only append.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the batch is then as it was.
    pub fn push_with(&mut self, meta: Meta, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let start = self.bytes.len();
        self.bytes.resize(start + FRAME_HEAD, 0);
        fill(&mut self.bytes);
        let bytes = self.bytes.len().saturating_sub(start + FRAME_HEAD);
        if bytes > MAX_PAYLOAD {
            self.bytes.truncate(start);
            return Err(Error::TooLarge {
                bytes,
                max: MAX_PAYLOAD,
            });
        }
        self.records += 1;
        if let Some(open) = &mut self.open
            && open.take(&mut self.bytes, start, meta)
        {
            return Ok(());
        }
        frame::prepare(&mut self.bytes[start..], meta, false);
        self.open = pack::Open::new(start, bytes, meta);
        Ok(())
    }

    /// How many records it holds.
    pub const fn len(&self) -> usize {
        self.records
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many bytes it will take on disk.
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes its buffer keeps.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Empties it, keeping its buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
        self.open = None;
    }

    /// Takes the first records, which have been written, out.
    pub(crate) fn take_out(&mut self, records: usize, bytes: usize) {
        self.bytes.drain(..bytes);
        self.records -= records;
        self.open = None;
    }

    /// Gives memory back, down to `capacity` bytes or what it holds.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.bytes.shrink_to(capacity);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("records", &self.records)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
