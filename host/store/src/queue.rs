//! Prompts that wait for the end of their session's turn.

use aod_resources::{QueuedPrompt, Status, Timestamp, Turn};
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::{
    Ask, Error, Idempotency, Result, Store, Submitted, idempotency,
    sql::{self, At, Id, Json},
    turns::{self, SessionRow},
};

/// A prompt to be queued.
#[derive(Clone, Debug)]
pub struct NewQueued {
    /// Its id.
    pub id: Uuid,
    /// The session.
    pub session: Uuid,
    /// Who asks; the session must be theirs.
    pub owner: Uuid,
    /// What is asked.
    pub ask: Ask,
    /// How many may wait, this one included.
    pub most: u32,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// Now.
    pub at: Timestamp,
}

/// A turn that was made of the first prompt of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Dequeued {
    /// Whose session it is.
    pub owner: Uuid,
    /// The runtime's name.
    pub runtime: String,
    /// The turn.
    pub turn: Turn,
}

impl Store {
    /// Adds a prompt behind those that wait. None where the session is not busy: it takes the
    /// prompt at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::QueueFull`], [`Error::IdempotencyMismatch`].
    pub async fn enqueue(&self, new: NewQueued) -> Result<Option<Submitted<QueuedPrompt>>> {
        self.write(move |db| {
            let session = SessionRow::load(db, new.session)?;
            if session.owner != new.owner {
                return Err(Error::not_found("session", new.session));
            }
            let waiting = length(db, new.session)?;
            if !session.state.status.is_active() && waiting == 0 {
                return Ok(None);
            }
            let replay = idempotency::enter(db, new.owner, new.idempotency.as_ref(), new.at)?;
            if let Some(replay) = replay {
                return Ok(Some(Submitted::Replayed(replay)));
            }
            if waiting >= new.most {
                return Err(Error::QueueFull { limit: new.most });
            }
            db.prepare_cached(
                "INSERT INTO queue (id, session_id, prompt, blocks, timeout, settings,
                     output_schema, limits, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute((
                Id(new.id),
                Id(new.session),
                &new.ask.prompt,
                new.ask.blocks.as_ref().map(Json),
                new.ask.timeout,
                Json(&new.ask.settings),
                new.ask.output_schema.as_ref().map(Json),
                Json(&new.ask.limits),
                At(new.at),
            ))?;
            Ok(Some(Submitted::New(shown(
                new.id,
                new.ask,
                waiting + 1,
                new.at,
            ))))
        })
        .await
    }

    /// The prompts that wait for a session's turn to end, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another user's session.
    pub async fn queue(&self, owner: Uuid, session: Uuid) -> Result<Vec<QueuedPrompt>> {
        self.read(move |db| {
            owned(db, owner, session)?;
            list(db, session)
        })
        .await
    }

    /// Takes a prompt out of the queue, and returns it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the session, or where the prompt does not wait there (any more).
    pub async fn unqueue(&self, owner: Uuid, session: Uuid, id: Uuid) -> Result<QueuedPrompt> {
        self.write(move |db| {
            owned(db, owner, session)?;
            let queued = list(db, session)?.into_iter().find(|it| it.id == id);
            let queued = queued.ok_or_else(|| Error::not_found("queued prompt", id))?;
            db.prepare_cached("DELETE FROM queue WHERE id = ?")?
                .execute([Id(id)])?;
            Ok(queued)
        })
        .await
    }

    /// Makes the first prompt that waits the session's next turn. None where none waits, or the
    /// session does not take one now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dequeue(&self, session: Uuid, at: Timestamp) -> Result<Option<Dequeued>> {
        let told = self.told();
        let dequeue = move |db: &Connection| {
            let first = db
                .prepare_cached("SELECT * FROM queue WHERE session_id = ? ORDER BY seq LIMIT 1")?
                .query_row([Id(session)], from_row)
                .optional()?;
            let Some((id, ask, _)) = first else {
                return Ok(None);
            };
            let row = SessionRow::load(db, session)?;
            if row
                .state
                .apply(aod_resources::SessionEvent::Prompt)
                .is_err()
            {
                return Ok(None);
            }
            db.prepare_cached("DELETE FROM queue WHERE id = ?")?
                .execute([Id(id)])?;
            let turn = turns::begin(db, session, &row, &ask, Some(id), at)?;
            let runtime = db
                .prepare_cached("SELECT runtime FROM sessions WHERE id = ?")?
                .query_row([Id(session)], |row| row.get(0))?;
            Ok(Some(Dequeued {
                owner: row.owner,
                runtime,
                turn,
            }))
        };
        let after = move |begun: &Option<Dequeued>| {
            if let Some(begun) = begun {
                told.session(begun.owner, session);
            }
        };
        self.write_then(dequeue, after).await
    }

