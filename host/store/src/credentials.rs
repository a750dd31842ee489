//! Users' registered credentials. Their values are sealed under [`SealedKind::Credential`].

use aod_resources::{Actor, CredentialAction, CredentialKind, Timestamp, WebhookEvent};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, NewAuditEntry, Result, SealedKey, SealedKind, Store, audit,
    outbox::{self, NewMessage},
    sealed,
    sql::{self, At, Id, Json},
};

/// A credential without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Whose it is.
    pub owner: Uuid,
    /// Its name, unique among its owner's.
    pub name: String,
    /// Its kind.
    pub kind: CredentialKind,
    /// The hosts that it is for; empty: it enters sandboxes.
    pub hosts: Vec<String>,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its value was last set.
    pub updated_at: Timestamp,
    /// When a turn was last given it.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is a login that cannot be renewed, and why.
    pub expired: Option<Expired>,
    /// When a renewal was asked for whose answer is not kept yet.
    pub renewing_since: Option<Timestamp>,
}

/// That a login cannot be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Since when that is known.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
}

/// A credential to set.
#[derive(Clone)]
pub struct NewCredential {
    /// Whose it is.
    pub owner: Uuid,
    /// Its name, unique among its owner's.
    pub name: String,
    /// Its kind.
    pub kind: CredentialKind,
    /// The hosts that it is for; none: those that it has, where it is there already.
    pub hosts: Option<Vec<String>>,
    /// Its value, sealed for [`NewCredential::key`].
    pub blob: Vec<u8>,
    /// Now.
    pub at: Timestamp,
}

impl NewCredential {
    /// Where its value belongs.
    pub fn key(&self) -> SealedKey {
        Credential::key(self.owner, &self.name)
    }
}

impl std::fmt::Debug for NewCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCredential")
            .field("owner", &self.owner)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Where the value of a user's credential belongs.
    pub fn key(owner: Uuid, name: impl Into<String>) -> SealedKey {
        SealedKey {
            owner,
            kind: SealedKind::Credential,
            record: owner,
            name: name.into(),
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            owner: sql::id(row, "owner")?,
            name: row.get("name")?,
            kind: row.get("kind").map(|sql::Word(kind)| kind)?,
            hosts: row.get("hosts").map(|Json(hosts)| hosts)?,
            created_at: sql::at(row, "created_at")?,
            updated_at: sql::at(row, "updated_at")?,
            last_used_at: sql::at_opt(row, "last_used_at")?,
            expired: match sql::at_opt(row, "expired_at")? {
                Some(at) => {
                    let reason: Option<String> = row.get("expired_reason")?;
                    let reason = reason.unwrap_or_default();
                    Some(Expired { at, reason })
                }
                None => None,
            },
            renewing_since: sql::at_opt(row, "renewing_since")?,
        })
    }
}

