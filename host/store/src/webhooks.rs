//! Webhooks. Their secrets are sealed under [`SealedKind::WebhookSecret`].

use aod_resources::{Timestamp, Webhook, WebhookEvent};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use crate::{
    Error, Page, Result, SealedKey, SealedKind, Store, sealed,
    sql::{self, At, Id, Json},
};

/// The name of the secret that a webhook's messages are signed with.
pub const WEBHOOK_SECRET: &str = "secret";
/// The name of the one before it, with which they are signed, too, for a while.
pub const WEBHOOK_SECRET_BEFORE: &str = "secret_before";

/// A webhook to add.
#[derive(Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Uuid,
    /// The one session that it is told of.
    pub session: Option<Uuid>,
    /// Where messages are sent.
    pub url: String,
    /// What it is told of; nothing stands for everything.
    pub events: Vec<WebhookEvent>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Its secret, sealed for [`WEBHOOK_SECRET`].
    pub secret: Vec<u8>,
    /// How many webhooks its owner may have that belong to no session, this one included.
    pub limit: u32,
    /// Now.
    pub at: Timestamp,
}

impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewWebhook")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What changes about a webhook; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookUpdate {
    /// Where messages are sent.
    pub url: Option<String>,
    /// What it is told of; nothing stands for everything.
    pub events: Option<Vec<WebhookEvent>>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Whether messages are sent.
    pub enabled: Option<bool>,
}

impl Store {
    /// Adds a webhook.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub async fn create_webhook(&self, new: NewWebhook) -> Result<Webhook> {
        self.write(move |db| create(db, &new)).await
    }

    /// One of a user's webhooks.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn webhook(&self, owner: Uuid, id: Uuid) -> Result<Webhook> {
        self.read_row(move |db| load(db, owner, id)).await
    }

    /// A user's webhooks, newest first; or those of one session alone.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the page's `after` names none of theirs.
    pub async fn list_webhooks(
        &self,
        owner: Uuid,
        session: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Webhook>> {
        self.read(move |db| {
            let before: i64 = match page.after {
                Some(after) => db
                    .prepare_cached("SELECT seq FROM webhooks WHERE id = ? AND owner = ?")?
                    .query_row((Id(after), Id(owner)), |row| row.get(0))
                    .optional()?
                    .ok_or_else(|| Error::not_found("webhook", after))?,
                None => i64::MAX,
            };
            let mut query = db.prepare_cached(
                "SELECT * FROM webhooks
                 WHERE owner = ?1 AND seq < ?2 AND (?3 IS NULL OR session_id = ?3)
                 ORDER BY seq DESC LIMIT ?4",
            )?;
            let values = (Id(owner), before, session.map(Id), page.sql_limit());
            let rows = query.query_map(values, from_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Changes a webhook. What waits when it is disabled is not sent any more.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update_webhook(
        &self,
        owner: Uuid,
        id: Uuid,
        update: WebhookUpdate,
        at: Timestamp,
    ) -> Result<Webhook> {
        self.write(move |db| {
            let mut hook = load(db, owner, id)?;
            if update.enabled == Some(false) && hook.enabled {
                fail_pending(db, id, "the webhook was disabled")?;
            }
            if let Some(enabled) = update.enabled {
                hook.enabled = enabled;
                hook.disabled_reason = None;
            }
            hook.url = update.url.unwrap_or(hook.url);
            hook.description = update.description.unwrap_or(hook.description);
            db.prepare_cached(
                "UPDATE webhooks SET url = :url, events = ifnull(:events, events),
                     description = :description, enabled = :enabled, disabled_reason = :reason,
                     updated_at = :at
                 WHERE id = :id",
            )?
            .execute(named_params! {
                ":id": Id(id),
                ":url": hook.url,
                ":events": update.events.map(Json),
                ":description": hook.description,
                ":enabled": hook.enabled,
                ":reason": hook.disabled_reason,
                ":at": At(at),
            })?;
            load(db, owner, id)
        })
        .await
    }

    /// Gives a webhook another secret; until `overlap_until` its messages are signed with the
    /// present one, too, which comes sealed anew for [`WEBHOOK_SECRET_BEFORE`].
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rotate_webhook(
        &self,
        owner: Uuid,
        id: Uuid,
        (secret, before): (Vec<u8>, Vec<u8>),
        overlap_until: Timestamp,
        at: Timestamp,
    ) -> Result<Webhook> {
        self.write(move |db| {
            load(db, owner, id)?;
            sealed::put(
                db,
                &SealedKey::of_webhook(owner, id, WEBHOOK_SECRET),
                &secret,
                at,
            )?;
            sealed::put(
                db,
                &SealedKey::of_webhook(owner, id, WEBHOOK_SECRET_BEFORE),
                &before,
                at,
            )?;
            db.prepare_cached(
                "UPDATE webhooks SET overlap_until = ?2, updated_at = ?3 WHERE id = ?1",
            )?
            .execute((Id(id), At(overlap_until), At(at)))?;
            load(db, owner, id)
        })
        .await
    }

    /// Disables a webhook whose receiver wants no more messages.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn disable_webhook(&self, id: Uuid, reason: String, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE webhooks SET enabled = 0, disabled_reason = ?2, updated_at = ?3
                 WHERE id = ?1 AND enabled",
            )?
            .execute((Id(id), &reason, At(at)))?;
            fail_pending(db, id, &reason)
        })
        .await
    }

    /// Deletes a webhook with its secrets and its deliveries.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_webhook(&self, owner: Uuid, id: Uuid) -> Result<()> {
        self.write(move |db| {
            load(db, owner, id)?;
            delete(db, id)
        })
        .await
    }
}