    /// Drops all prompts that wait for a session's turn to end.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn clear_queue(&self, session: Uuid) -> Result<()> {
        self.write(move |db| clear(db, session)).await
    }

    /// Whether prompts wait for a session's turn to end.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_queued(&self, session: Uuid) -> Result<bool> {
        self.read_row(move |db| Ok(length(db, session)? > 0)).await
    }

    /// Sessions that have prompts waiting and no turn that waits or runs, in order of creation.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn idle_with_queue(&self) -> Result<Vec<Uuid>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT id, status FROM sessions
                 WHERE id IN (SELECT session_id FROM queue) ORDER BY seq",
            )?;
            let rows = query.query_map([], |row| {
                Ok((sql::id(row, "id")?, sql::word::<Status>(row, "status")?))
            })?;
            let mut idle = Vec::new();
            for row in rows {
                let (id, status) = row?;
                if !status.is_active() {
                    idle.push(id);
                }
            }
            Ok(idle)
        })
        .await
    }
}

fn owned(db: &Connection, owner: Uuid, session: Uuid) -> Result<()> {
    match SessionRow::load(db, session)?.owner == owner {
        true => Ok(()),
        false => Err(Error::not_found("session", session)),
    }
}

/// How many prompts wait.
pub(crate) fn length(db: &Connection, session: Uuid) -> Result<u32> {
    Ok(db
        .prepare_cached("SELECT count(*) FROM queue WHERE session_id = ?")?
        .query_row([Id(session)], |row| row.get(0))?)
}

/// Drops all that wait.
pub(crate) fn clear(db: &Connection, session: Uuid) -> Result<()> {
    db.prepare_cached("DELETE FROM queue WHERE session_id = ?")?
        .execute([Id(session)])?;
    Ok(())
}

fn list(db: &Connection, session: Uuid) -> Result<Vec<QueuedPrompt>> {
    let mut query = db.prepare_cached("SELECT * FROM queue WHERE session_id = ? ORDER BY seq")?;
    let rows = query.query_map([Id(session)], from_row)?;
    (1..)
        .zip(rows)
        .map(|(position, row)| {
            let (id, ask, at) = row?;
            Ok(shown(id, ask, position, at))
        })
        .collect()
}

fn shown(id: Uuid, ask: Ask, position: u32, created_at: Timestamp) -> QueuedPrompt {
    QueuedPrompt {
        id,
        position,
        prompt: ask.prompt,
        blocks: ask.blocks,
        timeout: ask.timeout,
        settings: ask.settings,
        limits: ask.limits,
        output_schema: ask.output_schema,
        created_at,
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<(Uuid, Ask, Timestamp)> {
    let Json(settings) = row.get("settings")?;
    let Json(limits) = row.get("limits")?;
    let blocks: Option<Json<_>> = row.get("blocks")?;
    let output_schema: Option<Json<_>> = row.get("output_schema")?;
    let ask = Ask {
        prompt: row.get("prompt")?,
        blocks: blocks.map(|Json(blocks)| blocks),
        timeout: row.get("timeout")?,
        settings,
        output_schema: output_schema.map(|Json(schema)| schema),
        limits,
    };
    Ok((sql::id(row, "id")?, ask, sql::at(row, "created_at")?))
}