impl Store {
    /// Sets a credential, its sealed value and the entry in its trail in one transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn put_credential(&self, new: NewCredential, actor: Actor) -> Result<Credential> {
        self.write(move |db| {
            let known: bool = db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM credentials WHERE owner = ? AND name = ?)",
                )?
                .query_row((Id(new.owner), &new.name), |row| row.get(0))?;
            let credential = db
                .prepare_cached(
                    "INSERT INTO credentials (owner, name, kind, hosts, created_at, updated_at)
                     VALUES (:owner, :name, :kind, coalesce(:hosts, '[]'), :at, :at)
                     ON CONFLICT (owner, name) DO UPDATE SET
                        kind = :kind, hosts = coalesce(:hosts, hosts), updated_at = :at,
                        expired_at = NULL, expired_reason = NULL, renewing_since = NULL
                     RETURNING *",
                )?
                .query_row(
                    named_params! {
                        ":owner": Id(new.owner),
                        ":name": new.name,
                        ":kind": new.kind.as_str(),
                        ":hosts": new.hosts.as_ref().map(Json),
                        ":at": At(new.at),
                    },
                    Credential::from_row,
                )?;
            sealed::put(db, &new.key(), &new.blob, new.at)?;
            audit::append(
                db,
                &NewAuditEntry {
                    at: new.at,
                    owner: new.owner,
                    actor,
                    credential: new.name,
                    action: match known {
                        true => CredentialAction::Update,
                        false => CredentialAction::Create,
                    },
                    session: None,
                    turn: None,
                },
            )?;
            Ok(credential)
        })
        .await
    }

    /// One of a user's credentials.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn credential(&self, owner: Uuid, name: String) -> Result<Credential> {
        self.read_row(move |db| {
            db.prepare_cached("SELECT * FROM credentials WHERE owner = ? AND name = ?")?
                .query_row((Id(owner), &name), Credential::from_row)
                .optional()?
                .ok_or_else(|| Error::not_found("credential", name))
        })
        .await
    }

    /// A user's credentials, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_credentials(&self, owner: Uuid) -> Result<Vec<Credential>> {
        self.read_row(move |db| {
            let mut query =
                db.prepare_cached("SELECT * FROM credentials WHERE owner = ? ORDER BY name")?;
            let rows = query.query_map([Id(owner)], Credential::from_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that a turn was given credentials, in their rows and in their trail. Where one was
    /// deleted since the turn opened it, the trail alone tells of it. A power cut at this moment may
    /// take the note, and then takes the turn with it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn use_credentials(
        &self,
        owner: Uuid,
        names: Vec<String>,
        actor: Actor,
        session: Uuid,
        turn: u32,
        at: Timestamp,
    ) -> Result<()> {
        let note = move |db: &rusqlite::Connection| {
            for name in names {
                db.prepare_cached(
                    "UPDATE credentials SET last_used_at = ?3 WHERE owner = ?1 AND name = ?2",
                )?
                .execute((Id(owner), &name, At(at)))?;
                let entry = NewAuditEntry {
                    at,
                    owner,
                    actor: actor.clone(),
                    credential: name,
                    action: CredentialAction::Use,
                    session: Some(session),
                    turn: Some(turn),
                };
                audit::append(db, &entry)?;
            }
            Ok(())
        };
        self.write_soon(note, |()| ()).await
    }

    /// Puts the sealed value of a renewed credential where `old` is; false, with nothing changed,
    /// when something else is there by now. Its trail says that a session has set it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn renew_credential(
        &self,
        key: SealedKey,
        old: Vec<u8>,
        new: Vec<u8>,
        at: Timestamp,
    ) -> Result<bool> {
        let renew = move |db: &Connection| {
            let found: Option<Vec<u8>> = db
                .prepare_cached(
                    "SELECT blob FROM sealed
                     WHERE kind = ? AND record = ? AND name = ? AND owner = ?",
                )?
                .query_row(
                    (key.kind.as_str(), Id(key.record), &key.name, Id(key.owner)),
                    |row| row.get(0),
                )
                .optional()?;
            if found.as_ref() != Some(&old) {
                return Ok(false);
            }
            sealed::put(db, &key, &new, at)?;
            db.prepare_cached(
                "UPDATE credentials SET updated_at = ?, expired_at = NULL, expired_reason = NULL,
                     renewing_since = NULL
                 WHERE owner = ? AND name = ?",
            )?
            .execute((At(at), Id(key.owner), &key.name))?;
            audit::append(
                db,
                &NewAuditEntry {
                    at,
                    owner: key.owner,
                    actor: Actor::Session,
                    credential: key.name,
                    action: CredentialAction::Update,
                    session: None,
                    turn: None,
                },
            )?;
            Ok(true)
        };
        // Its provider may take the old one no more.
        self.write_at_all_costs(renew, |_| ()).await
    }

    /// Notes that a renewal of a credential is asked for, or that its answer has come and gives no
    /// other value (`None`).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn note_renewal(
        &self,
        owner: Uuid,
        name: String,
        since: Option<Timestamp>,
    ) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE credentials SET renewing_since = ?3 WHERE owner = ?1 AND name = ?2",
            )?
            .execute((Id(owner), &name, since.map(At)))?;
            Ok(())
        })
        .await
    }

    /// Renewals that were asked for and whose answers are not kept: whose, of which credential, and
    /// since when.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn lost_renewals(&self) -> Result<Vec<(Uuid, String, Timestamp)>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT owner, name, renewing_since FROM credentials
                 WHERE renewing_since IS NOT NULL",
            )?;
            let rows = query.query_map([], |row| {
                let since = sql::at(row, "renewing_since")?;
                Ok((sql::id(row, "owner")?, row.get("name")?, since))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that a login cannot be renewed, and tells webhooks, once until it can or is set anew;
    /// whether it was not known before. `session` and `turn` have met it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn expire_credential(
        &self,
        owner: Uuid,
        name: String,
        reason: String,
        (session, turn): (Uuid, u32),
        at: Timestamp,
    ) -> Result<bool> {
        let told = self.told();
        let expire = move |db: &Connection| {
            let is_new = db
                .prepare_cached(
                    "UPDATE credentials
                     SET expired_at = coalesce(expired_at, :at), expired_reason = :reason,
                         renewing_since = NULL
                     WHERE owner = :owner AND name = :name
                     RETURNING expired_at = :at",
                )?
                .query_row(
                    named_params! {
                        ":owner": Id(owner), ":name": name, ":reason": reason, ":at": At(at),
                    },
                    |row| row.get(0),
                )
                .optional()?;
            // One that was deleted meanwhile is nobody's any more.
            if is_new != Some(true) {
                return Ok(false);
            }
            let message = NewMessage {
                owner,
                session,
                turn,
                event: WebhookEvent::CredentialExpired,
                // One that is set anew may expire again.
                name: &format!("{name}/{}", at.as_micros()),
                at,
            };
            outbox::tell(db, &message, || {
                Ok(json!({
                    "credential": name,
                    "reason": reason,
                    "expired_at": at,
                    "session_id": session,
                    "turn": turn,
                    "truncated": false,
                }))
            })?;
            Ok(true)
        };
        let after = move |is_new: &bool| {
            if *is_new {
                told.outbox();
            }
        };
        self.write_then(expire, after).await
    }

    /// Deletes a credential with its sealed value, and says so in its trail.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_credential(
        &self,
        owner: Uuid,
        name: String,
        actor: Actor,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            let deleted = db
                .prepare_cached("DELETE FROM credentials WHERE owner = ? AND name = ?")?
                .execute((Id(owner), &name))?;
            if deleted == 0 {
                return Err(Error::not_found("credential", name));
            }
            db.prepare_cached("DELETE FROM sealed WHERE kind = ? AND record = ? AND name = ?")?
                .execute((SealedKind::Credential.as_str(), Id(owner), &name))?;
            audit::append(
                db,
                &NewAuditEntry {
                    at,
                    owner,
                    actor,
                    credential: name,
                    action: CredentialAction::Delete,
                    session: None,
                    turn: None,
                },
            )
        })
        .await
    }
}
