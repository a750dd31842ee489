//! What was answered under an `Idempotency-Key`.

use aod_resources::Timestamp;
use rusqlite::{Connection, OptionalExtension, named_params};
use uuid::Uuid;

use crate::{
    Error, Result, Store,
    sql::{At, Id},
};

/// A request's key, and the answer to keep if the request is new.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// As the client sent it.
    pub key: String,
    /// A keyed hash of what was asked, route included.
    pub body_mac: [u8; 32],
    /// Records older than this count for nothing.
    pub not_before: Timestamp,
    /// What is answered, in the caller's own form, to answer it again.
    pub answer: String,
}

/// What came of a request that may carry an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted<T> {
    /// It was new and was carried out.
    New(T),
    /// It was carried out before; nothing was done now. This was answered then.
    Replayed(String),
}

impl Store {
    /// What was answered to that request, if it was made since `not_before`. Lets a caller
    /// answer before it validates; the operations that take an [`Idempotency`] look again inside
    /// their transactions.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when the key came with another body.
    pub async fn replay(
        &self,
        owner: Uuid,
        key: String,
        body_mac: [u8; 32],
        not_before: Timestamp,
    ) -> Result<Option<String>> {
        let found = self.read_row(move |db| find(db, owner, &key, body_mac, not_before));
        let found = found.await?;
        if found.is_some() {
            // The request itself may be waiting for the disk yet.
            self.inner.writer.settled().await?;
        }
        Ok(found)
    }

    /// Deletes records older than `before`, and says how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_idempotency(&self, before: Timestamp) -> Result<usize> {
        self.write(move |db| {
            Ok(db
                .prepare_cached("DELETE FROM idempotency WHERE created_at < ?")?
                .execute([At(before)])?)
        })
        .await
    }
}

/// Looks the request up, and writes it down when it is new.
pub(crate) fn enter(
    db: &Connection,
    owner: Uuid,
    request: Option<&Idempotency>,
    at: Timestamp,
) -> Result<Option<String>> {
    let Some(request) = request else {
        return Ok(None);
    };
    let found = find(
        db,
        owner,
        &request.key,
        request.body_mac,
        request.not_before,
    )?;
    if found.is_none() {
        db.prepare_cached(
            "INSERT OR REPLACE INTO idempotency (owner, key, body_mac, answer, created_at)
             VALUES (:owner, :key, :body_mac, :answer, :at)",
        )?
        .execute(named_params! {
            ":owner": Id(owner),
            ":key": request.key,
            ":body_mac": request.body_mac,
            ":answer": request.answer,
            ":at": At(at),
        })?;
    }
    Ok(found)
}

fn find(
    db: &Connection,
    owner: Uuid,
    key: &str,
    body_mac: [u8; 32],
    not_before: Timestamp,
) -> Result<Option<String>> {
    let found = db
        .prepare_cached(
            "SELECT body_mac, answer FROM idempotency
             WHERE owner = ? AND key = ? AND created_at >= ?",
        )?
        .query_row((Id(owner), key, At(not_before)), |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?))
        })
        .optional()?;
    match found {
        Some((mac, _)) if mac != body_mac => Err(Error::IdempotencyMismatch),
        found => Ok(found.map(|(_, answer)| answer)),
    }
}
