//! Runs of events that differ in a text alone, which are stored as one line.
//!
//! A CLI may write a million lines of one character that no adapter understands. An event of its
//! own for each would take a hundred bytes and more. So events that follow one another are stored
//! together where they are of the same turn, time and type, come from consecutive entries of the
//! log, and have nothing that differs but a short text. Such a line is the first event, with the
//! others' texts behind its id:
//!
//! ```text
//! {"id":"7.0","texts":["b","c"],"turn":1,"ordinal":3,"at":"…","type":"unparsed","data":"a"}
//! ```
//!
//! Readers get each event as it would stand alone. Where a run ends depends on when events were
//! written, and means nothing.

use std::io;

use aod_resources::event::{Event, EventBody, EventId};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::id_of;
use crate::follow::escape_line_ends;

/// What stands behind the id of a run.
const MARK: &[u8] = b",\"texts\":[";
/// The longest beginning of a line from which it can be told whether it is a run.
pub(super) const PREFIX: usize = super::ID_PREFIX + MARK.len();
/// A longer text stands alone.
const SHORT: usize = 127;
/// A run has at most so many events, and is not gone on with once their texts have so many bytes:
/// whoever resumes in the middle of one reads it from its beginning.
const MOST_EVENTS: u32 = 512;
const MOST_BYTES: usize = 16 << 10;

/// Events on their way into a file.
#[derive(Debug)]
pub(super) struct Run {
    first: Event,
    count: u32,
    /// The others' texts, as JSON strings, with commas between them.
    texts: Vec<u8>,
}

impl Run {
    /// Begins with an event, if others like it can follow.
    pub(super) fn begin(event: &Event) -> Option<Self> {
        let is_short = text_of(&event.body).is_some_and(|text| text.len() <= SHORT);
        (is_short && event.id.index == 0).then(|| Self {
            first: event.clone(),
            count: 1,
            texts: Vec::new(),
        })
    }

    /// Takes the next event, unless it differs in more than its text.
    pub(super) fn take(&mut self, event: &Event) -> io::Result<bool> {
        let first = &self.first;
        let follows = event.id
            == EventId {
                entry: first.id.entry + u64::from(self.count),
                index: 0,
            }
            && Some(event.ordinal) == first.ordinal.checked_add(self.count)
            && (event.turn, &event.inside, event.at) == (first.turn, &first.inside, first.at);
        let is_full = self.count == MOST_EVENTS || self.texts.len() >= MOST_BYTES;
        let text = alike(&first.body, &event.body).filter(|text| text.len() <= SHORT);
        let Some(text) = text.filter(|_| follows && !is_full) else {
            return Ok(false);
        };
        if self.count > 1 {
            self.texts.push(b',');
        }
        serde_json::to_writer(&mut self.texts, text)?;
        self.count += 1;
        Ok(true)
    }

    /// Writes it as one line, with its line end.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = buffer.len();
        encode(&self.first, buffer)?;
        if self.count > 1 {
            let id = id_length(&buffer[start..]);
            let texts = [MARK, &self.texts, b"]"].concat();
            buffer.splice(start + id..start + id, texts);
            escape_line_ends(buffer, start);
        }
        buffer.push(b'\n');
        Ok(())
    }
}

/// Writes an event as one line, without its line end.
pub(super) fn encode(event: &Event, buffer: &mut Vec<u8>) -> io::Result<()> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, event)?;
    for byte in &mut buffer[start..] {
        // Line ends within strings are escaped: these stand between the tokens of a JSON text
        // that an adapter gave.
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    escape_line_ends(buffer, start);
    Ok(())
}

/// Whether a line, or a beginning of one of at least [`PREFIX`] bytes, is a run.
pub(super) fn is_run(line: &[u8]) -> bool {
    line[id_length(line)..].starts_with(MARK)
}

/// The id of the last event of a line that is whole.
pub(super) fn last_id(line: &[u8]) -> Option<EventId> {
    #[derive(Deserialize)]
    struct Counted {
        id: EventId,
        texts: Vec<IgnoredAny>,
    }

    if !is_run(line) {
        return id_of(line);
    }
    let Counted { id, texts } = serde_json::from_slice(line).ok()?;
    Some(EventId {
        entry: id.entry.checked_add(texts.len() as u64)?,
        ..id
    })
}

