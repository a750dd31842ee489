//! Checkpoints of sessions at their turns' ends, and what is made of them.
//!
//! A turn's end and the wish for its checkpoint are one transaction, so that a server that dies in
//! between makes it later, before the session's next turn changes anything. It can be used from the
//! moment on when it is noted as made.

use aod_resources::{Checkpoint, Session, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

pub use aod_resources::CheckpointState;

use crate::{
    Error, Result, Store, queue,
    sessions::session_from_row,
    sql::{self, At, Id},
    turns::SessionRow,
};

/// A checkpoint with what the API does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// What the API shows.
    pub checkpoint: Checkpoint,
    /// The CLI's own name for the conversation as it was then.
    pub resume_token: Option<String>,
}

/// What is to be done with a session's files before anything else changes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointWork {
    /// The checkpoint of this turn is to be made.
    Make {
        /// The turn.
        turn: u32,
        /// The last turn before it that has one.
        earlier: Option<u32>,
        /// What home and workspace took of the disk at the turn's end, or more, where that is known.
        bytes: Option<AtLeast>,
        /// Whether a later turn has begun to change the files.
        is_changed: bool,
        /// Whether no other checkpoint of the session is to be made.
        is_last: bool,
    },
    /// What is in the folder of this name is to take the place of its files.
    Replace(String),
}

/// What files take of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLeast {
    /// So many bytes, or more.
    pub bytes: u64,
    /// Whether it is that, and not more.
    pub is_all: bool,
}

/// A checkpoint that was made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The session.
    pub session: Uuid,
    /// The turn.
    pub turn: u32,
    /// What all of it takes of the disk.
    pub bytes: u64,
    /// Of these, what it does not share with the one before it.
    pub new_bytes: u64,
    /// So many are kept of a session, the newest ones.
    pub keep: u32,
    /// They may take so many bytes of the disk together.
    pub max_bytes: u64,
}

/// What is kept of a session's checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// The turns whose checkpoints are kept.
    pub kept: Vec<u32>,
    /// Those whose checkpoints are not kept any more.
    pub dropped: Vec<u32>,
}

