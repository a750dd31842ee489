//! Pages of a session's normalized events, forwards and backwards.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use aod_resources::event::EventId;

use super::back::{BackReader, predecessor};
use super::cut::cut;
use super::read::{EventReader, find, id_at, open};
use super::run::{expand, is_run};
use super::whole::{Said, Wholes, said};
use super::{id_of, turns_in};

/// A page holds no more bytes than this, unless one event alone does.
const PAGE: usize = 4 << 20;
/// So much is read for a page, with what is left out of it and what is looked for: it may then have
/// fewer events than were asked for.
const READ: u64 = 32 << 20;

/// Where a page begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// What follows an event.
    After(EventId),
    /// What comes before an event, the newest of it.
    Before(EventId),
    /// The newest of all.
    Tail,
    /// From the first event of a turn on.
    Turn(u32),
}

/// Which events a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Where it begins or ends.
    pub start: PageStart,
    /// The most events that it has.
    pub limit: usize,
    /// Whether it has pieces of messages that are there whole.
    pub deltas: bool,
}

/// Some of a session's normalized events, in order.
#[derive(Debug)]
pub struct EventPage {
    /// The events as a JSON array.
    pub data: Vec<u8>,
    /// The event behind which the next page begins, if there is more by now. Pages that were asked
    /// for backwards have none.
    pub next: Option<EventId>,
    /// The event before which the previous page ends, if there is more, where the page was asked
    /// for backwards or by its turn.
    pub prev: Option<EventId>,
}

impl EventPage {
    /// Reads a page. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(dir: &Path, request: &PageRequest) -> io::Result<Self> {
        match request.start {
            PageStart::After(after) => forwards(dir, EventReader::open(dir, after)?, request),
            PageStart::Turn(turn) => {
                let reader = EventReader::open_turn(dir, turn)?;
                let mut page = forwards(dir, reader, request)?;
                page.prev = before_turn(dir, turn)?;
                Ok(page)
            }
            PageStart::Before(before) => backwards(dir, Some(before), request),
            PageStart::Tail => backwards(dir, None, request),
        }
    }
}

/// One event, whole, as a line of JSON; none where there is no such event. Blocks.
///
/// # Errors
/// Where it cannot be read.
pub fn read_event(dir: &Path, id: EventId) -> io::Result<Option<Vec<u8>>> {
    let mut reader = EventReader::open(dir, predecessor(id))?;
    let mut found = None;
    reader.read(1, |line| {
        if found.is_none() && id_of(line) == Some(id) {
            found = Some(line.to_vec());
        }
        false
    })?;
    Ok(found)
}

/// Gives the events of a turn that are there by now, each as a line of JSON, until `take` says false;
/// behind them come those of later turns. Blocks.
///
/// # Errors
/// Where they cannot be read.
pub fn read_turn(dir: &Path, turn: u32, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut reader = EventReader::open_turn(dir, turn)?;
    reader.end_here()?;
    let mut goes_on = true;
    let mut next = |line: &[u8]| {
        goes_on = take(line);
        goes_on
    };
    while reader.read(PAGE, &mut next)? {}
    Ok(())
}

/// The events of a page, as they are put together.
#[derive(Default)]
struct Data {
    events: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Data {
    fn is_full(&self, event: &[u8], limit: usize) -> bool {
        let is_large = !self.events.is_empty() && self.bytes + event.len() > PAGE;
        self.events.len() == limit || is_large
    }

    fn as_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.bytes + self.events.len() + 2);
        json.push(b'[');
        for (at, event) in self.events.iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            json.extend_from_slice(event);
        }
        json.push(b']');
        json
    }
}

