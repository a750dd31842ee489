//! A running turn's events: the log they come from, the fold over it, and where they are stored.

use std::time::Duration;

use aod_log::Reader;
use aod_runtime::types::Prompt;
use aod_streams::events::{EventWriter, Written};
use aod_supervisor::Exited;
use uuid::Uuid;

use super::Turns;
use super::fold::{Advance, Fold};
use crate::{Error, Result};

/// As much of the log is read before whoever follows the turn looks at what is asked of it: an
/// adapter is slower than a CLI that writes without end, and would never come to the log's end.
const MOST: usize = 128 << 10;
/// As much of it in the background, a few milliseconds' work: others may wait for the processor.
const LITTLE: usize = 32 << 10;
/// Who is behind may compute for so long before that is done in the background: an answer that
/// comes all at once is no flood.
const PATIENCE: Duration = Duration::from_millis(60);

/// Everything here blocks for as long as an adapter computes, and is done off the async threads.
pub(super) struct Derivation {
    reader: Reader,
    /// Apart, as the rest is moved from thread to thread.
    pub(super) fold: Box<Fold>,
    events: EventWriter,
    /// How long it has computed since it was at the log's end.
    behind_for: Duration,
}

impl Derivation {
    /// Stores events of `turn` beside those that are there, as far as the log's first `entries`
    /// entries gave them.
    pub(super) async fn open(
        turns: &Turns,
        (session, turn): (Uuid, u32),
        reader: Reader,
        fold: Fold,
        entries: u64,
    ) -> Result<Self> {
        let dir = turns.paths().session(session).events();
        let bell = turns.bell().clone();
        blocking(move || {
            let written = move |written: Written<'_>| bell.written(session, written);
            let events = EventWriter::open(&dir, turn, entries, written);
            Ok(Self {
                reader,
                fold: Box::new(fold),
                events: events.map_err(Error::internal)?,
                behind_for: Duration::ZERO,
            })
        })
        .await
    }

    /// Reads on for a while, and says what is to be done and whether there is more to read. What is
    /// far behind is done behind all that does not come late anyway.
    pub(super) async fn advance(self, turns: &Turns) -> Result<(Self, Advance)> {
        if self.behind_for < PATIENCE {
            blocking(move || self.read_on(MOST)).await
        } else {
            turns.background.run(move || self.read_on(LITTLE)).await
        }
    }

    fn read_on(mut self, most: usize) -> Result<(Self, Advance)> {
        let begun = thread_time();
        let advance = self
            .fold
            .advance(&mut self.reader, &mut self.events, most)?;
        self.behind_for = match advance.is_behind {
            true => self.behind_for + thread_time().saturating_sub(begun),
            false => Duration::ZERO,
        };
        Ok((self, advance))
    }

    /// Goes on with the next turn of the process: its events have a place of their own.
    pub(super) async fn next_turn(
        mut self,
        turns: &Turns,
        (session, turn): (Uuid, u32),
        prompt: Prompt,
    ) -> Result<Self> {
        let dir = turns.paths().session(session).events();
        let bell = turns.bell().clone();
        blocking(move || {
            self.events.sync().map_err(Error::internal)?;
            let entries = self.last_id();
            let written = move |written: Written<'_>| bell.written(session, written);
            let events = EventWriter::open(&dir, turn, entries, written);
            self.events = events.map_err(Error::internal)?;
            self.fold.expect(prompt);
            Ok(self)
        })
        .await
    }

    /// Forces what was told to the disk.
    pub(super) async fn sync(mut self) -> Result<Self> {
        blocking(move || {
            self.events.sync().map_err(Error::internal)?;
            Ok(self)
        })
        .await
    }

    /// The number of the last entry of the log that was read.
    pub(super) fn last_id(&self) -> u64 {
        self.reader.last_id()
    }

    /// Ends with the adapter's last word.
    pub(super) async fn finish(self, exited: Exited) -> Result<Fold> {
        self.end(move |fold, events| fold.finish(&exited, events))
            .await
    }

    /// Ends before all was read.
    pub(super) async fn cut_short(self) -> Result<Fold> {
        self.end(Fold::cut_short).await
    }

    /// Ends where no end was recorded.
    pub(super) async fn break_off(self) -> Result<Fold> {
        self.end(Fold::break_off).await
    }

    async fn end(
        mut self,
        last: impl FnOnce(&mut Fold, &mut EventWriter) -> Result<()> + Send + 'static,
    ) -> Result<Fold> {
        blocking(move || {
            last(&mut self.fold, &mut self.events)?;
            Ok(*self.fold)
        })
        .await
    }
}

/// Processor time of the calling thread.
fn thread_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Does work that blocks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}
