//! What agents and environments have in common: a head, a body per version, archiving.

use aod_resources::{Agent, Environment, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Error, Page, Result, SealedKind, SecretsUpdate,
    error::is_duplicate,
    sealed,
    sql::{self, At, Id, Json},
};

/// A resource that is kept in all its versions.
pub(crate) trait Versioned: Clone + PartialEq + Serialize + DeserializeOwned {
    /// What errors call it.
    const WHAT: &'static str;
    /// The table of heads; the bodies' is `VERSIONS`.
    const HEADS: &'static str;
    /// The table of bodies.
    const VERSIONS: &'static str;
    /// The sealed values that belong to it.
    const SEALED: &'static [SealedKind];

    /// The part that the head keeps, to read and to set.
    fn head(&mut self) -> Head<'_>;
}

/// The fields that no update sets directly.
pub(crate) struct Head<'a> {
    pub id: &'a mut Uuid,
    pub version: &'a mut i64,
    pub archived_at: &'a mut Option<Timestamp>,
    pub created_at: &'a mut Timestamp,
    pub updated_at: &'a mut Timestamp,
}

macro_rules! versioned {
    ($type:ty, $what:literal, $heads:literal, $versions:literal, $sealed:expr) => {
        impl Versioned for $type {
            const WHAT: &'static str = $what;
            const HEADS: &'static str = $heads;
            const VERSIONS: &'static str = $versions;
            const SEALED: &'static [SealedKind] = $sealed;

            fn head(&mut self) -> Head<'_> {
                Head {
                    id: &mut self.id,
                    version: &mut self.version,
                    archived_at: &mut self.archived_at,
                    created_at: &mut self.created_at,
                    updated_at: &mut self.updated_at,
                }
            }
        }
    };
}

versioned!(
    Agent,
    "agent",
    "agents",
    "agent_versions",
    &[SealedKind::AgentMcp]
);
versioned!(
    Environment,
    "environment",
    "environments",
    "environment_versions",
    &[SealedKind::EnvironmentVariable]
);

pub(crate) fn create<T: Versioned>(
    db: &Connection,
    owner: Uuid,
    mut new: T,
    secrets: Vec<crate::SealedValue>,
) -> Result<T> {
    let head = new.head();
    *head.version = 1;
    *head.archived_at = None;
    *head.updated_at = *head.created_at;
    let (id, at) = (*head.id, *head.created_at);
    let added = db
        .prepare_cached(&format!(
            "INSERT INTO {} (id, owner, version, created_at, updated_at)
             VALUES (:id, :owner, 1, :at, :at)",
            T::HEADS
        ))?
        .execute(named_params! { ":id": Id(id), ":owner": Id(owner), ":at": At(at) });
    match added {
        Err(error) if is_duplicate(&error) => {
            return Err(Error::AlreadyExists {
                what: T::WHAT,
                name: id.to_string(),
            });
        }
        added => added?,
    };
    add_version(db, id, 1, at, &new)?;
    sealed::put_all(db, owner, id, secrets, at)?;
    Ok(new)
}

pub(crate) fn get<T: Versioned>(db: &Connection, owner: Uuid, id: Uuid) -> Result<T> {
    db.prepare_cached(&format!(
        "{} WHERE head.id = ? AND head.owner = ?",
        select::<T>()
    ))?
    .query_row((Id(id), Id(owner)), from_row)
    .optional()?
    .ok_or_else(|| Error::not_found(T::WHAT, id))
}

