//! What was written last of a session's events, in memory, for those who have read all before it.
//!
//! A model's words come one by one, and each of them goes to everybody who follows the session.
//! Hundreds of readers need not ask the disk for the same line, nor whether there is another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aod_resources::event::EventId;
use bytes::Bytes;

/// More at once is read from the file.
const MOST: usize = 64 << 10;

/// What was written of a turn's events.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The turn.
    pub turn: u32,
    /// Where in the turn's file it begins.
    pub start: u64,
    /// Whole lines.
    pub lines: &'a [u8],
}

/// The last lines of a session. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    turn: u32,
    start: u64,
    lines: Arc<[u8]>,
    /// The same for clients, made by the first of those who want it, with the index that it begins
    /// at.
    encoded: Option<(usize, Option<Encoded>)>,
}

/// Events as they are sent.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) events: Bytes,
    /// The ids of the first and of the last one.
    pub(super) first: EventId,
    pub(super) last: EventId,
    /// How long their lines are.
    pub(super) length: u64,
}

/// What a tail knows of what follows a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// These lines, from the index on.
    Lines(Arc<[u8]>, usize),
    /// Nothing by now.
    Nothing,
    /// It is not known: the files say it.
    Unknown,
}

impl Tail {
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // Nothing can panic while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was written. It is in the file already.
    pub(super) fn set(&self, written: Written<'_>) {
        *self.kept() = (written.lines.len() <= MOST).then(|| Kept {
            turn: written.turn,
            start: written.start,
            lines: written.lines.into(),
            encoded: None,
        });
    }

    /// All that follows a place, encoded: by whoever is the first to ask, for all who come after.
    /// None where nothing follows, where that is not known, or where `encode` makes nothing of it.
    pub(super) fn encoded(
        &self,
        turn: u32,
        offset: u64,
        encode: impl FnOnce(&[u8]) -> Option<Encoded>,
    ) -> Option<Encoded> {
        let mut kept = self.kept();
        let kept = kept.as_mut().filter(|kept| kept.turn == turn)?;
        let ahead = usize::try_from(offset.checked_sub(kept.start)?).ok()?;
        if let Some((from, encoded)) = &kept.encoded
            && *from == ahead
        {
            return encoded.clone();
        }
        let rest = kept.lines.get(ahead..).filter(|rest| !rest.is_empty())?;
        let encoded = encode(rest);
        kept.encoded = Some((ahead, encoded.clone()));
        encoded
    }

    /// Keeps nothing: the next look is at the files.
    pub(super) fn clear(&self) {
        *self.kept() = None;
    }

    /// What follows a place in a turn's file, at which a line begins or will.
    pub(super) fn behind(&self, turn: u32, offset: u64) -> Follows {
        let kept = self.kept();
        let Some(kept) = kept.as_ref().filter(|kept| kept.turn == turn) else {
            return Follows::Unknown;
        };
        let ahead = offset.checked_sub(kept.start);
        match ahead.and_then(|ahead| usize::try_from(ahead).ok()) {
            Some(ahead) if ahead < kept.lines.len() => Follows::Lines(kept.lines.clone(), ahead),
            Some(ahead) if ahead == kept.lines.len() => Follows::Nothing,
            _ => Follows::Unknown,
        }
    }
}
