//! Reading stored events, in order, from any place on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aod_resources::event::EventId;
use bytes::Bytes;

use super::run::{self, is_run};
use super::tail::{Encoded, Follows, Tail};
use super::{ID_PREFIX, file_of, id_of, turns_in};

/// So much is read at once, and more where a line is longer.
const CHUNK: usize = 256 << 10;

/// A position among a session's events. At the end of what is there it stays, and holds no
/// buffer meanwhile.
#[derive(Debug)]
pub(crate) struct EventReader {
    dir: PathBuf,
    /// The last event that is not to be given again.
    after: EventId,
    offset: Option<ReadOffset>,
    /// Behind this nothing is read: a turn and an offset in its file.
    until: Option<(u32, u64)>,
    /// What was written last.
    tail: Option<Tail>,
}

#[derive(Debug)]
struct ReadOffset {
    turn: u32,
    file: File,
    /// From the file's beginning.
    bytes: u64,
}

impl EventReader {
    /// Stands behind the event `after`, whether it is there or not.
    pub(crate) fn open(dir: &Path, after: EventId) -> io::Result<Self> {
        let turns = turns_in(dir)?;
        let mut reader = Self {
            dir: dir.to_owned(),
            after,
            offset: None,
            until: None,
            tail: None,
        };
        // Newest first, since that is where most resume. A file whose first event is yet to come
        // says nothing: what we look for is then in it or before it.
        for turn in turns.into_iter().rev() {
            let Some(file) = open(dir, turn)? else { break };
            let first = id_at(&file, 0)?;
            let offset = match first {
                Some(first) if first <= after => find(&file, after)?,
                _ => 0,
            };
            reader.offset = Some(ReadOffset {
                turn,
                file,
                bytes: offset,
            });
            if first.is_some_and(|first| first <= after) {
                break;
            }
        }
        Ok(reader)
    }

    /// Stands in front of the first event of a turn, or where that will be.
    pub(crate) fn open_turn(dir: &Path, turn: u32) -> io::Result<Self> {
        // Behind the turns before it.
        let before = turns_in(dir)?.into_iter().rfind(|before| *before < turn);
        let offset = match (open(dir, turn)?, before) {
            (Some(file), _) => Some(ReadOffset {
                turn,
                file,
                bytes: 0,
            }),
            (None, Some(before)) => match open(dir, before)? {
                Some(file) => Some(ReadOffset {
                    turn: before,
                    bytes: file.metadata()?.len(),
                    file,
                }),
                None => None,
            },
            (None, None) => None,
        };
        Ok(Self {
            dir: dir.to_owned(),
            after: EventId::START,
            offset,
            until: None,
            tail: None,
        })
    }

    /// Has it end with what is there now, whatever is written meanwhile.
    pub(crate) fn end_here(&mut self) -> io::Result<()> {
        let last = match turns_in(&self.dir)?.last() {
            Some(turn) => match open(&self.dir, *turn)? {
                Some(file) => (*turn, file.metadata()?.len()),
                None => (*turn, 0),
            },
            None => (0, 0),
        };
        self.until = Some(last);
        Ok(())
    }

    /// Has it look at what was written last before it looks at the files.
    pub(super) fn follow(&mut self, tail: Tail) {
        self.tail = Some(tail);
    }

    fn is_at_end(&self) -> bool {
        let offset = self.offset.as_ref();
        let offset = offset.map_or((0, 0), |offset| (offset.turn, offset.bytes));
        self.until.is_some_and(|until| offset >= until)
    }