/// Adds a webhook.
pub(crate) fn create(db: &Connection, new: &NewWebhook) -> Result<Webhook> {
    if new.session.is_none() {
        let have: u32 = db
            .prepare_cached("SELECT count(*) FROM webhooks WHERE owner = ? AND session_id IS NULL")?
            .query_row([Id(new.owner)], |row| row.get(0))?;
        if have >= new.limit {
            return Err(Error::TooMany {
                what: "webhook",
                limit: new.limit,
            });
        }
    }
    db.prepare_cached(
        "INSERT INTO webhooks (id, owner, session_id, url, events, description, enabled,
             created_at, updated_at)
         VALUES (:id, :owner, :session, :url, :events, :description, :enabled, :at, :at)",
    )?
    .execute(named_params! {
        ":id": Id(new.id),
        ":owner": Id(new.owner),
        ":session": new.session.map(Id),
        ":url": new.url,
        ":events": Json(&new.events),
        ":description": new.description,
        ":enabled": new.enabled,
        ":at": At(new.at),
    })?;
    sealed::put(
        db,
        &SealedKey::of_webhook(new.owner, new.id, WEBHOOK_SECRET),
        &new.secret,
        new.at,
    )?;
    load(db, new.owner, new.id)
}

/// A session's own webhook is deleted once it is owed nothing any more.
pub(crate) fn orphan(db: &Connection, session: Uuid) -> Result<()> {
    db.prepare_cached("UPDATE webhooks SET is_orphan = 1 WHERE session_id = ?")?
        .execute([Id(session)])?;
    Ok(())
}

/// Deletes a webhook with all that belongs to it.
pub(crate) fn delete(db: &Connection, id: Uuid) -> Result<()> {
    sealed::delete_all(db, &[SealedKind::WebhookSecret], id)?;
    db.prepare_cached("DELETE FROM webhooks WHERE id = ?")?
        .execute([Id(id)])?;
    Ok(())
}

fn load(db: &Connection, owner: Uuid, id: Uuid) -> Result<Webhook> {
    db.prepare_cached("SELECT * FROM webhooks WHERE id = ? AND owner = ?")?
        .query_row((Id(id), Id(owner)), from_row)
        .optional()?
        .ok_or_else(|| Error::not_found("webhook", id))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let Json(mut events): Json<Vec<WebhookEvent>> = row.get("events")?;
    if events.is_empty() {
        events = WebhookEvent::ALL.to_vec();
    }
    Ok(Webhook {
        id: sql::id(row, "id")?,
        url: row.get("url")?,
        events,
        description: row.get("description")?,
        session_id: sql::id_opt(row, "session_id")?,
        enabled: row.get("enabled")?,
        disabled_reason: row.get("disabled_reason")?,
        created_at: sql::at(row, "created_at")?,
        updated_at: sql::at(row, "updated_at")?,
    })
}

fn fail_pending(db: &Connection, hook: Uuid, why: &str) -> Result<()> {
    db.prepare_cached(
        "UPDATE webhook_deliveries SET state = 'failed', next_attempt_at = NULL, last_error = ?2
         WHERE webhook_id = ?1 AND state = 'pending'",
    )?
    .execute((Id(hook), why))?;
    Ok(())
}
