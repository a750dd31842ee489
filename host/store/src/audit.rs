//! The trail of what was done with credentials. SQLite itself refuses to change or delete its rows.

use aod_resources::{Actor, CredentialAction, Timestamp};
use rusqlite::{Connection, Row, named_params};
use uuid::Uuid;

use crate::{
    Result, Store,
    sql::{self, At, Id},
};

/// Something that was done with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When.
    pub at: Timestamp,
    /// Whose credential it is; they may read the entry.
    pub owner: Uuid,
    /// Who did it.
    pub actor: Actor,
    /// The credential's name.
    pub credential: String,
    /// What was done.
    pub action: CredentialAction,
    /// The session it was used in.
    pub session: Option<Uuid>,
    /// That session's turn.
    pub turn: Option<u32>,
}

/// An entry of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the trail; rises.
    pub seq: i64,
    /// What was done.
    pub entry: NewAuditEntry,
}

impl AuditEntry {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            entry: NewAuditEntry {
                at: sql::at(row, "at")?,
                owner: sql::id(row, "owner")?,
                actor: match row.get::<_, String>("actor")?.parse() {
                    Ok(actor) => actor,
                },
                credential: row.get("credential")?,
                action: row.get("action").map(|sql::Word(action)| action)?,
                session: sql::id_opt(row, "session_id")?,
                turn: row.get("turn")?,
            },
        })
    }
}

impl Store {
    /// Appends entries, all or none.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn append_audit(&self, entries: Vec<NewAuditEntry>) -> Result<()> {
        self.write(move |db| entries.iter().try_for_each(|entry| append(db, entry)))
            .await
    }

    /// At most `limit` of a user's entries, newest first, older than entry `before`.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn audit(
        &self,
        owner: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT * FROM audit WHERE owner = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            )?;
            let entries = query.query_map(
                (Id(owner), before.unwrap_or(i64::MAX), limit),
                AuditEntry::from_row,
            )?;
            Ok(entries.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

pub(crate) fn append(db: &Connection, entry: &NewAuditEntry) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO audit (at, owner, actor, credential, action, session_id, turn)
         VALUES (:at, :owner, :actor, :credential, :action, :session, :turn)",
    )?
    .execute(named_params! {
        ":at": At(entry.at),
        ":owner": Id(entry.owner),
        ":actor": entry.actor.to_string(),
        ":credential": entry.credential,
        ":action": entry.action.as_str(),
        ":session": entry.session.map(Id),
        ":turn": entry.turn,
    })?;
    Ok(())
}
