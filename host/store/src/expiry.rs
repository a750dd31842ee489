//! Files of sessions that nobody has used for long: their removal is announced first.

use aod_resources::{Timestamp, WebhookEvent};
use rusqlite::{Connection, named_params};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Result, Store,
    outbox::{self, NewMessage},
    sessions::session_from_row,
    sql::{self, At, Id},
};

/// Sessions that no turn waits or runs in, and whose files are there.
const AT_REST: &str = "status NOT IN ('pending', 'running') AND files_removed_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM queue WHERE session_id = sessions.id)";

impl Store {
    /// Announces that the files of sessions which were last used before `unused_since` will be
    /// removed at `expires_at`; says how many were announced.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn announce_expiry(
        &self,
        unused_since: Timestamp,
        expires_at: Timestamp,
        at: Timestamp,
    ) -> Result<usize> {
        let told = self.told();
        let announce = move |db: &Connection| {
            let mut query = db.prepare_cached(&format!(
                "UPDATE sessions SET expires_at = :expires
                 WHERE {AT_REST} AND expires_at IS NULL AND updated_at < :since
                 RETURNING *"
            ))?;
            let rows = query.query_map(
                named_params! { ":expires": At(expires_at), ":since": At(unused_since) },
                |row| Ok((sql::id(row, "owner")?, session_from_row(row)?)),
            )?;
            let expiring = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for (owner, session) in &expiring {
                let message = NewMessage {
                    owner: *owner,
                    session: session.id,
                    turn: session.turn_count,
                    event: WebhookEvent::SessionExpiring,
                    // One that is used meanwhile may be announced again.
                    name: &expires_at.as_micros().to_string(),
                    at,
                };
                outbox::tell(db, &message, || {
                    Ok(json!({
                        "session_id": session.id,
                        "agent_id": session.agent_id,
                        "runtime": session.runtime,
                        "title": session.title,
                        "metadata": session.metadata,
                        "session_status": session.status,
                        "turn": session.turn_count,
                        "updated_at": session.updated_at,
                        "expires_at": expires_at,
                        "sizes": session.sizes,
                        "truncated": false,
                    }))
                })?;
            }
            Ok(expiring
                .into_iter()
                .map(|(owner, session)| (owner, session.id))
                .collect::<Vec<_>>())
        };
        let after = move |expiring: &Vec<(Uuid, Uuid)>| {
            for (owner, session) in expiring {
                told.session(*owner, *session);
            }
            if !expiring.is_empty() {
                told.outbox();
            }
        };
        Ok(self.write_then(announce, after).await?.len())
    }

    /// Expires the sessions whose announced time has come: their files are to be removed, and they
    /// take no further prompt.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn expire_sessions(&self, now: Timestamp) -> Result<()> {
        let told = self.told();
        let expire = move |db: &Connection| {
            let mut query = db.prepare_cached(&format!(
                "UPDATE sessions SET files_removed_at = :now, is_removing = 1, expires_at = NULL,
                     restored_to = NULL, replacement = NULL, checkpoint_bytes = 0,
                     home_bytes = iif(home_bytes IS NULL, NULL, 0),
                     workspace_bytes = iif(home_bytes IS NULL, NULL, 0)
                 WHERE {AT_REST} AND expires_at <= :now RETURNING id, owner"
            ))?;
            let rows = query.query_map(named_params! { ":now": At(now) }, |row| {
                Ok((sql::id(row, "owner")?, sql::id(row, "id")?))
            })?;
            let expired = rows.collect::<rusqlite::Result<Vec<(Uuid, Uuid)>>>()?;
            for (_, session) in &expired {
                db.prepare_cached("DELETE FROM checkpoints WHERE session_id = ?")?
                    .execute([Id(*session)])?;
            }
            Ok(expired)
        };
        let after = move |expired: &Vec<(Uuid, Uuid)>| {
            for (owner, session) in expired {
                told.session(*owner, *session);
            }
        };
        self.write_then(expire, after).await.map(drop)
    }

    /// Takes back what was announced: nothing is removed any more.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn withdraw_expiry(&self) -> Result<()> {
        self.write(|db| {
            db.prepare_cached(
                "UPDATE sessions SET expires_at = NULL WHERE expires_at IS NOT NULL",
            )?
            .execute([])?;
            Ok(())
        })
        .await
    }

    /// Sessions whose files are to be removed.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn sessions_to_empty(&self) -> Result<Vec<Uuid>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT id FROM sessions WHERE is_removing")?;
            let ids = query.query_map([], |row| sql::id(row, "id"))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that a session's files are gone.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn session_emptied(&self, session: Uuid) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE sessions SET is_removing = 0 WHERE id = ?")?
                .execute([Id(session)])?;
            Ok(())
        })
        .await
    }
}