fn forwards(dir: &Path, mut reader: EventReader, request: &PageRequest) -> io::Result<EventPage> {
    let mut data = Data::default();
    let mut last = EventId::START;
    let mut more = false;
    let mut read = 0;
    let mut wholes = WholesAhead::new(dir);
    let mut failed = None;
    let take = |line: &[u8]| {
        read += line.len() as u64;
        let id = id_of(line).unwrap_or(last);
        if !request.deltas {
            match wholes.repeat(line, id) {
                // Where nothing but such pieces was found so far, the next page goes on here.
                Ok(true) => {
                    last = id;
                    more = read >= READ;
                    return !more;
                }
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            }
        }
        let shorter = cut(line);
        let event = shorter.as_deref().unwrap_or(line);
        if data.is_full(event, request.limit) {
            more = true;
            return false;
        }
        data.bytes += event.len();
        data.events.push_back(event.to_vec());
        last = id;
        true
    };
    reader.read(usize::MAX, take)?;
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(EventPage {
        data: data.as_json(),
        next: more.then_some(last),
        prev: None,
    })
}

/// The whole messages behind the place that is read, turn by turn.
struct WholesAhead<'a> {
    dir: &'a Path,
    turn: Option<u32>,
    wholes: Wholes,
}

impl<'a> WholesAhead<'a> {
    fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            turn: None,
            wholes: Wholes::default(),
        }
    }

    /// Whether a message repeats whole what a line is a piece of.
    fn repeat(&mut self, line: &[u8], id: EventId) -> io::Result<bool> {
        let Said::Pieces { message, turn } = said(line) else {
            return Ok(false);
        };
        if self.turn != Some(turn) {
            let ahead = match open(self.dir, turn)? {
                Some(file) => {
                    let offset = find(&file, predecessor(id))?;
                    Some((file, offset))
                }
                None => None,
            };
            self.wholes = Wholes::from(ahead, READ);
            self.turn = Some(turn);
        }
        self.wholes.has(message)
    }
}

fn backwards(dir: &Path, before: Option<EventId>, request: &PageRequest) -> io::Result<EventPage> {
    let mut reader = BackReader::open(dir, before)?;
    let mut turn = reader.turn();
    let mut wholes = Wholes::from(reader.place()?, READ);
    let mut data = Data::default();
    // The first event of all that were looked at.
    let mut first = before;
    let mut more = false;
    while let Some(line) = reader.line()? {
        if data.events.len() >= request.limit || reader.bytes_read() > READ {
            more = true;
            break;
        }
        if reader.turn() != turn {
            turn = reader.turn();
            // All that follows in this turn is met on the way.
            wholes = Wholes::default();
        }
        let is_repeated = match said(&line) {
            Said::Whole(ordinal) => {
                wholes.met(ordinal);
                false
            }
            Said::Pieces { message, .. } if !request.deltas => wholes.has(message)?,
            _ => false,
        };
        if is_repeated {
            first = id_of(&line).or(first);
        } else if !put_front(&line, before, request.limit, &mut data, &mut first)? {
            more = true;
            break;
        }
    }
    Ok(EventPage {
        data: data.as_json(),
        next: None,
        prev: first.filter(|_| more),
    })
}

/// Puts what a line has of events before `before` in front of a page; says whether all of it fits.
fn put_front(
    line: &[u8],
    before: Option<EventId>,
    limit: usize,
    data: &mut Data,
    first: &mut Option<EventId>,
) -> io::Result<bool> {
    let mut events = Vec::new();
    let mut keep = |id: EventId, event: &[u8]| {
        let is_before = before.is_none_or(|before| id < before);
        if is_before {
            events.push((id, event.to_vec()));
        }
        is_before
    };
    match id_of(line) {
        Some(_) if is_run(line) => {
            expand(line, keep)?;
        }
        Some(id) => {
            keep(id, line);
        }
        None => {}
    }
    for (id, event) in events.into_iter().rev() {
        let event = cut(&event).unwrap_or(event);
        if data.is_full(&event, limit) {
            return Ok(false);
        }
        data.bytes += event.len();
        data.events.push_front(event);
        *first = Some(id);
    }
    Ok(true)
}

/// The first event of a turn, where there are events before it.
fn before_turn(dir: &Path, turn: u32) -> io::Result<Option<EventId>> {
    let turns = turns_in(dir)?;
    let has_earlier = turns.first().is_some_and(|first| *first < turn);
    match open(dir, turn)? {
        Some(file) if has_earlier => id_at(&file, 0),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
