//! Readers: any number, without a lock, at the cost of a sequential read.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cursor::{Cursor, Step};
use crate::frame::{Chain, Head};
use crate::pack::Entries;
use crate::segment::{self, Header, SEGMENT_HEAD};
use crate::{Error, Record, Result};

/// A place in a log, from which records are read in order.
///
/// At the end of what is there [`Reader::next`] gives `None` and keeps its place; it goes on when
/// the log has grown, and holds no buffer meanwhile. Where history has been purged it continues
/// with the nearest surviving record.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    chain: Chain,
    current: Option<OpenSegment>,
    /// What is left of the packed frame that was read last. The current cursor has its bytes.
    packed: Option<(Head, Entries)>,
    /// The segment to read next, once the current one, which is finished, has been read to its end.
    next: Option<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    first_id: u64,
    generation: u32,
    cursor: Cursor,
}

impl OpenSegment {
    fn new(dir: &Path, file: File, header: Header) -> Self {
        Self {
            path: segment::path(dir, header.first_id),
            first_id: header.first_id,
            generation: header.generation,
            cursor: Cursor::new(file, SEGMENT_HEAD as u64),
        }
    }

    /// Opens the segment; None where it is gone or not yet begun.
    fn open(dir: &Path, first_id: u64) -> Result<Option<Self>> {
        let opened = segment::open(dir, first_id)?;
        Ok(opened.map(|(file, header)| Self::new(dir, file, header)))
    }
}

