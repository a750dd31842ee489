//! What a log grows by, read and encoded once for all who follow it live.
//!
//! Whoever is woken first reads for all; the others find the same bytes. What a thousand live
//! readers cost is a wake-up and a write each, and one reading between them.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aod_log::Reader;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::encode::{Progress, fill};

/// So many bytes of batches are kept for those who are slower than the first. Who is slower still
/// reads on by itself.
const KEPT: usize = 1 << 20;

/// The tails of all logs that are followed.
#[derive(Clone, Debug, Default)]
pub struct Tails(Arc<Mutex<HashMap<Uuid, Weak<Mutex<Tail>>>>>);

impl Tails {
    /// The tail of a session's log; the same one for as long as anybody has it.
    pub fn of(&self, session: Uuid) -> Arc<Mutex<Tail>> {
        // Nothing can panic while the map is being changed.
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = tails.get(&session).and_then(Weak::upgrade) {
            return tail;
        }
        tails.retain(|_, tail| tail.strong_count() > 0);
        let tail = Arc::default();
        tails.insert(session, Arc::downgrade(&tail));
        tail
    }
}

/// The end of a log that is followed.
#[derive(Debug, Default)]
pub struct Tail {
    source: Option<Source>,
    /// In the order of their ids.
    batches: VecDeque<Kept>,
    /// How many follow.
    followers: usize,
}

#[derive(Debug)]
struct Source {
    reader: Reader,
    grown: watch::Receiver<u64>,
    /// Whether there may be more to read than has been announced.
    more: bool,
}

/// A batch of events that follow one another.
#[derive(Clone, Debug)]
pub(super) struct Grown {
    /// The id of the event before it.
    after: u64,
    /// The id of its last event.
    pub(super) last: u64,
    pub(super) events: Bytes,
    /// The turn that its last event ends.
    pub(super) ended: Option<u32>,
}

#[derive(Debug)]
struct Kept {
    grown: Grown,
    /// How many have yet to take it.
    wanted: usize,
}

/// What a follower finds.
pub(super) enum Found {
    Grown(Grown),
    /// All that there is was found.
    Nothing,
    /// What follows is not kept any more: it has to be read.
    Behind,
}

/// A follower that has read all there was.
#[derive(Debug)]
pub(super) struct Live {
    tail: Arc<Mutex<Tail>>,
    dir: PathBuf,
    last: u64,
}

impl Live {
    /// Goes on where `reader` stands, at the end of the log. `grown` announces growth.
    pub(super) fn join(
        tail: Arc<Mutex<Tail>>,
        reader: &Reader,
        grown: watch::Receiver<u64>,
    ) -> aod_log::Result<Self> {
        let (dir, last) = (reader.dir().to_owned(), reader.last_id());
        let mut guard = lock(&tail);
        if guard
            .source
            .as_ref()
            .is_none_or(|known| known.is_before(last))
        {
            guard.source = Some(Source {
                reader: reader_after(&dir, last)?,
                grown,
                more: true,
            });
        }
        guard.followers += 1;
        drop(guard);
        Ok(Self { tail, dir, last })
    }

    /// The id of the last event that was found.
    pub(super) const fn last_id(&self) -> u64 {
        self.last
    }

    /// A reader where this is, for one who has to read by itself.
    pub(super) fn reader(&self) -> aod_log::Result<Reader> {
        reader_after(&self.dir, self.last)
    }

    /// Looks for what follows.
    pub(super) fn look(&mut self) -> aod_log::Result<Found> {
        let found = lock(&self.tail).after(self.last)?;
        if let Found::Grown(grown) = &found {
            self.last = grown.last;
        }
        Ok(found)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut tail = lock(&self.tail);
        tail.followers -= 1;
        // What it has not taken it will not take.
        let last = self.last;
        for kept in &mut tail.batches {
            let wants = usize::from(kept.grown.after >= last);
            kept.wanted = kept.wanted.saturating_sub(wants);
        }
        tail.batches.retain(|kept| kept.wanted > 0);
    }
}

fn reader_after(dir: &Path, id: u64) -> aod_log::Result<Reader> {
    let mut reader = Reader::open(dir)?;
    reader.seek_after(id)?;
    Ok(reader)
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    // What panics while it reads has kept nothing of it, and left the reader in its place.
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    fn after(&mut self, last: u64) -> aod_log::Result<Found> {
        if let Some(at) = self.batches.iter().position(|it| it.grown.after == last) {
            let kept = &mut self.batches[at];
            kept.wanted -= 1;
            let grown = match kept.wanted {
                0 => self.batches.remove(at).map(|kept| kept.grown),
                _ => Some(kept.grown.clone()),
            };
            return Ok(grown.map_or(Found::Behind, Found::Grown));
        }
        let Some(source) = &mut self.source else {
            return Ok(Found::Behind);
        };
        if source.reader.last_id() != last {
            return Ok(Found::Behind);
        }
        let Some(grown) = source.read()? else {
            return Ok(Found::Nothing);
        };
        self.keep(&grown);
        Ok(Found::Grown(grown))
    }

    /// Keeps a batch for the others, if there are any.
    fn keep(&mut self, grown: &Grown) {
        let wanted = self.followers.saturating_sub(1);
        if wanted == 0 {
            return;
        }
        self.batches.push_back(Kept {
            grown: grown.clone(),
            wanted,
        });
        let mut bytes: usize = self.batches.iter().map(|it| it.grown.events.len()).sum();
        while bytes > KEPT
            && let Some(oldest) = self.batches.pop_front()
        {
            bytes -= oldest.grown.events.len();
        }
    }
}

impl Source {
    fn is_before(&self, id: u64) -> bool {
        self.reader.last_id() < id
    }

    fn read(&mut self) -> aod_log::Result<Option<Grown>> {
        // An error says that nobody announces any more.
        if !self.more && matches!(self.grown.has_changed(), Ok(false)) {
            return Ok(None);
        }
        self.grown.borrow_and_update();
        self.more = false;
        let after = self.reader.last_id();
        let mut progress = Progress {
            after,
            met_output: false,
        };
        let mut events = Vec::new();
        let ended = fill(&mut events, &mut self.reader, &mut progress, None)?;
        if events.is_empty() {
            return Ok(None);
        }
        self.more = true;
        Ok(Some(Grown {
            after,
            last: self.reader.last_id(),
            events: events.into(),
            ended,
        }))
    }
}

#[cfg(test)]
mod tests;
