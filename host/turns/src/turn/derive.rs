//! A running turn's events: the log they come from, the fold over it, and where they are stored.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aod_log::Reader;
use aod_processor::{ProcessorBudget, thread_time};
use aod_runtime::types::Prompt;
use aod_streams::events::{EventWriter, Written};
use aod_supervisor::Exited;
use uuid::Uuid;

use super::Turns;
use super::fold::{Advance, Effect, Fold};
use crate::{Error, Result};

/// As much of the log is read before whoever follows the turn looks at what is asked of it: an
/// adapter is slower than a CLI that writes without end, and would never come to the log's end.
const MOST: usize = 128 << 10;
/// As much of it in the background, a few milliseconds' work: others may wait for the processor.
const LITTLE: usize = 32 << 10;
/// So much processor time may be used in front of others: an answer that comes all at once is no
/// flood.
const BUDGET: Duration = Duration::from_millis(60);

/// Everything here blocks for as long as an adapter computes, and is done off the async threads.
pub(super) struct Derivation {
    reader: Reader,
    /// Apart, as the rest is moved from thread to thread.
    pub(super) fold: Box<Fold>,
    events: EventWriter,
    budget: ProcessorBudget,
    /// Since when all was read that there was. While there is more, nothing is earned: a flood does
    /// not come to the front in the middle.
    read_all: Option<Instant>,
    /// What was told and is still to be done.
    undone: VecDeque<Effect>,
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
                budget: ProcessorBudget::new(BUDGET),
                read_all: None,
                undone: VecDeque::new(),
            })
        })
        .await
    }

    /// Reads on for a while, and says what is to be done and whether there is more to read. What is
    /// made of a flood is made behind all that does not come late anyway.
    pub(super) async fn advance(mut self, turns: &Turns) -> Result<(Self, Advance)> {
        if let Some(since) = self.read_all {
            self.budget.earn(since.elapsed());
        }
        if self.budget.is_behind() {
            let others = turns.others();
            let read_on = move || self.read_on(LITTLE);
            turns.background.run(others, read_on).await
        } else {
            blocking(move || self.read_on(MOST)).await
        }
    }

    fn read_on(mut self, most: usize) -> Result<(Self, Advance)> {
        let begun = thread_time();
        let mut advance = self
            .fold
            .advance(&mut self.reader, &mut self.events, most)?;
        advance.effects.splice(..0, self.undone.drain(..));
        self.budget.spend(thread_time().saturating_sub(begun));
        self.read_all = (!advance.is_behind).then(Instant::now);
        Ok((self, advance))
    }

    /// Goes on with the next turn of the process, whose events have a place of their own, and reads
    /// what is there of it.
    pub(super) async fn next_turn(
        mut self,
        turns: &Turns,
        (session, turn): (Uuid, u32),
        prompt: Prompt,
    ) -> Result<(Self, Advance)> {
        let dir = turns.paths().session(session).events();
        let bell = turns.bell().clone();
        blocking(move || {
            self.events.sync().map_err(Error::internal)?;
            let entries = self.last_id();
            let written = move |written: Written<'_>| bell.written(session, written);
            let events = EventWriter::open(&dir, turn, entries, written);
            self.events = events.map_err(Error::internal)?;
            self.fold.expect(prompt);
            self.read_on(MOST)
        })
        .await
    }

    /// Keeps what is still to be done of what an adapter wants: the next advance tells it first.
    pub(super) fn leave(&mut self, undone: VecDeque<Effect>) {
        self.undone = undone;
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

/// Does work that blocks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}
