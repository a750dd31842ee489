//! Events of ended turns that were stored and are gone: derived from the log once more.

use aod_log::{Kind, Reader};
use aod_resources::event::{Event, EventId, Level};
use aod_store::{SessionRecord, TurnRecord};
use aod_streams::events::{EventWriter, stored_turns};
use aod_supervisor::Redactor;
use uuid::Uuid;

use super::Turns;
use super::attachments::Attachments;
use super::context::{BeginRecord, context, prompt, sandbox_paths};
use super::derive::{Derivation, blocking};
use super::fold::{Fold, FoldInput, notice};
use super::seen::Watch;
use crate::paths::SessionPaths;
use crate::{Error, Result, secrets};

impl Turns {
    /// Sees to it that each ended turn whose CLI ran, and whose history was not purged, has its
    /// events: those that are missing are derived again. Where the log does not have them any more,
    /// a notice stands in their place.
    ///
    /// # Errors
    /// Where the store or the folder of events cannot be read.
    pub async fn restore_events(&self, session: Uuid) -> Result<()> {
        let missing = self.without_events(session).await?;
        if missing.is_empty() {
            return Ok(());
        }
        // One at a time: the file of a turn has one writer. Whoever waited looks once more.
        let _alone = self.restoring.lock().await;
        for turn in self.without_events(session).await? {
            if let Err(error) = self.restore(session, turn).await {
                tracing::error!(
                    %session, turn, error = %error.details(),
                    "the events of a turn are missing and cannot be derived again"
                );
            }
        }
        Ok(())
    }

    /// Ended turns whose CLI ran and that have no file of events.
    async fn without_events(&self, session: Uuid) -> Result<Vec<u32>> {
        let numbers = self.store.turns_that_ran(session).await?;
        let dir = self.paths.session(session).events();
        let stored = blocking(move || stored_turns(&dir).map_err(Error::internal)).await?;
        Ok(numbers
            .into_iter()
            .filter(|turn| stored.binary_search(turn).is_err())
            .collect())
    }

    async fn restore(&self, session: Uuid, turn: u32) -> Result<()> {
        let turn = self.store.turn_record(session, turn).await?;
        let paths = self.paths.session(session);
        let found = blocking({
            let (paths, turn) = (paths.clone(), turn.clone());
            move || find(&paths, &turn)
        });
        let found = match found.await {
            Err(error) if error.is_broken_log() => Found::Gone,
            found => found?,
        };
        let begin = match found {
            Found::Purged => return Ok(()),
            Found::Gone => return self.stand_in(&paths, turn).await,
            Found::Begin(begin) => begin,
        };
        tracing::warn!(
            %session, turn = turn.turn.turn_number,
            "the events of a turn are missing; deriving them again"
        );
        let record = self.store.session_record(session).await?;
        let mut derivation = rebuild(self, &record, &turn, *begin, 0).await?;
        let mut is_behind = true;
        while is_behind {
            let advance;
            (derivation, advance) = derivation.advance(self).await?;
            is_behind = advance.is_behind;
        }
        match derivation.fold.exited.clone() {
            Some(exited) => derivation.finish(exited).await,
            None => derivation.break_off().await,
        }
        .map(drop)
    }

    /// Stores a notice in the place of a turn's events.
    async fn stand_in(&self, paths: &SessionPaths, turn: TurnRecord) -> Result<()> {
        let (number, dir) = (turn.turn.turn_number, paths.events());
        let text = "the events of this turn are gone from the server's disk, and so is what of its \
                    log they came from";
        let event = Event {
            id: EventId {
                entry: turn.last_id.unwrap_or(1),
                index: 0,
            },
            turn: Some(number),
            ordinal: 1,
            inside: None,
            at: turn.turn.ended_at.unwrap_or(turn.turn.created_at),
            truncated: Vec::new(),
            body: notice(Level::Warning, "events.lost", text),
        };
        blocking(move || {
            let mut events = EventWriter::open(&dir, number, 0, |_| {}).map_err(Error::internal)?;
            events.push(&event).map_err(Error::internal)?;
            events.sync().map_err(Error::internal)
        })
        .await
    }
}

/// What the log has of an ended turn.
enum Found {
    Begin(Box<BeginRecord>),
    /// It was deleted, as its operator wanted.
    Purged,
    /// It should be there.
    Gone,
}

fn find(paths: &SessionPaths, turn: &TurnRecord) -> Result<Found> {
    let mut reader = Reader::open(&paths.log()).map_err(Error::internal)?;
    let mut first = None;
    while let Some(record) = reader.next().map_err(Error::internal)? {
        if record.kind == Kind::Gap {
            first = first.or(Some(0));
        }
        let first = *first.get_or_insert(record.id);
        if turn.last_id.is_some_and(|last_id| last_id < first) {
            return Ok(Found::Purged);
        }
        if record.kind == Kind::Begin && record.turn == turn.turn.turn_number {
            return Ok(match serde_json::from_slice(record.payload) {
                Ok(begin) => Found::Begin(begin),
                Err(_) => Found::Gone,
            });
        }
    }
    Ok(Found::Gone)
}

/// The derivation of a turn that has begun, from its process's first record on, beside the events
/// that the log's first `entries` entries gave.
pub(super) async fn rebuild(
    turns: &Turns,
    session: &SessionRecord,
    turn: &TurnRecord,
    mut begin: BeginRecord,
    entries: u64,
) -> Result<Derivation> {
    let id = session.session.id;
    let paths = turns.paths.session(id);
    let adapter = turns.adapters.by_digest(session, &begin.adapter).await?;
    if begin.hides_an_endpoint() {
        // Read anew, since the log has no secret; an adapter is better off with the redacted one
        // than with none.
        let description = adapter.description();
        let gathered = secrets::gather(
            &turns.store,
            &turns.seals,
            session,
            description,
            None,
            &secrets::Opened::default(),
        )
        .await;
        if let Ok(secrets) = gathered {
            begin.set_endpoints(secrets.endpoints(description));
        }
    }
    let places = sandbox_paths(&*turns.sandboxes.driver, &paths);
    let context = context(session, &begin, places.clone());
    let reader = Reader::open(&paths.log()).map_err(Error::internal)?;
    let number = turn.turn.turn_number;
    let mut prompts = Vec::new();
    for earlier in begin.first.unwrap_or(number)..number {
        let earlier = turns.store.turn_record(id, earlier).await?;
        prompts.push(prompt(
            session,
            &earlier.turn,
            &places,
            adapter.description(),
        ));
    }
    prompts.push(prompt(session, &turn.turn, &places, adapter.description()));
    let mut fold = Fold::new(FoldInput {
        adapter,
        context,
        prompts,
        start: begin.start,
        rests: begin.live,
        attachments: Attachments::of(&paths),
    });
    fold.watch(Watch {
        paths,
        turn: number,
        before: None,
        redactor: Redactor::new([]),
        secrets: String::new(),
        is_first: false,
        // Whoever knows that the turn still runs says so.
        may_look: false,
    });
    Derivation::open(turns, (id, number), reader, fold, entries).await
}