impl Reader {
    /// Stands at the oldest surviving record of the log in `dir`. A log that does not exist yet
    /// reads as empty until it does.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Corrupt`] (in a header), [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let mut reader = Self {
            dir: dir.to_owned(),
            chain: Chain::new(0, 0),
            current: None,
            packed: None,
            next: None,
        };
        reader.seek_after(0)?;
        Ok(reader)
    }

    /// Stands behind the numbered record `id`, before any unnumbered ones that follow it. With 0,
    /// or where history up to there has been purged, at the oldest surviving record; where `id`
    /// is yet to come, at the end.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn seek_after(&mut self, id: u64) -> Result<()> {
        self.next = None;
        self.packed = None;
        self.current = self.find(id)?;
        let Some(place) = &mut self.current else {
            self.chain = Chain::new(0, 0);
            return Ok(());
        };
        self.chain = Chain::new(place.first_id - 1, place.generation);
        if id < place.first_id {
            return Ok(());
        }
        let indexed = segment::indexed(&self.dir, place.first_id, place.cursor.file(), id);
        if let Some((id, offset)) = indexed {
            let file = place.cursor.file().try_clone();
            let file = file.map_err(Error::io("open", &place.path))?;
            place.cursor = Cursor::new(file, offset);
            self.chain.last_id = id - 1;
        }
        while self.chain.last_id < id {
            match self.advance()? {
                None => break,
                Some((head, _)) if head.id > id => {
                    // History was purged while we looked for it: this is the first record of its
                    // frame.
                    self.packed = None;
                    if let Some(place) = &mut self.current {
                        place.cursor.step_back(&head);
                        self.chain.last_id = head.id - 1;
                    }
                    break;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Reads the next record; `None` at the end of what is there.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`]. The place is kept.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows the reader's buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        let Some((head, payload)) = self.advance()? else {
            return Ok(None);
        };
        let Some(place) = &self.current else {
            return Ok(None);
        };
        Ok(Some(Record {
            id: self.chain.last_id,
            time: head.time,
            turn: head.turn,
            generation: head.generation,
            kind: head.kind,
            flags: head.flags,
            payload: place.cursor.bytes(payload),
        }))
    }

    /// The number of the last numbered record that was read or skipped; 0 for none.
    pub const fn last_id(&self) -> u64 {
        self.chain.last_id
    }

    /// The folder of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The next record: what its frame says, its own flags in the place of the frame's, and where
    /// its payload stands.
    fn advance(&mut self) -> Result<Option<(Head, Range<usize>)>> {
        if let Some(record) = self.unpack() {
            return Ok(Some(record));
        }
        let mut suspected = false;
        loop {
            let Some(place) = &mut self.current else {
                // From the oldest: the log did not exist when this reader was opened.
                self.current = self.find(0)?;
                let Some(place) = &self.current else {
                    return Ok(None);
                };
                self.chain = Chain::new(place.first_id - 1, place.generation);
                continue;
            };
            let at = place.cursor.offset();
            let problem = match place.cursor.step(&place.path)? {
                Step::Whole(head, payload) => match self.chain.accept(&head) {
                    Ok(()) if head.is_packed => {
                        self.chain.last_id = head.id - 1;
                        self.packed = Some((head, Entries::new(payload)));
                        return Ok(self.unpack());
                    }
                    Ok(()) => return Ok(Some((head, payload))),
                    Err(what) => {
                        place.cursor.step_back(&head);
                        Some(what)
                    }
                },
                Step::End => None,
                Step::Partial => Some("it goes on past the end"),
                Step::Invalid(what) => Some(what),
            };
            match (problem, self.next.take()) {
                (None, Some(next)) => {
                    // Where history was purged, numbers go on from the surviving ones.
                    self.chain.last_id = self.chain.last_id.max(next.first_id - 1);
                    self.current = Some(next);
                }
                (Some(what), Some(next)) => {
                    self.next = Some(next);
                    return Err(self.corrupt(at, what));
                }
                (problem, None) => {
                    // What follows was begun after this segment was finished, and what was
                    // finished since the step above must be read first: look once more.
                    self.next = self.following()?;
                    if self.next.is_none() {
                        return match problem {
                            Some(what) if suspected => Err(self.corrupt(at, what)),
                            // The writer may have gone on since the step above, and what follows
                            // be whole for that reason: then the next step is whole, too.
                            Some(_) if self.is_damaged()? => {
                                suspected = true;
                                continue;
                            }
                            // A record that is being written, or one that was torn.
                            _ => Ok(None),
                        };
                    }
                }
            }
        }
    }

    /// The next record of a packed frame.
    fn unpack(&mut self) -> Option<(Head, Range<usize>)> {
        let (head, entries) = self.packed.as_mut()?;
        let place = self.current.as_ref()?;
        let Some((flags, payload)) = entries.next(place.cursor.buffer()) else {
            self.packed = None;
            return None;
        };
        self.chain.last_id += 1;
        let head = Head {
            flags: head.flags | flags,
            ..*head
        };
        Some((head, payload))
    }

    /// The segment after the current one, if that has been finished.
    fn following(&self) -> Result<Option<OpenSegment>> {
        let Some(place) = &self.current else {
            return Ok(None);
        };
        let next_id = self.chain.last_id + 1;
        if next_id != place.first_id
            && let Some(next) = OpenSegment::open(&self.dir, next_id)?
        {
            return Ok(Some(next));
        }
        let meta = place.cursor.file().metadata();
        let meta = meta.map_err(Error::io("inspect", &place.path))?;
        if meta.nlink() > 0 {
            return Ok(None);
        }
        for first_id in segment::list(&self.dir)? {
            if first_id > place.first_id
                && let Some(next) = OpenSegment::open(&self.dir, first_id)?
            {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Whether what stands at the cursor, in the newest segment, is damage and no torn tail.
    fn is_damaged(&self) -> Result<bool> {
        match &self.current {
            Some(place) => place.cursor.record_follows(&self.chain, &place.path),
            None => Ok(false),
        }
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        let segment = self.current.as_ref().map(|place| place.path.clone());
        Error::Corrupt {
            segment: segment.unwrap_or_default(),
            offset,
            what,
        }
    }

    /// The segment that holds `id` or would, else the oldest.
    fn find(&self, id: u64) -> Result<Option<OpenSegment>> {
        // A purge may remove what was just listed, so it is tried again; the newest
        // may have been named but not filled before a power loss.
        for _ in 0..3 {
            let segments = segment::list(&self.dir)?;
            let position = segments.partition_point(|first_id| *first_id <= id);
            for first_id in segments.iter().take(position.max(1)).rev() {
                let place = OpenSegment::open(&self.dir, *first_id)?;
                if place.is_some() {
                    return Ok(place);
                }
            }
            if segments.is_empty() {
                break;
            }
        }
        Ok(None)
    }
}

/// The end of a log, as far as it can be seen without its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The number of the last numbered record; 0 for none.
    pub last_id: u64,
    /// The generation of the last record.
    pub generation: u32,
    /// The time of the last record, in microseconds since the Unix epoch.
    pub time: Option<i64>,
}

/// Looks at the end of a log: reads at most an index and what follows its last entry.
///
/// # Errors
/// As [`Reader::next`].
pub fn tail(dir: &Path) -> Result<Tail> {
    let mut reader = Reader::open(dir)?;
    reader.seek_after(u64::MAX - 1)?;
    // The last record's time: from the last indexed place on, all was passed over just now.
    let mut found = Tail {
        last_id: reader.chain.last_id,
        generation: reader.chain.generation,
        time: None,
    };
    if found.last_id > 0 {
        reader.seek_after(found.last_id - 1)?;
        while let Some(record) = reader.next()? {
            found.time = Some(record.time);
        }
        found.last_id = reader.chain.last_id;
        found.generation = reader.chain.generation;
    }
    Ok(found)
}
