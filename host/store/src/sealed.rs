//! Sealed values: what they are is the vault's secret, where they belong is known here.

use std::str::FromStr;

use aod_resources::{Actor, CredentialAction, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use crate::{
    NewAuditEntry, Result, Store, audit,
    sql::{self, At, Id},
};

/// What a sealed value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedKind {
    /// A header or variable of an agent's MCP server; the record is the agent, the name
    /// `mcp/<server>/headers/<Header>` or `mcp/<server>/env/<NAME>`.
    AgentMcp,
    /// A user's credential; the record is the user.
    Credential,
    /// One of an environment's `env_vars`; the record is the environment.
    EnvironmentVariable,
    /// The token of a session's repository; the record is the session.
    RepositoryToken,
    /// One of a session's `secret_env_vars`; the record is the session.
    SessionVariable,
    /// What a webhook's messages are signed with; the record is the webhook.
    WebhookSecret,
    /// A variable that a session's setup script left; the record is the session.
    SetupVariable,
}

impl SealedKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::AgentMcp,
        Self::Credential,
        Self::EnvironmentVariable,
        Self::RepositoryToken,
        Self::SessionVariable,
        Self::WebhookSecret,
        Self::SetupVariable,
    ];

    /// The word in the store, which also goes into the sealed value's binding: never changed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentMcp => "agent_mcp",
            Self::Credential => "credential",
            Self::EnvironmentVariable => "environment_variable",
            Self::RepositoryToken => "repository_token",
            Self::SessionVariable => "session_variable",
            Self::WebhookSecret => "webhook_secret",
            Self::SetupVariable => "setup_variable",
        }
    }
}

impl FromStr for SealedKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no kind of sealed value"))
    }
}

/// Where a sealed value belongs. Owner, kind, record and name are also what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedKey {
    /// Its owner.
    pub owner: Uuid,
    /// What it belongs to.
    pub kind: SealedKind,
    /// The id of what it belongs to.
    pub record: Uuid,
    /// Its name within that.
    pub name: String,
}

impl SealedKey {
    /// Of one of a webhook's secrets.
    #[must_use]
    pub fn of_webhook(owner: Uuid, hook: Uuid, name: &str) -> Self {
        Self {
            owner,
            kind: SealedKind::WebhookSecret,
            record: hook,
            name: name.to_owned(),
        }
    }
}

/// A sealed value of a record that is known from where this is used.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// What it belongs to.
    pub kind: SealedKind,
    /// Its name within the record.
    pub name: String,
    /// The ciphertext.
    pub blob: Vec<u8>,
}

impl std::fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedValue")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("blob", &format_args!("[{} bytes]", self.blob.len()))
            .finish()
    }
}

/// A sealed value as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// Where it belongs.
    pub key: SealedKey,
    /// The ciphertext.
    pub blob: Vec<u8>,
    /// When it was last set or sealed anew.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for SealedRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedRecord")
            .field("key", &self.key)
            .field("blob", &format_args!("[{} bytes]", self.blob.len()))
            .field("updated_at", &self.updated_at)
            .finish()
    }
}

/// What an update does to the sealed values of its agent or environment.
#[derive(Clone, Debug, Default)]
pub enum SecretsUpdate {
    /// They stay, and that is no change.
    #[default]
    Keep,
    /// These and no others; counts as a change, so a caller that sees that all are equal to the
    /// old ones says [`Self::Keep`].
    Replace(Vec<SealedValue>),
    /// These are added or overwritten and the others stay, for sessions that were made from
    /// earlier versions; counts as a change.
    Put(Vec<SealedValue>),
}

impl SealedRecord {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: SealedKey {
                owner: sql::id(row, "owner")?,
                kind: sql::word(row, "kind")?,
                record: sql::id(row, "record")?,
                name: row.get("name")?,
            },
            blob: row.get("blob")?,
            updated_at: sql::at(row, "updated_at")?,
        })
    }
}

