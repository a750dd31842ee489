//! Messages to webhooks: which are due, and what became of each.

use aod_resources::{DeliveryState, Timestamp, WebhookDelivery};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Error, Page, Result, Store, outbox,
    sql::{self, At, Id},
    webhooks,
};

/// Which deliveries to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    /// Only those that stand so.
    pub state: Option<DeliveryState>,
    /// Which part of the list.
    pub page: Page,
}

/// A message that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// Its id.
    pub id: Uuid,
    /// The webhook.
    pub hook: Uuid,
    /// Whose webhook it is.
    pub owner: Uuid,
    /// The message's id.
    pub message: Uuid,
    /// Where it is sent.
    pub url: String,
    /// Its body.
    pub payload: String,
    /// Until then it is signed with the secret before the present one, too.
    pub overlap_until: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// From when on its tries are counted.
    pub since: Timestamp,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// The delivery.
    pub id: Uuid,
    /// What it was answered with.
    pub status: Option<u16>,
    /// Why it failed; none where the receiver took it.
    pub error: Option<String>,
    /// When to try again, if at all.
    pub again: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// How many deliveries wait, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// How many wait for their next try, or are being sent.
    pub pending: u64,
    /// When what the oldest of them tells of happened.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// What is to be sent now, at most `per_hook` for each webhook, and when to look again. Costs
    /// as much as there are webhooks with something to send, whatever waits for each.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn due_deliveries(
        &self,
        now: Timestamp,
        per_hook: u32,
    ) -> Result<(Vec<DueDelivery>, Option<Timestamp>)> {
        self.read(move |db| {
            let mut due = Vec::new();
            let mut next = None;
            for (hook, first) in waiting(db)? {
                if first > now {
                    next = Some(next.map_or(first, |next: Timestamp| next.min(first)));
                    continue;
                }
                let mut query = db.prepare_cached(
                    "SELECT delivery.*, hook.owner, hook.url, hook.overlap_until
                     FROM webhook_deliveries AS delivery
                     JOIN webhooks AS hook ON hook.id = delivery.webhook_id
                     WHERE delivery.webhook_id = ? AND delivery.state = 'pending'
                       AND delivery.next_attempt_at <= ?
                     ORDER BY delivery.next_attempt_at LIMIT ?",
                )?;
                let rows = query.query_map((Id(hook), At(now), per_hook), due_from_row)?;
                for row in rows {
                    due.push(row?);
                }
            }
            Ok((due, next))
        })
        .await
    }

    /// Notes how a try ended. Says nothing where the delivery is gone or was settled meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_attempt(&self, end: AttemptEnd) -> Result<()> {
        let write = move |db: &Connection| {
            let state = match (&end.error, end.again) {
                (None, _) => DeliveryState::Delivered,
                (Some(_), Some(_)) => DeliveryState::Pending,
                (Some(_), None) => DeliveryState::Failed,
            };
            let is_delivered = state == DeliveryState::Delivered;
            db.prepare_cached(
                "UPDATE webhook_deliveries SET state = :state, attempts = attempts + 1,
                     last_status = :status, last_error = :error, last_attempt_at = :at,
                     next_attempt_at = :again, delivered_at = :delivered
                 WHERE id = :id AND state = 'pending'",
            )?
            .execute(named_params! {
                ":id": Id(end.id),
                ":state": state.as_str(),
                ":status": end.status,
                ":error": end.error,
                ":at": At(end.at),
                ":again": end.again.filter(|_| !is_delivered).map(At),
                ":delivered": is_delivered.then_some(At(end.at)),
            })?;
            Ok(())
        };
        self.write_at_all_costs(write, |()| ()).await
    }

    /// A webhook's deliveries, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the webhook, or when the page's `after` names none of its.
    pub async fn list_deliveries(
        &self,
        owner: Uuid,
        hook: Uuid,
        filter: DeliveryFilter,
    ) -> Result<Vec<WebhookDelivery>> {
        self.read(move |db| {
            check_owner(db, owner, hook)?;
            let before: i64 = match filter.page.after {
                Some(after) => db
                    .prepare_cached(
                        "SELECT seq FROM webhook_deliveries WHERE id = ? AND webhook_id = ?",
                    )?
                    .query_row((Id(after), Id(hook)), |row| row.get(0))
                    .optional()?
                    .ok_or_else(|| Error::not_found("delivery", after))?,
                None => i64::MAX,
            };
            let mut query = db.prepare_cached(
                "SELECT * FROM webhook_deliveries
                 WHERE webhook_id = ?1 AND seq < ?2 AND (?3 IS NULL OR state = ?3)
                 ORDER BY seq DESC LIMIT ?4",
            )?;
            let state = filter.state.map(DeliveryState::as_str);
            let values = (Id(hook), before, state, filter.page.sql_limit());
            let rows = query.query_map(values, from_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One of a webhook's deliveries, and the body that is sent.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delivery(
        &self,
        owner: Uuid,
        hook: Uuid,
        id: Uuid,
    ) -> Result<(WebhookDelivery, Value)> {
        self.read_row(move |db| {
            check_owner(db, owner, hook)?;
            db.prepare_cached("SELECT * FROM webhook_deliveries WHERE id = ? AND webhook_id = ?")?
                .query_row((Id(id), Id(hook)), |row| {
                    let sql::Json(payload) = row.get("payload")?;
                    Ok((from_row(row)?, payload))
                })
                .optional()?
                .ok_or_else(|| Error::not_found("delivery", id))
        })
        .await
    }

    /// Has a message sent that tells of nothing, under this id.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Disabled`].
    pub async fn test_webhook(
        &self,
        owner: Uuid,
        hook: Uuid,
        message: Uuid,
        at: Timestamp,
    ) -> Result<WebhookDelivery> {
        const EVENT: &str = "webhook.test";
        let told = self.told();
        let add = move |db: &Connection| {
            check_enabled(db, owner, hook)?;
            let payload = outbox::payload(EVENT, at, json!({ "webhook_id": hook }));
            let message = outbox::Message {
                id: message,
                event: EVENT,
                about: None,
                payload: &payload,
                at,
            };
            outbox::insert(db, hook, &message)?;
            load(db, hook, outbox::delivery_id(hook, message.id))
        };
        self.write_then(add, move |_| told.outbox()).await
    }

    /// Has a message sent once more, whatever became of it; its tries are counted anew.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Disabled`].
    pub async fn redeliver(
        &self,
        owner: Uuid,
        hook: Uuid,
        id: Uuid,
        at: Timestamp,
    ) -> Result<WebhookDelivery> {
        let told = self.told();
        let again = move |db: &Connection| {
            check_enabled(db, owner, hook)?;
            load(db, hook, id)?;
            db.prepare_cached(
                "UPDATE webhook_deliveries SET state = 'pending', attempts = 0,
                     next_attempt_at = ?2, since = ?2, delivered_at = NULL
                 WHERE id = ?1",
            )?
            .execute((Id(id), At(at)))?;
            load(db, hook, id)
        };
        self.write_then(again, move |_| told.outbox()).await
    }

    /// How many deliveries wait.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delivery_counts(&self) -> Result<DeliveryCounts> {
        self.read(|db| {
            Ok(db
                .prepare_cached(
                    "SELECT count(*), min(created_at) FROM webhook_deliveries
                     WHERE state = 'pending'",
                )?
                .query_row([], |row| {
                    let oldest: Option<At> = row.get(1)?;
                    Ok(DeliveryCounts {
                        pending: sql::uncount(row.get(0)?),
                        oldest: oldest.map(|At(at)| at),
                    })
                })?)
        })
        .await
    }

    /// Deletes some of what was settled and tells of things before `before`, and webhooks of
    /// sessions that are gone and owed nothing. Says whether there may be more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_deliveries(&self, before: Timestamp) -> Result<bool> {
        /// As many at once as others may wait for.
        const MOST: usize = 500;
        self.write(move |db| {
            let deleted = db
                .prepare_cached(
                    "DELETE FROM webhook_deliveries WHERE seq IN (
                         SELECT seq FROM webhook_deliveries
                         WHERE state <> 'pending' AND created_at < ? LIMIT ?)",
                )?
                .execute((At(before), MOST as i64))?;
            let mut query = db.prepare_cached(
                "SELECT id FROM webhooks
                 WHERE is_orphan
                   AND NOT EXISTS (SELECT 1 FROM webhook_deliveries
                       WHERE webhook_id = webhooks.id AND state = 'pending')
                 LIMIT ?",
            )?;
            let orphans = query.query_map([MOST as i64], |row| sql::id(row, "id"))?;
            let orphans: Vec<Uuid> = orphans.collect::<rusqlite::Result<_>>()?;
            for orphan in &orphans {
                webhooks::delete(db, *orphan)?;
            }
            Ok(deleted == MOST || orphans.len() == MOST)
        })
        .await
    }
}