impl Store {
    /// What is to be done with a session's files before its next turn; nothing for one that is not
    /// there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoint_work(&self, session: Uuid) -> Result<Option<CheckpointWork>> {
        self.read_row(move |db| {
            let replacement: Option<String> = db
                .prepare_cached("SELECT replacement FROM sessions WHERE id = ?")?
                .query_row([Id(session)], |row| row.get(0))
                .optional()?
                .flatten();
            if let Some(folder) = replacement {
                return Ok(Some(CheckpointWork::Replace(folder)));
            }
            // A turn copies what the one before it has left, which may take longer to be on the disk.
            let (turn, wanted): (Option<u32>, u32) = db
                .prepare_cached(
                    "SELECT min(turn), count(*) FROM checkpoints
                     WHERE session_id = ? AND state = 'pending'",
                )?
                .query_row([Id(session)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let Some(turn) = turn else {
                return Ok(None);
            };
            let is_changed = db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM turns
                     WHERE session_id = ? AND number > ? AND started_at IS NOT NULL)",
                )?
                .query_row((Id(session), turn), |row| row.get(0))?;
            let earlier = ready(db, session)?.pop().map(|(turn, ..)| turn);
            let bytes = db
                .prepare_cached(
                    "SELECT home_bytes + workspace_bytes, sizes_partial FROM sessions WHERE id = ?",
                )?
                .query_row([Id(session)], |row| {
                    let bytes: Option<i64> = row.get(0)?;
                    let is_partial: Option<bool> = row.get(1)?;
                    Ok(bytes.map(|bytes| AtLeast {
                        bytes: sql::uncount(bytes),
                        is_all: is_partial == Some(false),
                    }))
                })?;
            Ok(Some(CheckpointWork::Make {
                turn,
                earlier,
                bytes,
                is_changed,
                is_last: wanted == 1,
            }))
        })
        .await
    }

    /// The turns of a session whose checkpoints are still to be made, or cannot be used yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn pending_checkpoints(&self, session: Uuid) -> Result<Vec<u32>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT turn FROM checkpoints WHERE session_id = ? AND state = 'pending'
                 ORDER BY turn",
            )?;
            let turns = query.query_map([Id(session)], |row| row.get(0))?;
            Ok(turns.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Sessions whose files have something to be done with, and no turn that would do it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sessions_with_checkpoint_work(&self) -> Result<Vec<Uuid>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT session_id AS id FROM checkpoints WHERE state = 'pending'
                 UNION SELECT id FROM sessions WHERE replacement IS NOT NULL",
            )?;
            let ids = query.query_map([], |row| sql::id(row, "id"))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that a checkpoint was made, and which are kept.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it was not to be made.
    pub async fn checkpoint_made(&self, made: Made) -> Result<Retained> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE checkpoints SET state = 'ready', bytes = :bytes, new_bytes = :new
                     WHERE session_id = :id AND turn = :turn AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": Id(made.session),
                    ":turn": made.turn,
                    ":bytes": sql::count(made.bytes),
                    ":new": sql::count(made.new_bytes),
                })?;
            if changed == 0 {
                return Err(not_found(made.session, made.turn));
            }
            retain(db, &made)
        })
        .await
    }

    /// Notes why a checkpoint was not made.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it was not to be made.
    pub async fn checkpoint_failed(&self, session: Uuid, turn: u32, error: String) -> Result<()> {
        let write = move |db: &Connection| {
            let changed = db
                .prepare_cached(
                    "UPDATE checkpoints SET state = 'failed', error = ?3
                     WHERE session_id = ?1 AND turn = ?2 AND state = 'pending'",
                )?
                .execute((Id(session), turn, &error))?;
            match changed {
                0 => Err(not_found(session, turn)),
                _ => Ok(()),
            }
        };
        // A full disk is what it may tell of.
        self.write_at_all_costs(write, |()| ()).await
    }

    /// A session's checkpoints, in the order of their turns.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another user's session.
    pub async fn checkpoints(&self, owner: Uuid, session: Uuid) -> Result<Vec<Checkpoint>> {
        self.read(move |db| {
            if SessionRow::load(db, session)?.owner != owner {
                return Err(Error::not_found("session", session));
            }
            let mut query =
                db.prepare_cached("SELECT * FROM checkpoints WHERE session_id = ? ORDER BY turn")?;
            let rows = query.query_map([Id(session)], |row| Ok(from_row(row)?.checkpoint))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The checkpoint of one turn, whatever came of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoint(&self, session: Uuid, turn: u32) -> Result<Option<CheckpointRecord>> {
        self.read_row(move |db| one(db, session, turn)).await
    }

    /// The checkpoint of one turn, where it can be used.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`].
    pub async fn usable_checkpoint(&self, session: Uuid, turn: u32) -> Result<CheckpointRecord> {
        self.read_row(move |db| usable(db, session, turn)).await
    }

    /// Takes a session back to a turn's end: what is in the folder of this name takes the place of
    /// its files, and later turns are marked.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SessionActive`]; [`Error::PromptsQueued`];
    /// [`Error::IllegalTransition`] where it takes no prompt; [`Error::FilesRemoved`];
    /// [`Error::NoCheckpoint`].
    pub async fn restore_session(
        &self,
        owner: Uuid,
        session: Uuid,
        turn: u32,
        replacement: String,
        at: Timestamp,
    ) -> Result<Session> {
        let told = self.told();
        let restore = move |db: &Connection| {
            let token = restorable(db, owner, session, turn)?.resume_token;
            mark_undone(db, session, turn)?;
            // Of a turn that began and ended while the files were copied.
            db.prepare_cached(
                "UPDATE checkpoints SET state = 'failed', error = ?2
                 WHERE session_id = ?1 AND state = 'pending'",
            )?
            .execute((Id(session), "the session was taken back before it was made"))?;
            let restored = db
                .prepare_cached(
                    "UPDATE sessions SET resume_token = :token, restored_to = :turn,
                         replacement = :folder, updated_at = :at, expires_at = NULL
                     WHERE id = :id RETURNING *",
                )?
                .query_row(
                    named_params! {
                        ":id": Id(session),
                        ":token": token,
                        ":turn": turn,
                        ":folder": replacement,
                        ":at": At(at),
                    },
                    session_from_row,
                )?;
            Ok(restored)
        };
        self.write_then(restore, move |_| told.session(owner, session))
            .await
    }

    /// Whether a session can be taken back to a turn's end now.
    ///
    /// # Errors
    /// As [`Store::restore_session`].
    pub async fn check_restorable(&self, owner: Uuid, session: Uuid, turn: u32) -> Result<()> {
        self.read(move |db| restorable(db, owner, session, turn).map(drop))
            .await
    }

    /// Notes that a session's files were replaced by what was in that folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn files_replaced(&self, session: Uuid, replacement: String) -> Result<()> {
        let write = move |db: &Connection| {
            db.prepare_cached(
                "UPDATE sessions SET replacement = NULL WHERE id = ? AND replacement = ?",
            )?
            .execute((Id(session), &replacement))?;
            Ok(())
        };
        self.write_at_all_costs(write, |()| ()).await
    }

    /// How many checkpoints can be used, and how many could not be made.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoint_counts(&self) -> Result<(u64, u64)> {
        self.read(|db| {
            let counts = db
                .prepare_cached(
                    "SELECT ifnull(sum(state = 'ready'), 0), ifnull(sum(state = 'failed'), 0)
                     FROM checkpoints",
                )?
                .query_row([], |row| {
                    Ok((sql::uncount(row.get(0)?), sql::uncount(row.get(1)?)))
                })?;
            Ok(counts)
        })
        .await
    }
}

