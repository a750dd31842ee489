//! Users.

use aod_resources::Timestamp;
use rusqlite::{OptionalExtension, Row, named_params};
use uuid::Uuid;

use crate::{
    Error, Result, Store,
    error::is_duplicate,
    sql::{self, At, Id},
};

/// Somebody who owns agents, environments, sessions and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// Their name, unique.
    pub name: String,
    /// Whether they may reload runtimes and read metrics.
    pub admin: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

impl User {
    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: sql::id(row, "id")?,
            name: row.get("name")?,
            admin: row.get("admin")?,
            created_at: sql::at(row, "created_at")?,
        })
    }
}

impl Store {
    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken.
    pub async fn create_user(&self, user: User) -> Result<User> {
        self.write(move |db| {
            let added = db
                .prepare_cached(
                    "INSERT INTO users (id, name, admin, created_at)
                     VALUES (:id, :name, :admin, :created_at)",
                )?
                .execute(named_params! {
                    ":id": Id(user.id),
                    ":name": user.name,
                    ":admin": user.admin,
                    ":created_at": At(user.created_at),
                });
            match added {
                Ok(_) => Ok(user),
                Err(error) if is_duplicate(&error) => Err(Error::AlreadyExists {
                    what: "user",
                    name: user.name,
                }),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// The user of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_by_name(&self, name: impl Into<String>) -> Result<User> {
        let name = name.into();
        self.read_row(move |db| {
            db.prepare_cached("SELECT * FROM users WHERE name = ?")?
                .query_row([&name], User::from_row)
                .optional()?
                .ok_or_else(|| Error::not_found("user", name))
        })
        .await
    }

    /// The user of that id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user(&self, id: Uuid) -> Result<User> {
        self.read_row(move |db| {
            db.prepare_cached("SELECT * FROM users WHERE id = ?")?
                .query_row([Id(id)], User::from_row)
                .optional()?
                .ok_or_else(|| Error::not_found("user", id))
        })
        .await
    }

    /// All users, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_users(&self) -> Result<Vec<User>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT * FROM users ORDER BY seq")?;
            let users = query.query_map([], User::from_row)?;
            Ok(users.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
