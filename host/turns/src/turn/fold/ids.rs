//! Ids and numbers of events, from the records alone.

use std::collections::HashMap;

use aod_resources::Timestamp;
use aod_resources::event::{Event, EventBody, EventId};

use super::lines::Origin;

/// What came late, for a turn whose events were numbered by another process, is numbered from here.
const LATE: u32 = 1 << 31;

/// Gives events their ids and their ordinals.
///
/// An event's id has the number of the entry that completed its line; one that came from no line
/// follows the one before it. Lines are handed over in the order of their completion, so the same
/// records give the same ids however they were batched. Ordinals count within the turn.
#[derive(Debug)]
pub(super) struct EventIdAllocator {
    turn: u32,
    origin: Origin,
    index: u32,
    /// How many ordinals of the turn were given.
    ordinals: u32,
    /// How many were given of other turns, and of none.
    late: u32,
    /// The ordinals of messages that are not whole yet, by the adapter's own numbers.
    items: HashMap<u32, u32>,
    /// When the turn began.
    began: i64,
}

impl EventIdAllocator {
    pub(super) fn new(turn: u32) -> Self {
        Self {
            turn,
            origin: Origin::default(),
            index: 0,
            ordinals: 0,
            late: 0,
            items: HashMap::new(),
            began: 0,
        }
    }

    /// For the next turn of the same process, whose events come after all of this one's.
    pub(super) fn next_turn(&self, turn: u32) -> Self {
        Self {
            origin: self.origin,
            index: self.index,
            ..Self::new(turn)
        }
    }

    /// The turn begins at this entry.
    pub(super) fn begin(&mut self, origin: Origin) {
        self.began = origin.time;
        self.reach(Origin {
            // The log's first entry may be this turn's output, and nothing is before it.
            entry: origin.entry.max(1),
            ..origin
        });
    }

    /// What is told next came from this entry.
    pub(super) fn reach(&mut self, origin: Origin) {
        if origin.entry > self.origin.entry {
            self.origin = origin;
            self.index = 0;
        } else {
            // A record without a number stands behind the entry whose number it has.
            self.origin.time = self.origin.time.max(origin.time);
        }
    }

    fn next_ordinal(&mut self) -> u32 {
        self.ordinals += 1;
        self.ordinals
    }

    /// The ordinal of the message that the adapter gives this number: reserved where it is spoken of
    /// for the first time.
    pub(super) fn reserve(&mut self, item: u32) -> u32 {
        if let Some(ordinal) = self.items.get(&item) {
            return *ordinal;
        }
        let ordinal = self.next_ordinal();
        self.items.insert(item, ordinal);
        ordinal
    }

    /// The ordinal that was reserved for this message, which is whole now.
    pub(super) fn redeem(&mut self, item: u32) -> u32 {
        self.items
            .remove(&item)
            .unwrap_or_else(|| self.next_ordinal())
    }

    /// An event of the turn with the next ordinal.
    pub(super) fn event(&mut self, body: EventBody) -> Event {
        let ordinal = self.next_ordinal();
        self.event_at(ordinal, body)
    }

    /// An event of the turn with an ordinal that was redeemed.
    pub(super) fn event_at(&mut self, ordinal: u32, body: EventBody) -> Event {
        let event = Event {
            id: EventId {
                entry: self.origin.entry,
                index: self.index,
            },
            turn: Some(self.turn),
            ordinal,
            inside: None,
            at: Timestamp::from_micros(self.origin.time),
            truncated: Vec::new(),
            body,
        };
        self.index += 1;
        event
    }

    /// An event of another turn, or of none.
    pub(super) fn late_event(&mut self, turn: Option<u32>, body: EventBody) -> Event {
        // Two turns may both tell something late of a third one.
        let ordinal = LATE + (self.turn << 12) + self.late;
        self.late += 1;
        Event {
            turn,
            ..self.event_at(ordinal, body)
        }
    }

    /// Milliseconds from the turn's beginning to now.
    pub(super) fn elapsed(&self) -> u64 {
        let micros = self.origin.time.saturating_sub(self.began);
        u64::try_from(micros / 1000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use aod_resources::event::{Level, Notice};

    use super::*;

    fn body() -> EventBody {
        EventBody::Notice(Notice {
            level: Level::Info,
            text: String::new(),
            code: None,
        })
    }

    #[test]
    fn a_message_has_the_ordinal_that_its_pieces_named() {
        let mut ids = EventIdAllocator::new(1);
        assert_eq!(ids.event(body()).ordinal, 1);
        let message = ids.reserve(0);
        assert_eq!(message, 2);
        assert_eq!(ids.event(body()).ordinal, 3);
        assert_eq!(ids.reserve(0), 2);
        assert_eq!(ids.redeem(0), 2);
        // The adapter may use the number again.
        assert_eq!(ids.reserve(0), 4);
        assert_eq!(ids.redeem(9), 5);
    }

    #[test]
    fn what_comes_late_takes_no_ordinal_of_the_turn() {
        let mut ids = EventIdAllocator::new(3);
        let late = ids.late_event(Some(1), body());
        assert_eq!((late.turn, late.ordinal >= LATE), (Some(1), true));
        assert_ne!(ids.late_event(Some(1), body()).ordinal, late.ordinal);
        assert_eq!(ids.event(body()).ordinal, 1);
    }
}
