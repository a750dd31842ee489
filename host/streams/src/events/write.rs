//! Storing a turn's events.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use aod_resources::event::{Event, EventId};
use serde::de::IgnoredAny;

use super::run::{self, Run};
use super::tail::Written;
use super::{file_of, id_of};

/// Events are written in batches of about this many bytes.
const BATCH: usize = 256 << 10;

/// So much of the buffer is kept between batches.
const KEPT: usize = 4 << 10;

/// Stores the events of one turn. The turn's task is the only one that has it.
pub struct EventWriter {
    turn: u32,
    file: File,
    /// The file's length.
    length: u64,
    /// The id of the last event that was taken.
    last: Option<EventId>,
    /// What is taken and not in the buffer yet.
    run: Option<Run>,
    buffer: Vec<u8>,
    /// Whether something was written that was not forced to the disk.
    is_dirty: bool,
    written: Box<dyn FnMut(Written<'_>) + Send>,
}

impl std::fmt::Debug for EventWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventWriter")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl EventWriter {
    /// Opens the events of `turn` in `dir`, and keeps what an earlier host has stored of them as
    /// far as it is whole and comes from the first `entries` entries of the log: a power loss may
    /// have taken the others from the log. `written` is told of all that is stored, once it can be read.
    ///
    /// # Errors
    /// Where they cannot be read or cut.
    pub fn open(
        dir: &Path,
        turn: u32,
        entries: u64,
        written: impl FnMut(Written<'_>) + Send + 'static,
    ) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file_of(dir, turn))?;
        let (length, last) = whole(&file, entries)?;
        file.set_len(length)?;
        Ok(Self {
            turn,
            file,
            length,
            last,
            run: None,
            buffer: Vec::new(),
            // What an earlier host has written may not be there yet.
            is_dirty: true,
            written: Box::new(written),
        })
    }

    /// Takes an event, unless it was stored before.
    ///
    /// # Errors
    /// Where a full buffer cannot be written.
    pub fn push(&mut self, event: &Event) -> io::Result<()> {
        if self.last.is_some_and(|last| event.id <= last) {
            return Ok(());
        }
        let is_taken = match &mut self.run {
            Some(run) => run.take(event)?,
            None => false,
        };
        if !is_taken {
            self.end_run()?;
            self.run = Run::begin(event);
            if self.run.is_none() {
                run::encode(event, &mut self.buffer)?;
                self.buffer.push(b'\n');
            }
        }
        self.last = Some(event.id);
        if self.buffer.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    /// Puts what was taken together into the buffer.
    fn end_run(&mut self) -> io::Result<()> {
        match self.run.take() {
            Some(run) => run.write(&mut self.buffer),
            None => Ok(()),
        }
    }

    /// Writes what was taken. After this it survives the death of every process.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.end_run()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.is_dirty = true;
        self.file.write_all(&self.buffer)?;
        (self.written)(Written {
            turn: self.turn,
            start: self.length,
            lines: &self.buffer,
        });
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        // There may be a thousand of these that have nothing to say for now.
        self.buffer.shrink_to(KEPT);
        Ok(())
    }

    /// Writes what was taken and forces it to the disk.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        if std::mem::replace(&mut self.is_dirty, false) {
            self.file
                .sync_data()
                .inspect_err(|_| self.is_dirty = true)?;
        }
        Ok(())
    }
}

/// How far the file can be kept, and the last event there.
fn whole(file: &File, entries: u64) -> io::Result<(u64, Option<EventId>)> {
    let mut lines = BufReader::with_capacity(BATCH, file);
    let (mut length, mut last) = (0, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line)?;
        let follows = id_of(&line).is_some_and(|id| last.is_none_or(|it| it < id));
        let is_whole = line.ends_with(b"\n") && serde_json::from_slice::<IgnoredAny>(&line).is_ok();
        match run::last_id(&line).filter(|id| id.entry <= entries) {
            Some(id) if follows && is_whole => {
                length += line.len() as u64;
                last = Some(id);
            }
            _ => return Ok((length, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aod_resources::Timestamp;
    use aod_resources::event::{EventBody, MessageDelta, ToolCall, ToolKind};
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn event(entry: u64, index: u32, text: &str) -> Event {
        Event {
            id: EventId { entry, index },
            turn: Some(1),
            ordinal: 1,
            inside: None,
            at: Timestamp::from_micros(0),
            truncated: Vec::new(),
            body: EventBody::MessageDelta(MessageDelta {
                message: 1,
                text: text.to_owned(),
            }),
        }
    }

    fn store(dir: &Path, entries: u64, events: &[Event]) -> String {
        let mut writer = EventWriter::open(dir, 1, entries, |_| {}).unwrap();
        for event in events {
            writer.push(event).unwrap();
        }
        writer.sync().unwrap();
        fs::read_to_string(file_of(dir, 1)).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut odd = event(1, 0, "");
        odd.body = EventBody::ToolCall(ToolCall {
            call_id: "a\nb\r\u{85}\u{2028}\u{2029}".to_owned(),
            name: String::new(),
            kind: ToolKind::Other,
            title: None,
            server: None,
            canonical_name: None,
            input: RawValue::from_string("{\n\"a\":\r\n\"\u{2028}\" }".to_owned()).unwrap(),
            locations: Vec::new(),
        });
        let text = store(folder.path(), 1, &[odd]);
        assert_eq!(text.chars().filter(|c| c.is_control()).count(), 1);
        assert!(!text.contains(['\u{2028}', '\u{2029}']), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["call_id"], "a\nb\r\u{85}\u{2028}\u{2029}");
        assert_eq!(value["input"]["a"], "\u{2028}");
    }

    #[test]
    fn what_the_log_has_lost_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let events = [
            event(1, 0, "a"),
            event(2, 0, "b"),
            event(2, 1, "c"),
            event(3, 0, "d"),
        ];
        store(folder.path(), 9, &events);
        let kept = store(folder.path(), 2, &[event(3, 0, "another")]);
        assert_eq!(kept.lines().count(), 4);
        assert!(kept.ends_with("\"text\":\"another\"}\n"), "{kept}");
    }

    proptest! {
        /// Wherever a crash tears the file, deriving everything once more gives the same file.
        #[test]
        fn deriving_again_mends_and_adds_nothing(
            texts in prop::collection::vec("[ -~\u{2028}\n]{0,12}", 1..20),
            cut in 0.0..=1.0f64,
            garbage in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let events: Vec<Event> = texts
                .iter()
                .enumerate()
                .map(|(at, text)| event(at as u64 / 3 + 1, at as u32 % 3, text))
                .collect();
            let whole = store(folder.path(), 99, &events);
            let path = file_of(folder.path(), 1);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (whole.len() as f64 * cut) as usize;
            let mut torn = whole.as_bytes()[..at].to_vec();
            torn.extend(garbage);
            fs::write(&path, torn).unwrap();
            prop_assert_eq!(&store(folder.path(), 99, &events), &whole);
            prop_assert_eq!(&store(folder.path(), 99, &events), &whole);
        }
    }
}