impl Store {
    /// Sets one sealed value.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn put_sealed(&self, key: SealedKey, blob: Vec<u8>, at: Timestamp) -> Result<()> {
        self.write(move |db| put(db, &key, &blob, at)).await
    }

    /// Puts these sealed values in the place of all that a record has of their kind.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn replace_sealed(
        &self,
        owner: Uuid,
        kind: SealedKind,
        record: Uuid,
        values: Vec<SealedValue>,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            delete_all(db, &[kind], record)?;
            put_all(db, owner, record, values, at)
        })
        .await
    }

    /// One sealed value.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn sealed(&self, key: SealedKey) -> Result<Option<SealedRecord>> {
        self.read_row(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT * FROM sealed
                     WHERE kind = :kind AND record = :record AND name = :name AND owner = :owner",
                )?
                .query_row(
                    named_params! {
                        ":kind": key.kind.as_str(),
                        ":record": Id(key.record),
                        ":name": key.name,
                        ":owner": Id(key.owner),
                    },
                    SealedRecord::from_row,
                )
                .optional()?)
        })
        .await
    }

    /// All sealed values of a record, by name.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn list_sealed(
        &self,
        owner: Uuid,
        kind: SealedKind,
        record: Uuid,
    ) -> Result<Vec<SealedRecord>> {
        self.read_row(move |db| {
            let mut query = db.prepare_cached(
                "SELECT * FROM sealed WHERE kind = ? AND record = ? AND owner = ? ORDER BY name",
            )?;
            let records = query.query_map(
                (kind.as_str(), Id(record), Id(owner)),
                SealedRecord::from_row,
            )?;
            Ok(records.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Deletes one sealed value; false when there was none.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn delete_sealed(&self, key: SealedKey) -> Result<bool> {
        self.write(move |db| {
            let deleted = db
                .prepare_cached(
                    "DELETE FROM sealed
                     WHERE kind = :kind AND record = :record AND name = :name AND owner = :owner",
                )?
                .execute(named_params! {
                    ":kind": key.kind.as_str(),
                    ":record": Id(key.record),
                    ":name": key.name,
                    ":owner": Id(key.owner),
                })?;
            Ok(deleted > 0)
        })
        .await
    }

    /// At most `limit` sealed values of everybody, in a fixed order, from the one after `after`.
    /// What is added meanwhile may or may not be seen; a rotation goes on until a whole pass
    /// found nothing to do.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn sealed_page(
        &self,
        after: Option<SealedKey>,
        limit: u32,
    ) -> Result<Vec<SealedRecord>> {
        self.read(move |db| {
            let (kind, record, name) = match after {
                Some(key) => (key.kind.as_str(), key.record.to_string(), key.name),
                None => ("", String::new(), String::new()),
            };
            let mut query = db.prepare_cached(
                "SELECT * FROM sealed WHERE (kind, record, name) > (?, ?, ?)
                 ORDER BY kind, record, name LIMIT ?",
            )?;
            let records = query.query_map((kind, record, name, limit), SealedRecord::from_row)?;
            Ok(records.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Puts `new`, which seals the same value, where `old` is; false, with nothing changed, when
    /// something else is there by now. A credential's trail gets an entry, `rotate`, by `actor`.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn swap_sealed(
        &self,
        key: SealedKey,
        old: Vec<u8>,
        new: Vec<u8>,
        actor: Actor,
        at: Timestamp,
    ) -> Result<bool> {
        self.write(move |db| {
            let swapped = db
                .prepare_cached(
                    "UPDATE sealed SET blob = :new, updated_at = :at
                     WHERE kind = :kind AND record = :record AND name = :name
                       AND owner = :owner AND blob = :old",
                )?
                .execute(named_params! {
                    ":kind": key.kind.as_str(),
                    ":record": Id(key.record),
                    ":name": key.name,
                    ":owner": Id(key.owner),
                    ":old": old,
                    ":new": new,
                    ":at": At(at),
                })?;
            if swapped > 0 && key.kind == SealedKind::Credential {
                let entry = NewAuditEntry {
                    at,
                    owner: key.owner,
                    actor,
                    credential: key.name,
                    action: CredentialAction::Rotate,
                    session: None,
                    turn: None,
                };
                audit::append(db, &entry)?;
            }
            Ok(swapped > 0)
        })
        .await
    }
}

pub(crate) fn put(db: &Connection, key: &SealedKey, blob: &[u8], at: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO sealed (kind, record, name, owner, blob, updated_at)
         VALUES (:kind, :record, :name, :owner, :blob, :at)
         ON CONFLICT (kind, record, name)
         DO UPDATE SET owner = :owner, blob = :blob, updated_at = :at",
    )?
    .execute(named_params! {
        ":kind": key.kind.as_str(),
        ":record": Id(key.record),
        ":name": key.name,
        ":owner": Id(key.owner),
        ":blob": blob,
        ":at": At(at),
    })?;
    Ok(())
}

pub(crate) fn put_all(
    db: &Connection,
    owner: Uuid,
    record: Uuid,
    values: Vec<SealedValue>,
    at: Timestamp,
) -> Result<()> {
    for SealedValue { kind, name, blob } in values {
        let key = SealedKey {
            owner,
            kind,
            record,
            name,
        };
        put(db, &key, &blob, at)?;
    }
    Ok(())
}

/// Deletes all sealed values of a record, of the kinds given.
pub(crate) fn delete_all(db: &Connection, kinds: &[SealedKind], record: Uuid) -> Result<()> {
    for kind in kinds {
        db.prepare_cached("DELETE FROM sealed WHERE kind = ? AND record = ?")?
            .execute((kind.as_str(), Id(record)))?;
    }
    Ok(())
}