pub(crate) fn list<T: Versioned>(db: &Connection, owner: Uuid, page: Page) -> Result<Vec<T>> {
    let after = match page.after {
        Some(id) => Some(seq::<T>(db, owner, id)?),
        None => None,
    };
    let mut query = db.prepare_cached(&format!(
        "{} WHERE head.owner = ?1 AND head.archived_at IS NULL AND head.seq < ?2
         ORDER BY head.seq DESC LIMIT ?3",
        select::<T>()
    ))?;
    let rows = query.query_map(
        (Id(owner), after.unwrap_or(i64::MAX), page.sql_limit()),
        from_row,
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Where a record stands in the order of arrival.
fn seq<T: Versioned>(db: &Connection, owner: Uuid, id: Uuid) -> Result<i64> {
    db.prepare_cached(&format!(
        "SELECT seq FROM {} WHERE id = ? AND owner = ?",
        T::HEADS
    ))?
    .query_row((Id(id), Id(owner)), |row| row.get(0))
    .optional()?
    .ok_or_else(|| Error::not_found(T::WHAT, id))
}

/// Puts `new` in the place of `expected_version`. Its head fields other than the id are ignored.
pub(crate) fn update<T: Versioned>(
    db: &Connection,
    owner: Uuid,
    expected_version: i64,
    mut new: T,
    secrets: SecretsUpdate,
    at: Timestamp,
) -> Result<T> {
    let id = *new.head().id;
    let mut old: T = get(db, owner, id)?;
    let head = old.head();
    if head.archived_at.is_some() {
        return Err(Error::Archived { what: T::WHAT, id });
    }
    let version = *head.version;
    if version != expected_version {
        return Err(Error::VersionMismatch {
            expected: version,
            got: expected_version,
        });
    }
    let to = new.head();
    *to.version = version;
    *to.archived_at = None;
    *to.created_at = *head.created_at;
    *to.updated_at = *head.updated_at;
    if new == old && matches!(secrets, SecretsUpdate::Keep) {
        return Ok(old);
    }

    let to = new.head();
    *to.version = version + 1;
    *to.updated_at = at;
    db.prepare_cached(&format!(
        "UPDATE {} SET version = ?2, updated_at = ?3 WHERE id = ?1",
        T::HEADS
    ))?
    .execute((Id(id), version + 1, At(at)))?;
    add_version(db, id, version + 1, at, &new)?;
    match secrets {
        SecretsUpdate::Keep => {}
        SecretsUpdate::Put(values) => sealed::put_all(db, owner, id, values, at)?,
        SecretsUpdate::Replace(values) => {
            sealed::delete_all(db, T::SEALED, id)?;
            sealed::put_all(db, owner, id, values, at)?;
        }
    }
    Ok(new)
}

pub(crate) fn archive<T: Versioned>(
    db: &Connection,
    owner: Uuid,
    id: Uuid,
    at: Timestamp,
) -> Result<T> {
    let mut it: T = get(db, owner, id)?;
    let head = it.head();
    if head.archived_at.is_some() {
        return Err(Error::Archived { what: T::WHAT, id });
    }
    *head.archived_at = Some(at);
    *head.updated_at = at;
    db.prepare_cached(&format!(
        "UPDATE {} SET archived_at = ?2, updated_at = ?2 WHERE id = ?1",
        T::HEADS
    ))?
    .execute((Id(id), At(at)))?;
    Ok(it)
}

/// All versions, newest first.
pub(crate) fn versions<T: Versioned>(db: &Connection, owner: Uuid, id: Uuid) -> Result<Vec<T>> {
    seq::<T>(db, owner, id)?;
    let mut query = db.prepare_cached(&format!(
        "SELECT body FROM {} WHERE id = ? ORDER BY version DESC",
        T::VERSIONS
    ))?;
    let rows = query.query_map([Id(id)], |row| row.get(0).map(|Json(body)| body))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What the resource was at one version, whoever owns it.
pub(crate) fn at_version<T: Versioned>(db: &Connection, id: Uuid, version: i64) -> Result<T> {
    db.prepare_cached(&format!(
        "SELECT body FROM {} WHERE id = ? AND version = ?",
        T::VERSIONS
    ))?
    .query_row((Id(id), version), |row| row.get(0).map(|Json(body)| body))
    .optional()?
    .ok_or_else(|| Error::not_found(T::WHAT, format!("{id} version {version}")))
}

fn add_version<T: Versioned>(
    db: &Connection,
    id: Uuid,
    version: i64,
    at: Timestamp,
    body: &T,
) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT INTO {} (id, version, created_at, body) VALUES (?, ?, ?, ?)",
        T::VERSIONS
    ))?
    .execute((Id(id), version, At(at), Json(body)))?;
    Ok(())
}

fn select<T: Versioned>() -> String {
    format!(
        "SELECT head.*, body FROM {} AS head JOIN {} AS present
         ON present.id = head.id AND present.version = head.version",
        T::HEADS,
        T::VERSIONS
    )
}

fn from_row<T: Versioned>(row: &Row<'_>) -> rusqlite::Result<T> {
    let Json(mut it): Json<T> = row.get("body")?;
    // Archiving is no version, so only the head knows of it.
    let head = it.head();
    *head.archived_at = sql::at_opt(row, "archived_at")?;
    *head.updated_at = sql::at(row, "updated_at")?;
    Ok(it)
}