/// Wants the checkpoint of a turn that ends in this transaction.
pub(crate) fn want(db: &Connection, session: Uuid, turn: u32, at: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO checkpoints (session_id, turn, state, resume_token, created_at)
         SELECT id, :turn, 'pending', resume_token, :at FROM sessions WHERE id = :id",
    )?
    .execute(named_params! { ":id": Id(session), ":turn": turn, ":at": At(at) })?;
    Ok(())
}

/// The conversation's name has changed since the turn's end.
pub(crate) fn rename(db: &Connection, session: Uuid, turn: u32, token: &str) -> Result<()> {
    db.prepare_cached(
        "UPDATE checkpoints SET resume_token = ?3 WHERE session_id = ?1 AND turn = ?2",
    )?
    .execute((Id(session), turn, token))?;
    Ok(())
}

fn restorable(db: &Connection, owner: Uuid, session: Uuid, turn: u32) -> Result<CheckpointRecord> {
    let row = SessionRow::load(db, session)?;
    if row.owner != owner {
        return Err(Error::not_found("session", session));
    }
    let status = row.state.status;
    if status.is_active() {
        return Err(Error::SessionActive {
            id: session,
            status,
        });
    }
    row.takes_prompts()?;
    if queue::length(db, session)? > 0 {
        return Err(Error::PromptsQueued);
    }
    usable(db, session, turn)
}

fn usable(db: &Connection, session: Uuid, turn: u32) -> Result<CheckpointRecord> {
    let found = one(db, session, turn)?;
    let reason = match found {
        Some(found) if found.checkpoint.state == CheckpointState::Ready => return Ok(found),
        Some(found) => found.checkpoint.error,
        None => None,
    };
    let there = ready(db, session)?.into_iter().map(|(turn, ..)| turn);
    Err(Error::NoCheckpoint {
        turn,
        reason,
        there: there.collect(),
    })
}

fn not_found(session: Uuid, turn: u32) -> Error {
    Error::not_found("checkpoint", format!("{session}/{turn}"))
}

