//! The embedded SQLite store: everything that is not in a session's log.
//!
//! One thread writes, a few connections read, and every operation of [`Store`] is one
//! transaction. An operation that has returned is on disk. Ids and moments come from the caller.
//! Secrets come in sealed and are opaque here.

mod agents;
mod audit;
mod backup;
mod changes;
mod checkpoints;
mod connection;
mod credentials;
mod deliveries;
mod environments;
mod error;
mod expiry;
mod idempotency;
mod maintenance;
mod migrate;
mod opening;
mod outbox;
mod questions;
mod queue;
mod readers;
mod reserve;
mod sealed;
mod sessions;
mod spending;
mod sql;
mod tokens;
mod turns;
mod users;
mod versioned;
mod webhooks;
mod writer;

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

pub use audit::{AuditEntry, NewAuditEntry};
pub use backup::{CopiedSession, Database};
pub use changes::SessionChange;
pub use checkpoints::{AtLeast, CheckpointRecord, CheckpointState, CheckpointWork, Made, Retained};
pub use credentials::{Credential, Expired, NewCredential};
pub use deliveries::{AttemptEnd, DeliveryCounts, DeliveryFilter, DueDelivery};
pub use error::{Error, Result};
pub use idempotency::{Idempotency, Submitted};
pub use migrate::SCHEMA_VERSION;
pub use queue::{Dequeued, NewQueued};
pub use sealed::{SealedKey, SealedKind, SealedRecord, SealedValue, SecretsUpdate};
pub use sessions::{
    ForkOrigin, NewSession, SESSION_SECRETS, SessionFilter, SessionRecord, StatusCounts, VersionRef,
};
pub use tokens::{NewToken, Token, TokenOwner};
pub use turns::{Ask, NewTurn, StopRequest, TurnEnd, TurnRecord, Unsettled};
pub use users::User;
pub use webhooks::{NewWebhook, WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, WebhookUpdate};
pub use writer::OnDisk;

use readers::Readers;
use reserve::Reserve;
use writer::{Durability, Writer};

/// A part of a list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// At most so many; all when absent.
    pub limit: Option<u32>,
    /// Only what comes after the record of this id.
    pub after: Option<uuid::Uuid>,
}

impl Page {
    /// SQLite takes a negative limit for none.
    fn sql_limit(&self) -> i64 {
        self.limit.map_or(-1, i64::from)
    }
}

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    readers: Readers,
    reserve: Reserve,
    changes: changes::Changes,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database file at `path`, which is made (mode 0600) or migrated as needed; its
    /// folder must exist. Blocks for as long as that takes. The store's methods need a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Error::NewerSchema`], [`Error::ForeignDatabase`] and [`Error::ForeignLog`] leave the files
    /// untouched.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opening = opening::Opening::begin(path)?;
        let connection = connection::writer(path)?;
        opening.finish(&connection)?;
        let writer = Writer::start(connection)?;
        let readers = Readers::open(path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                reserve: Reserve::beside(path),
                changes: changes::Changes::new(),
            }),
        })
    }

    /// Writes what must not fail for want of disk space.
    async fn write_at_all_costs<T, F, A>(&self, body: F, after: A) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Clone + Send + 'static,
        A: FnOnce(&T) + Clone + Send + 'static,
    {
        match self.write_then(body.clone(), after.clone()).await {
            Err(error) if error.is_full_disk() && self.inner.reserve.release() => {
                let written = self.write_then(body, after).await;
                self.inner.reserve.refill();
                written
            }
            written => written,
        }
    }

    /// Writes, and calls `after` once that is durable, whether the caller still waits or not.
    async fn write_then<T, F, A>(&self, body: F, after: A) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let writer = &self.inner.writer;
        writer.run_then(Durability::Now, body, after).await
    }

    /// Writes what a power cut may take again, as long as nothing later was forced to the disk:
    /// what can be told from the session's log, or is worth nothing without what comes later.
    async fn write_soon<T, F, A>(&self, body: F, after: A) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let writer = &self.inner.writer;
        writer.run_then(Durability::Soon, body, after).await
    }

    /// Writes, and returns once that is committed; calls `after` once it is on the disk.
    async fn write_early<T, F, A>(&self, body: F, after: A) -> Result<(T, OnDisk)>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce() + Send + 'static,
    {
        self.inner.writer.run_early(body, after).await
    }

    async fn write<T, F>(&self, body: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.write_then(body, |_| ()).await
    }

    /// Reads a few rows by key.
    async fn read_row<T, F>(&self, body: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T>,
    {
        self.inner.readers.run_here(body).await
    }

    /// Reads as many rows as there are.
    async fn read<T, F>(&self, body: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.inner.readers.run(body).await
    }
}
