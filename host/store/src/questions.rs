//! What the turns that run ask their users.

use std::collections::HashMap;

use aod_resources::{Status, Timestamp, WebhookEvent};
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Result, Store, outbox,
    sql::{self, At, Id, Json},
};

impl Store {
    /// Notes a question of the turn that runs, and tells webhooks of it. One that was noted before
    /// stays as it is, and so does everything where that turn does not run any more.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn note_question(
        &self,
        session: Uuid,
        turn: u32,
        id: String,
        question: Value,
        at: Timestamp,
    ) -> Result<()> {
        let told = self.told();
        let noted = move |db: &Connection| note(db, session, turn, &id, &question, at);
        let after = move |owner: &Option<Uuid>| {
            if let Some(owner) = owner {
                told.outbox();
                told.session(*owner, session);
            }
        };
        self.write_at_all_costs(noted, after).await.map(drop)
    }

    /// Notes that a question waits for no answer any more.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn close_question(&self, session: Uuid, turn: u32, id: String) -> Result<()> {
        let told = self.told();
        let close = move |db: &Connection| {
            let closed = db
                .prepare_cached(
                    "UPDATE questions SET is_open = 0
                     WHERE session_id = ? AND turn = ? AND id = ? AND is_open",
                )?
                .execute((Id(session), turn, &id))?;
            match closed {
                0 => Ok(None),
                _ => owner(db, session),
            }
        };
        let after = move |owner: &Option<Uuid>| {
            if let Some(owner) = owner {
                told.session(*owner, session);
            }
        };
        self.write_at_all_costs(close, after).await.map(drop)
    }

    /// The questions of these sessions that wait for an answer, in the order in which they were
    /// asked.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn open_questions(&self, sessions: Vec<Uuid>) -> Result<HashMap<Uuid, Vec<Value>>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT body FROM questions WHERE session_id = ? AND is_open ORDER BY asked_at, id",
            )?;
            let mut found = HashMap::new();
            for session in sessions {
                let rows =
                    query.query_map([Id(session)], |row| row.get("body").map(|Json(body)| body))?;
                let open: Vec<Value> = rows.collect::<rusqlite::Result<_>>()?;
                if !open.is_empty() {
                    found.insert(session, open);
                }
            }
            Ok(found)
        })
        .await
    }
}

/// Notes a question; says whose it is where it is new.
fn note(
    db: &Connection,
    session: Uuid,
    turn: u32,
    id: &str,
    question: &Value,
    at: Timestamp,
) -> Result<Option<Uuid>> {
    let runs: Option<bool> = db
        .prepare_cached("SELECT turn_count = ? AND status = ? FROM sessions WHERE id = ?")?
        .query_row((turn, Status::Running.as_str(), Id(session)), |row| {
            row.get(0)
        })
        .optional()?;
    if runs != Some(true) {
        return Ok(None);
    }
    let added = db
        .prepare_cached(
            "INSERT INTO questions (session_id, turn, id, body, asked_at, is_open)
             VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
        )?
        .execute((Id(session), turn, id, Json(question), At(at)))?;
    if added == 0 {
        return Ok(None);
    }
    let owner = owner(db, session)?;
    if let Some(owner) = owner {
        let told = outbox::NewMessage {
            owner,
            session,
            turn,
            event: match question["kind"] == "tool" {
                true => WebhookEvent::ToolRequested,
                false => WebhookEvent::PermissionRequested,
            },
            name: id,
            at,
        };
        outbox::tell(db, &told, || Ok(outbox::asked(session, turn, question)))?;
    }
    Ok(owner)
}

/// The questions of a session whose turn has ended are gone.
pub(crate) fn forget(db: &Connection, session: Uuid) -> Result<()> {
    db.prepare_cached("DELETE FROM questions WHERE session_id = ?")?
        .execute([Id(session)])?;
    Ok(())
}

fn owner(db: &Connection, session: Uuid) -> Result<Option<Uuid>> {
    Ok(db
        .prepare_cached("SELECT owner FROM sessions WHERE id = ?")?
        .query_row([Id(session)], |row| sql::id(row, "owner"))
        .optional()?)
}