/// The webhooks that something waits for, each with when the first of it falls due. Jumps from one
/// to the next in the index.
fn waiting(db: &Connection) -> Result<Vec<(Uuid, Timestamp)>> {
    let mut query = db.prepare_cached(
        "WITH RECURSIVE hooks (id) AS (
             SELECT min(webhook_id) FROM webhook_deliveries WHERE state = 'pending'
             UNION ALL
             SELECT (SELECT min(webhook_id) FROM webhook_deliveries
                 WHERE state = 'pending' AND webhook_id > hooks.id)
             FROM hooks WHERE hooks.id IS NOT NULL)
         SELECT id, (SELECT min(next_attempt_at) FROM webhook_deliveries
             WHERE state = 'pending' AND webhook_id = hooks.id) AS first
         FROM hooks WHERE id IS NOT NULL",
    )?;
    let rows = query.query_map([], |row| Ok((sql::id(row, "id")?, sql::at(row, "first")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn check_owner(db: &Connection, owner: Uuid, hook: Uuid) -> Result<bool> {
    db.prepare_cached("SELECT enabled FROM webhooks WHERE id = ? AND owner = ?")?
        .query_row((Id(hook), Id(owner)), |row| row.get(0))
        .optional()?
        .ok_or_else(|| Error::not_found("webhook", hook))
}

fn check_enabled(db: &Connection, owner: Uuid, hook: Uuid) -> Result<()> {
    match check_owner(db, owner, hook)? {
        true => Ok(()),
        false => Err(Error::Disabled {
            what: "webhook",
            id: hook,
        }),
    }
}

fn load(db: &Connection, hook: Uuid, id: Uuid) -> Result<WebhookDelivery> {
    db.prepare_cached("SELECT * FROM webhook_deliveries WHERE id = ? AND webhook_id = ?")?
        .query_row((Id(id), Id(hook)), from_row)
        .optional()?
        .ok_or_else(|| Error::not_found("delivery", id))
}

fn due_from_row(row: &Row<'_>) -> rusqlite::Result<DueDelivery> {
    Ok(DueDelivery {
        id: sql::id(row, "id")?,
        hook: sql::id(row, "webhook_id")?,
        owner: sql::id(row, "owner")?,
        message: sql::id(row, "message_id")?,
        url: row.get("url")?,
        payload: row.get("payload")?,
        overlap_until: sql::at_opt(row, "overlap_until")?,
        attempts: row.get("attempts")?,
        since: sql::at(row, "since")?,
    })
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<WebhookDelivery> {
    Ok(WebhookDelivery {
        id: sql::id(row, "id")?,
        event: row.get("event")?,
        message_id: sql::id(row, "message_id")?,
        session_id: sql::id_opt(row, "session_id")?,
        turn: row.get("turn")?,
        state: sql::word(row, "state")?,
        attempts: row.get("attempts")?,
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
        last_attempt_at: sql::at_opt(row, "last_attempt_at")?,
        next_attempt_at: sql::at_opt(row, "next_attempt_at")?,
        created_at: sql::at(row, "created_at")?,
        delivered_at: sql::at_opt(row, "delivered_at")?,
    })
}
