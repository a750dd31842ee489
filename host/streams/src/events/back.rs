//! Reading stored events backwards, from any place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use aod_resources::event::EventId;

use super::read::{find, id_at, line_end, open, read_at};
use super::{id_of, run, turns_in};

/// So much is read at once, and more where a line is longer.
const CHUNK: usize = 64 << 10;

/// A position among a session's stored lines, which goes from each to the one before it.
#[derive(Debug)]
pub(super) struct BackReader {
    dir: PathBuf,
    /// The turns before the one that is read, in order.
    turns: Vec<u32>,
    /// The turn that is read.
    turn: u32,
    file: Option<File>,
    /// Where the line ends in the file that was not given yet.
    end: u64,
    /// What was read in front of `end`, and not given yet.
    chunk: Vec<u8>,
    /// How much was read in all.
    read: u64,
}

impl BackReader {
    /// Stands behind the last line that has an event before `before`, or behind the last of all.
    pub(super) fn open(dir: &Path, before: Option<EventId>) -> io::Result<Self> {
        let mut reader = Self {
            dir: dir.to_owned(),
            turns: turns_in(dir)?,
            turn: 0,
            file: None,
            end: 0,
            chunk: Vec::new(),
            read: 0,
        };
        while reader.next_file()? {
            let (Some(file), Some(before)) = (&reader.file, before) else {
                break;
            };
            match id_at(file, 0)? {
                Some(first) if first < before => {
                    reader.end = end_before(file, before)?;
                    break;
                }
                // It begins behind the place, or has no events.
                _ => {}
            }
        }
        Ok(reader)
    }

    /// Where the reader stands: a file, and an offset in it.
    pub(super) fn place(&self) -> io::Result<Option<(File, u64)>> {
        let file = self.file.as_ref().map(File::try_clone).transpose()?;
        Ok(file.map(|file| (file, self.end)))
    }

    /// The turn that is read.
    pub(super) fn turn(&self) -> u32 {
        self.turn
    }

    /// How much was read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The line in front of the place, without its line end; none in front of the first.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.end > 0
                && let Some(line) = self.line_here()?
            {
                return Ok(Some(line));
            }
            if !self.next_file()? {
                return Ok(None);
            }
        }
    }

    fn line_here(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut size = CHUNK;
        loop {
            // Its own line end is the last byte.
            let body = &self.chunk[..self.chunk.len().saturating_sub(1)];
            let begin = memchr::memrchr(b'\n', body).map(|at| at + 1);
            let is_whole = self.chunk.len() as u64 == self.end;
            if let Some(begin) = begin.or_else(|| (is_whole && !body.is_empty()).then_some(0)) {
                let mut line = self.chunk.split_off(begin);
                self.end -= line.len() as u64;
                line.pop();
                return Ok(Some(line));
            }
            if is_whole {
                self.end = 0;
                return Ok(None);
            }
            // The line begins before what was read.
            let there = self.end - self.chunk.len() as u64;
            let more = usize::try_from(there).unwrap_or(usize::MAX).min(size);
            let mut front = read_at(file, there - more as u64, more)?;
            if front.len() < more {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.read += more as u64;
            front.append(&mut self.chunk);
            self.chunk = front;
            size = size.saturating_mul(4);
        }
    }

    /// Goes to the end of the turn before; false where there is none.
    fn next_file(&mut self) -> io::Result<bool> {
        while let Some(turn) = self.turns.pop() {
            if let Some(file) = open(&self.dir, turn)? {
                self.chunk.clear();
                self.turn = turn;
                self.end = whole_end(&file)?;
                self.file = Some(file);
                return Ok(true);
            }
        }
        self.file = None;
        self.end = 0;
        Ok(false)
    }
}

/// Where the last whole line of a file ends.
fn whole_end(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let size = end.min(CHUNK as u64);
        let chunk = read_at(file, end - size, usize::try_from(size).unwrap_or(CHUNK))?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(end - size + at as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}

/// Where the last line ends that has an event before `before`.
fn end_before(file: &File, before: EventId) -> io::Result<u64> {
    let last = predecessor(before);
    let begin = find(file, last)?;
    // A run that begins before the place may reach beyond it.
    match id_of(&read_at(file, begin, run::PREFIX)?) {
        Some(id) if id <= last => Ok(line_end(file, begin)?.unwrap_or(begin)),
        _ => Ok(begin),
    }
}

/// The id behind which an event stands.
pub(super) fn predecessor(id: EventId) -> EventId {
    match (id.entry, id.index) {
        (entry, index) if index > 0 => EventId {
            entry,
            index: index - 1,
        },
        (0, _) => EventId::START,
        (entry, _) => EventId {
            entry: entry - 1,
            index: u32::MAX,
        },
    }
}