    /// Reads events, about `bytes` bytes of them, and gives each to `take` as a line without its
    /// end until that says false. Returns whether there were any.
    pub(crate) fn read(
        &mut self,
        bytes: usize,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<bool> {
        let mut given = 0;
        while given < bytes {
            let Some(chunk) = self.chunk()? else { break };
            for line in chunk.lines().split_inclusive(|byte| *byte == b'\n') {
                if given >= bytes || self.is_at_end() {
                    return Ok(given > 0);
                }
                let is_taken = self.give(&line[..line.len() - 1], &mut |event| {
                    let is_taken = take(event);
                    if is_taken {
                        given += event.len() + 1;
                    }
                    is_taken
                })?;
                if !is_taken {
                    return Ok(given > 0);
                }
                if let Some(offset) = &mut self.offset {
                    offset.bytes += line.len() as u64;
                }
            }
        }
        Ok(given > 0)
    }

    /// All that follows, as `encode` has it of its lines, where that was written last and is what
    /// all get who follow: whoever is first encodes it for the others.
    pub(super) fn shared(
        &mut self,
        encode: impl FnOnce(&[u8]) -> Option<Encoded>,
    ) -> Option<Bytes> {
        let (Some(tail), Some(offset), None) = (&self.tail, &mut self.offset, self.until) else {
            return None;
        };
        let encoded = tail.encoded(offset.turn, offset.bytes, encode)?;
        if encoded.first <= self.after {
            return None;
        }
        self.after = encoded.last;
        offset.bytes += encoded.length;
        Some(encoded.events)
    }

    /// Gives what a stored line has of events that were not given before. Returns whether all of
    /// it was taken.
    fn give(&mut self, line: &[u8], take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
        events_of(line, |id, event| {
            let is_taken = id.is_some_and(|id| id <= self.after) || take(event);
            if let Some(id) = id
                && is_taken
            {
                self.after = self.after.max(id);
            }
            is_taken
        })
    }

    /// The lines that follow; none at the end of what is there. The offset is not moved.
    fn chunk(&mut self) -> io::Result<Option<Chunk>> {
        if let (Some(tail), Some(offset)) = (&self.tail, &self.offset) {
            match tail.behind(offset.turn, offset.bytes) {
                Follows::Lines(lines, from) => return Ok(Some(Chunk::Shared(lines, from))),
                Follows::Nothing => return Ok(None),
                Follows::Unknown => {}
            }
        }
        loop {
            if let Some(offset) = &self.offset
                && let Some(lines) = lines_at(&offset.file, offset.bytes)?
            {
                return Ok(Some(Chunk::Read(lines)));
            }
            let current = self.offset.as_ref().map_or(0, |offset| offset.turn);
            let Some(next) = turns_in(&self.dir)?
                .into_iter()
                .find(|turn| *turn > current)
            else {
                return Ok(None);
            };
            // A turn begins when the one before it is complete: what came between the two looks
            // above must be read first.
            if let Some(offset) = &self.offset
                && let Some(lines) = lines_at(&offset.file, offset.bytes)?
            {
                return Ok(Some(Chunk::Read(lines)));
            }
            if let Some(file) = open(&self.dir, next)? {
                self.offset = Some(ReadOffset {
                    turn: next,
                    file,
                    bytes: 0,
                });
            }
        }
    }
}

/// Gives each event of a stored line, with its id where it has one, until `take` says false. Returns
/// whether all were taken.
pub(super) fn events_of(
    line: &[u8],
    mut take: impl FnMut(Option<EventId>, &[u8]) -> bool,
) -> io::Result<bool> {
    match id_of(line) {
        Some(_) if is_run(line) => run::expand(line, |id, event| take(Some(id), event)),
        id => Ok(take(id, line)),
    }
}

/// Lines that are to be given.
enum Chunk {
    /// Read from a file.
    Read(Vec<u8>),
    /// Shared with the others who follow, from the index on.
    Shared(Arc<[u8]>, usize),
}

impl Chunk {
    fn lines(&self) -> &[u8] {
        match self {
            Self::Read(lines) => lines,
            Self::Shared(lines, from) => &lines[*from..],
        }
    }
}

/// Opens a turn's events; none where they were purged since they were seen.
pub(super) fn open(dir: &Path, turn: u32) -> io::Result<Option<File>> {
    match File::open(file_of(dir, turn)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole lines at `offset`, if there are any.
pub(super) fn lines_at(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut size = CHUNK;
    loop {
        let mut chunk = read_at(file, offset, size)?;
        if let Some(end) = memchr::memrchr(b'\n', &chunk) {
            chunk.truncate(end + 1);
            return Ok(Some(chunk));
        }
        if chunk.len() < size {
            return Ok(None);
        }
        size *= 4;
    }
}

/// Up to `size` bytes.
pub(super) fn read_at(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(offset);
    let size = size.min(usize::try_from(there).unwrap_or(usize::MAX));
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

pub(super) fn id_at(file: &File, offset: u64) -> io::Result<Option<EventId>> {
    Ok(id_of(&read_at(file, offset, ID_PREFIX)?))
}

/// Where the first line ends that begins at `offset` or behind it; `None` for none.
pub(super) fn line_end(file: &File, mut offset: u64) -> io::Result<Option<u64>> {
    // Most lines are short.
    let mut size = 1 << 10;
    loop {
        let chunk = read_at(file, offset, size)?;
        if let Some(end) = memchr::memchr(b'\n', &chunk) {
            return Ok(Some(offset + end as u64 + 1));
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        offset += chunk.len() as u64;
        size = CHUNK;
    }
}

/// Where the first line begins, or will, that has an event behind `after`; or a run before it.
pub(super) fn find(file: &File, after: EventId) -> io::Result<u64> {
    let mut last = 0;
    // Lines that begin before `low` are not greater, those that begin at `high` or behind it are,
    // or are not whole yet.
    let (mut low, mut high) = (0, file.metadata()?.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = match middle == low {
            true => Some(low),
            false => line_end(file, middle - 1)?,
        };
        match start {
            Some(start) if start < high => match (id_at(file, start)?, line_end(file, start)?) {
                (Some(id), Some(next)) if id <= after => {
                    last = start;
                    low = next;
                }
                _ => high = middle,
            },
            _ => high = middle,
        }
    }
    match low > last && is_run(&read_at(file, last, run::PREFIX)?) {
        true => Ok(last),
        false => Ok(low),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use aod_resources::Timestamp;
    use aod_resources::event::{Event, EventBody, MessageDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::events::{Bell, EventWriter, Written};

    fn ids(reader: &mut EventReader, bytes: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while reader
            .read(bytes, |line| {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                ids.push(line["id"].as_str().unwrap().to_owned());
                true
            })
            .unwrap()
        {}
        ids
    }

    proptest! {
        /// Behind every id, given or between two, begins exactly the rest; a line that is not
        /// whole is not there; empty files of turns without events do no harm.
        #[test]
        fn every_place_is_found(
            turns in prop::collection::vec(
                prop::collection::vec((1..3u64, 1..4u32, 0..3000usize), 0..12), 0..4),
            torn in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut all: Vec<EventId> = Vec::new();
            let mut entry = 0;
            for (number, turn) in turns.iter().enumerate() {
                let mut text = String::new();
                for (step, count, size) in turn {
                    entry += step;
                    for index in 0..*count {
                        let id = EventId { entry, index };
                        let filling = "x".repeat(*size);
                        writeln!(text, "{{\"id\":\"{id}\",\"f\":\"{filling}\"}}").unwrap();
                        all.push(id);
                    }
                }
                if torn && number + 1 == turns.len() {
                    write!(text, "{{\"id\":\"{}.0\"", entry + 1).unwrap();
                }
                fs::write(file_of(folder.path(), u32::try_from(number).unwrap() * 2 + 1), text).unwrap();
            }
            let places = (0..entry + 3).flat_map(|entry| {
                [0, 1, 2, u32::MAX].map(|index| EventId { entry, index })
            });
            for after in places {
                let mut reader = EventReader::open(folder.path(), after).unwrap();
                let rest: Vec<String> =
                    all.iter().filter(|id| **id > after).map(EventId::to_string).collect();
                prop_assert_eq!(ids(&mut reader, 1), rest, "after {}", after);
            }
        }
    }

    proptest! {
        /// Whoever follows is given the same from memory and from the files, wherever they begin
        /// and whenever they look.
        #[test]
        fn what_was_written_last_is_what_the_files_have(
            batches in prop::collection::vec((1..5u32, any::<bool>(), any::<bool>()), 1..30),
            bytes in prop_oneof![Just(1usize), Just(100), Just(1 << 20)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path();
            let session = Uuid::new_v4();
            let bell = Bell::default();
            let listener = bell.listen(session);
            let mut follower = EventReader::open(dir, EventId::START).unwrap();
            follower.follow(listener.tail().clone());
            let (mut turn, mut entry, mut seen) = (0, 0, Vec::new());
            let mut writer: Option<EventWriter> = None;
            for (count, begins, looks) in batches {
                if begins || writer.is_none() {
                    turn += 1;
                    let bell = bell.clone();
                    let written = move |written: Written<'_>| bell.written(session, written);
                    writer = Some(EventWriter::open(dir, turn, u64::MAX, written).unwrap());
                }
                let writer = writer.as_mut().unwrap();
                for _ in 0..count {
                    entry += 1;
                    writer.push(&delta(turn, entry)).unwrap();
                }
                writer.flush().unwrap();
                if looks {
                    seen.extend(ids(&mut follower, bytes));
                }
            }
            seen.extend(ids(&mut follower, bytes));
            let all: Vec<_> = (1..=entry).map(|entry| format!("{entry}.0")).collect();
            prop_assert_eq!(seen, all);
        }
    }

    /// As all are alike but for their text, they are stored as runs.
    pub(in super::super) fn delta(turn: u32, entry: u64) -> Event {
        Event {
            id: EventId { entry, index: 0 },
            turn: Some(turn),
            ordinal: u32::try_from(entry).unwrap(),
            inside: None,
            at: Timestamp::from_micros(0),
            truncated: Vec::new(),
            body: EventBody::MessageDelta(MessageDelta {
                message: 1,
                text: entry.to_string(),
            }),
        }
    }

    #[test]
    fn nothing_is_asked_of_the_disk_for_what_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(file_of(dir, 1), "{\"id\":\"1.0\"}\n").unwrap();
        let tail = Tail::default();
        let mut reader = EventReader::open(dir, EventId::START).unwrap();
        reader.follow(tail.clone());
        assert_eq!(ids(&mut reader, 100), ["1.0"]);
        let start = fs::metadata(file_of(dir, 1)).unwrap().len();
        tail.set(Written {
            turn: 1,
            start,
            lines: b"{\"id\":\"2.0\"}\n{\"id\":\"3.0\"}\n",
        });
        // What the file does not have can only be from memory.
        assert_eq!(ids(&mut reader, 1), ["2.0", "3.0"]);
        // A turn without a word to the tail is seen once that is cleared.
        fs::write(file_of(dir, 2), "{\"id\":\"4.0\"}\n").unwrap();
        assert!(ids(&mut reader, 100).is_empty());
        tail.clear();
        assert_eq!(ids(&mut reader, 100), ["4.0"]);
    }

    #[test]
    fn what_is_written_behind_the_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let bounded = || {
            let mut reader = EventReader::open(dir, EventId::START).unwrap();
            reader.end_here().unwrap();
            reader
        };
        let mut none = bounded();
        fs::write(file_of(dir, 1), "{\"id\":\"1.0\"}\n").unwrap();
        assert!(ids(&mut none, 100).is_empty());
        let mut one = bounded();
        fs::write(file_of(dir, 1), "{\"id\":\"1.0\"}\n{\"id\":\"1.1\"}\n").unwrap();
        fs::write(file_of(dir, 2), "{\"id\":\"2.0\"}\n").unwrap();
        assert_eq!(ids(&mut one, 100), ["1.0"]);
        let mut all = bounded();
        fs::write(file_of(dir, 3), "{\"id\":\"3.0\"}\n").unwrap();
        assert_eq!(ids(&mut all, 1), ["1.0", "1.1", "2.0"]);
    }

    #[test]
    fn goes_on_when_there_is_more_and_into_the_next_turn() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("events");
        let mut reader = EventReader::open(&dir, EventId::START).unwrap();
        assert!(ids(&mut reader, 100).is_empty());
        fs::create_dir(&dir).unwrap();
        fs::write(file_of(&dir, 1), "{\"id\":\"1.0\"}\n{\"id\":\"2").unwrap();
        assert_eq!(ids(&mut reader, 100), ["1.0"]);
        fs::write(file_of(&dir, 1), "{\"id\":\"1.0\"}\n{\"id\":\"2.0\"}\n").unwrap();
        fs::write(file_of(&dir, 10), "{\"id\":\"4.0\"}\n").unwrap();
        fs::write(file_of(&dir, 2), "{\"id\":\"3.0\"}\n").unwrap();
        assert_eq!(ids(&mut reader, 100), ["2.0", "3.0", "4.0"]);
        assert!(ids(&mut reader, 100).is_empty());
    }
}