/// Gives each event of a run as a line of its own, without its line end, until `take` says false.
/// Returns whether all were taken.
pub(super) fn expand(
    line: &[u8],
    mut take: impl FnMut(EventId, &[u8]) -> bool,
) -> io::Result<bool> {
    #[derive(Deserialize)]
    struct Texts {
        texts: Vec<String>,
    }

    let Texts { texts } = serde_json::from_slice(line)?;
    let json = std::str::from_utf8(line).map_err(|error| io::Error::other(error.to_string()))?;
    let mut event = Event::from_json(json)?;
    let mut encoded = Vec::new();
    encode(&event, &mut encoded)?;
    if !take(event.id, &encoded) {
        return Ok(false);
    }
    for next in texts {
        let Some(text) = text_of_mut(&mut event.body) else {
            return Err(io::Error::other("a run of events without a text"));
        };
        *text = next;
        event.id.entry = event.id.entry.saturating_add(1);
        event.ordinal = event.ordinal.saturating_add(1);
        encoded.clear();
        encode(&event, &mut encoded)?;
        if !take(event.id, &encoded) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Up to where the id goes that a line begins with.
fn id_length(line: &[u8]) -> usize {
    const BEFORE: usize = "{\"id\":\"".len();
    let id = line.get(BEFORE..).unwrap_or_default();
    memchr::memchr(b'"', id).map_or(0, |end| BEFORE + end + 1)
}

/// The text in which events of a run may differ.
fn text_of(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::Unparsed(line) => Some(&line.data),
        EventBody::Notice(notice) => Some(&notice.text),
        EventBody::MessageDelta(delta) | EventBody::ReasoningDelta(delta) => Some(&delta.text),
        _ => None,
    }
}

fn text_of_mut(body: &mut EventBody) -> Option<&mut String> {
    match body {
        EventBody::Unparsed(line) => Some(&mut line.data),
        EventBody::Notice(notice) => Some(&mut notice.text),
        EventBody::MessageDelta(delta) | EventBody::ReasoningDelta(delta) => Some(&mut delta.text),
        _ => None,
    }
}

/// The text of `next`, if it differs from `first` in nothing else.
fn alike<'a>(first: &EventBody, next: &'a EventBody) -> Option<&'a str> {
    let is_alike = match (first, next) {
        (EventBody::Unparsed(_), EventBody::Unparsed(_)) => true,
        (EventBody::Notice(a), EventBody::Notice(b)) => (a.level, &a.code) == (b.level, &b.code),
        (EventBody::MessageDelta(a), EventBody::MessageDelta(b))
        | (EventBody::ReasoningDelta(a), EventBody::ReasoningDelta(b)) => a.message == b.message,
        _ => false,
    };
    text_of(next).filter(|_| is_alike)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use aod_resources::Timestamp;
    use aod_resources::event::{Level, MessageDelta, Notice, Unparsed};
    use proptest::prelude::*;

    use super::super::{EventReader, EventWriter, file_of};
    use super::*;

    fn event((entry, index): (u64, u32), ordinal: u32, at: i64, body: EventBody) -> Event {
        Event {
            id: EventId { entry, index },
            turn: Some(1),
            ordinal,
            inside: None,
            at: Timestamp::from_micros(at),
            truncated: Vec::new(),
            body,
        }
    }

    fn unparsed(text: &str) -> EventBody {
        EventBody::Unparsed(Unparsed {
            data: text.to_owned(),
        })
    }

    fn body(kind: u8, text: &str) -> EventBody {
        let text = text.to_owned();
        match kind {
            0..5 => EventBody::Unparsed(Unparsed { data: text }),
            5..7 => EventBody::Notice(Notice {
                level: Level::Info,
                code: (kind == 5).then(|| "c".to_owned()),
                text,
            }),
            _ => EventBody::MessageDelta(MessageDelta {
                message: u32::from(kind),
                text,
            }),
        }
    }

    fn lines(events: &[Event]) -> Vec<String> {
        let line = |event| {
            let mut line = Vec::new();
            encode(event, &mut line).unwrap();
            String::from_utf8(line).unwrap()
        };
        events.iter().map(line).collect()
    }

    fn store(dir: &Path, events: &[Event], flushes: u64) {
        let mut writer = EventWriter::open(dir, 1, 1 << 40, |_| {}).unwrap();
        for (at, event) in events.iter().enumerate() {
            writer.push(event).unwrap();
            if flushes >> (at % 64) & 1 == 1 {
                writer.flush().unwrap();
            }
        }
        writer.flush().unwrap();
    }

    fn read(dir: &Path, after: EventId, bytes: usize) -> Vec<String> {
        let mut reader = EventReader::open(dir, after).unwrap();
        let mut found = Vec::new();
        let mut take = |line: &[u8]| {
            found.push(String::from_utf8(line.to_vec()).unwrap());
            true
        };
        while reader.read(bytes, &mut take).unwrap() {}
        found
    }

    #[test]
    fn many_short_lines_take_little_more_than_their_text() {
        let folder = tempfile::tempdir().unwrap();
        let events: Vec<Event> = (1..=100_000)
            .map(|entry| {
                let ordinal = u32::try_from(entry).unwrap();
                event((entry, 0), ordinal, 0, unparsed("y"))
            })
            .collect();
        store(folder.path(), &events, 0);
        let stored = fs::metadata(file_of(folder.path(), 1)).unwrap().len();
        assert!(stored < 5 * 100_000, "{stored}");
        assert_eq!(read(folder.path(), EventId::START, 1000), lines(&events));
    }

    #[test]
    fn a_reader_that_had_enough_goes_on_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let events: Vec<Event> = (1..=9)
            .map(|entry| event((u64::from(entry), 0), entry, 0, unparsed("y")))
            .collect();
        store(folder.path(), &events, 0);
        let mut reader = EventReader::open(folder.path(), EventId::START).unwrap();
        let mut found = Vec::new();
        for _ in 0..5 {
            let mut left = 2;
            let take = |line: &[u8]| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                found.push(String::from_utf8(line.to_vec()).unwrap());
                true
            };
            assert!(reader.read(usize::MAX, take).unwrap());
        }
        assert_eq!(found, lines(&events));
        assert!(!reader.read(usize::MAX, |_| true).unwrap());
    }

    #[test]
    fn a_run_whose_end_the_log_has_lost_is_derived_again() {
        let folder = tempfile::tempdir().unwrap();
        let events: Vec<Event> = (1..=9)
            .map(|entry| event((u64::from(entry), 0), entry, 0, unparsed("y")))
            .collect();
        store(folder.path(), &events, 1 << 3);
        drop(EventWriter::open(folder.path(), 1, 8, |_| {}).unwrap());
        assert_eq!(read(folder.path(), EventId::START, 1), lines(&events[..4]));
        store(folder.path(), &events, 0);
        assert_eq!(read(folder.path(), EventId::START, 1), lines(&events));
    }

    proptest! {
        /// Whatever was stored together, and wherever a crash tore it, each event is read once, as
        /// it stands alone, from every place.
        #[test]
        fn nobody_can_tell(
            steps in prop::collection::vec(
                (0..8_u8, "[a-z\"\\\\\n\u{2028}]{0,3}|x{120,130}", 0..12_u8), 0..40),
            flushes: u64,
            cut in 0.0..=1.0_f64,
            bytes in 1..400_usize,
        ) {
            let (mut entry, mut index, mut ordinal, mut time) = (1, 0, 0, 0);
            let mut events = Vec::new();
            for (kind, text, step) in &steps {
                ordinal += 1 + u32::from(*step == 3);
                time += i64::from(*step == 2);
                match *step {
                    0 => index += 1,
                    step => {
                        entry += 1 + u64::from(step == 1);
                        index = 0;
                    }
                }
                let kind = if *kind < 4 { 0 } else { *kind };
                events.push(event((entry, index), ordinal, time, body(kind, text)));
            }
            let folder = tempfile::tempdir().unwrap();
            store(folder.path(), &events, flushes);
            let expected = lines(&events);
            prop_assert_eq!(&read(folder.path(), EventId::START, bytes), &expected);
            let path = file_of(folder.path(), 1);
            let mut stored = fs::read(&path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            stored.truncate((stored.len() as f64 * cut) as usize);
            fs::write(&path, stored).unwrap();
            store(folder.path(), &events, flushes.rotate_left(7));
            for (at, event) in events.iter().enumerate() {
                prop_assert_eq!(&read(folder.path(), event.id, bytes), &expected[at + 1..]);
            }
        }
    }
}
