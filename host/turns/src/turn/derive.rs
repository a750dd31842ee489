//! A running turn's events: the log they come from, the fold over it, and where they are stored.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aod_log::Reader;
use aod_processor::{ProcessorBudget, thread_time};
use aod_runtime::types::Prompt;
use aod_store::OnDisk;
use aod_streams::events::{EventWriter, Written};
use aod_supervisor::{Exited, NextTurn, Request};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::Turns;
use super::fold::{Advance, Effect, Fold};
use super::seen::Watch;
use crate::placement::{ControlReply, WorkerConnection, WorkerId};
use crate::{Error, Result};

/// As much of the log is read before whoever follows the turn looks at what is asked of it: an
/// adapter is slower than a CLI that writes without end, and would never come to the log's end.
const MOST: usize = 128 << 10;
/// As much of it in the background, a few milliseconds' work: others may wait for the processor.
const LITTLE: usize = 32 << 10;
/// So much processor time may be used in front of others: an answer that comes all at once is no
/// flood.
const BUDGET: Duration = Duration::from_millis(60);

/// The next turn of a process that rests.
pub(super) struct Handover {
    pub(super) next: NextTurn,
    pub(super) prompt: Prompt,
    /// How its workspace is looked at when it is over.
    pub(super) watch: Watch,
    /// When it is on the disk, where that is still to come.
    pub(super) stored: Option<OnDisk>,
}

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
    /// What was told and is still to be done: the next advance tells it first.
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
            self.budget.pass(since.elapsed(), Duration::ZERO);
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
        let used = thread_time().saturating_sub(begun);
        self.budget.pass(Duration::ZERO, used);
        self.read_all = (!advance.is_behind).then(Instant::now);
        Ok((self, advance))
    }

    /// Has ready what another turn of its process needs of the disk, as its events have a place of their
    /// own, and of its worker, which is told nothing yet.
    pub(super) fn make_ready(
        mut self,
        turns: &Turns,
        worker: WorkerId,
    ) -> impl Future<Output = Result<Readied>> + Send + use<> {
        let dir = turns.paths().session(worker.session).events();
        let (bell, placement) = (turns.bell().clone(), turns.placement.clone());
        let made = tokio::task::spawn_blocking(move || {
            self.events.sync().map_err(Error::internal)?;
            let entries = self.last_id();
            let written = move |written: Written<'_>| bell.written(worker.session, written);
            let events = EventWriter::open(&dir, worker.turn, entries, written);
            Ok(Readied {
                derivation: self,
                events: events.map_err(Error::internal)?,
                connection: placement.connect(worker),
            })
        });
        async { made.await.map_err(Error::internal)? }
    }

    /// Has done what is to be done outside; what cannot be is left to the next advance.
    fn tell(&mut self, connection: &mut dyn WorkerConnection) {
        while let Some(Effect::Outside(seq, effect)) = self.undone.front() {
            let request = Request::Effect {
                seq: *seq,
                effect: effect.clone(),
            };
            // What it refuses it records.
            if !matches!(
                connection.ask(&request),
                ControlReply::Done | ControlReply::Refused(_)
            ) {
                break;
            }
            self.undone.pop_front();
        }
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

/// A process that rests, and what its next turn needs.
pub(super) struct Readied {
    derivation: Derivation,
    events: EventWriter,
    connection: Box<dyn WorkerConnection>,
}

impl Readied {
    /// Gives the process the turn, and has it told what the adapter makes of the prompt. None where it
    /// does not take the turn.
    ///
    /// All of it is done by one thread: to hand something to another one and to be woken by it takes
    /// longer than most of what is done here.
    pub(super) async fn hand_on(self, handover: Handover) -> Result<Option<Derivation>> {
        let Self {
            mut derivation,
            events,
            mut connection,
        } = self;
        let Handover {
            next,
            prompt,
            watch,
            stored,
        } = handover;
        let runtime = Handle::current();
        blocking(move || {
            if let Some(mut stored) = stored {
                // From here on, something may come of it that outlives a power cut.
                runtime.block_on(stored.wait())?;
            }
            if connection.ask(&Request::Turn(next)) != ControlReply::Done {
                return Ok(None);
            }
            derivation.events = events;
            derivation.fold.expect(prompt);
            let (mut derivation, advance) = derivation.read_on(MOST)?;
            derivation.fold.watch(watch);
            derivation.undone = advance.effects.into();
            derivation.tell(&mut *connection);
            Ok(Some(derivation))
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