fn one(db: &Connection, session: Uuid, turn: u32) -> Result<Option<CheckpointRecord>> {
    Ok(db
        .prepare_cached("SELECT * FROM checkpoints WHERE session_id = ? AND turn = ?")?
        .query_row((Id(session), turn), from_row)
        .optional()?)
}

/// The checkpoints that can be used, oldest first: turn, bytes, new bytes.
fn ready(db: &Connection, session: Uuid) -> Result<Vec<(u32, u64, u64)>> {
    let mut query = db.prepare_cached(
        "SELECT turn, bytes, new_bytes FROM checkpoints
         WHERE session_id = ? AND state = 'ready' ORDER BY turn",
    )?;
    let rows = query.query_map([Id(session)], |row| {
        Ok((
            row.get(0)?,
            sql::uncount(row.get(1)?),
            sql::uncount(row.get(2)?),
        ))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Drops the oldest ones until no more are there than may be.
fn retain(db: &Connection, made: &Made) -> Result<Retained> {
    let mut kept = ready(db, made.session)?;
    let mut dropped = Vec::new();
    while kept.len() > made.keep as usize || taken(&kept) > made.max_bytes {
        let (turn, ..) = kept.remove(0);
        db.prepare_cached("DELETE FROM checkpoints WHERE session_id = ? AND turn = ?")?
            .execute((Id(made.session), turn))?;
        dropped.push(turn);
    }
    if let Some((turn, bytes, _)) = kept.first() {
        // Nobody is left to share it with.
        db.prepare_cached(
            "UPDATE checkpoints SET new_bytes = ?3 WHERE session_id = ?1 AND turn = ?2",
        )?
        .execute((Id(made.session), turn, sql::count(*bytes)))?;
    }
    db.prepare_cached("UPDATE sessions SET checkpoint_bytes = ?2 WHERE id = ?1")?
        .execute((Id(made.session), sql::count(taken(&kept))))?;
    Ok(Retained {
        kept: kept.into_iter().map(|(turn, ..)| turn).collect(),
        dropped,
    })
}

/// What checkpoints take of the disk together: all of the first one, and what the others do not
/// share with those before them.
fn taken(ready: &[(u32, u64, u64)]) -> u64 {
    let mut each = ready.iter();
    let first = each.next().map_or(0, |(_, bytes, _)| *bytes);
    each.fold(first, |sum, (_, _, new)| sum.saturating_add(*new))
}

/// Marks the turns that are not on the way to a turn, and no others.
fn mark_undone(db: &Connection, session: Uuid, turn: u32) -> Result<()> {
    let mut continues = std::collections::HashMap::new();
    {
        let mut query = db.prepare_cached(
            "SELECT number, continues FROM turns
             WHERE session_id = ? AND continues IS NOT NULL",
        )?;
        let rows = query.query_map([Id(session)], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?))
        })?;
        for row in rows {
            let (number, before) = row?;
            continues.insert(number, before);
        }
    }
    db.prepare_cached("UPDATE turns SET undone = 1 WHERE session_id = ?")?
        .execute([Id(session)])?;
    let mut done =
        db.prepare_cached("UPDATE turns SET undone = 0 WHERE session_id = ? AND number = ?")?;
    let mut number = turn;
    loop {
        done.execute((Id(session), number))?;
        let before = continues.get(&number).copied();
        match before.or_else(|| number.checked_sub(1)) {
            Some(before) if before < number => number = before,
            _ => return Ok(()),
        }
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<CheckpointRecord> {
    Ok(CheckpointRecord {
        checkpoint: Checkpoint {
            turn: row.get("turn")?,
            state: sql::word(row, "state")?,
            bytes: sql::uncount(row.get("bytes")?),
            new_bytes: sql::uncount(row.get("new_bytes")?),
            error: row.get("error")?,
            created_at: sql::at(row, "created_at")?,
        },
        resume_token: row.get("resume_token")?,
    })
}
