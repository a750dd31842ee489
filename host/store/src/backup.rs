//! A database as it is looked at and copied from outside, whether a server uses it or not. Nothing
//! of it is migrated or changed.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

use crate::sessions::SESSION_SECRETS;
use crate::sql::Id;
use crate::{Error, Result, SCHEMA_VERSION, connection, migrate, sealed, webhooks};

/// A database file that others may be using.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Connection,
    version: i64,
}

/// A session as a copy has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedSession {
    /// Its id.
    pub id: Uuid,
    /// How many turns it has had, the current one included.
    pub turns: u32,
    /// Whether none of them waits or runs.
    pub is_settled: bool,
}

impl Database {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] and [`Error::ForeignDatabase`], among others.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = connection::reader(path)?;
        Ok(Self {
            version: migrate::found(&connection, path)?,
            path: path.to_owned(),
            connection,
        })
    }

    /// The version of its schema, at most [`SCHEMA_VERSION`].
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Copies it as it is at one moment into a file that is not there yet. Writers go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] where others hold it for too long.
    pub fn copy_to(&self, path: &Path) -> Result<Self> {
        connection::create(path)?;
        let mut copy = connection::plain(path)?;
        // All pages in one step, under one lock of a reader: no writer makes it begin anew.
        let step = Backup::new(&self.connection, &mut copy)?.step(-1)?;
        if step != StepResult::Done {
            return Err(Error::Busy);
        }
        // What is taken out of it is wiped.
        copy.pragma_update(None, "secure_delete", "ON")?;
        // A file of its own, without a log beside it.
        copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
        Ok(Self {
            path: path.to_owned(),
            connection: copy,
            version: self.version,
        })
    }

    /// Its sessions.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn sessions(&self) -> Result<Vec<CopiedSession>> {
        let mut query = self.connection.prepare(
            "SELECT id, turn_count, NOT EXISTS (
                 SELECT 1 FROM turns WHERE session_id = id AND phase <> 'ended'
             ) FROM sessions ORDER BY seq",
        )?;
        let sessions = query.query_map([], |row| {
            Ok(CopiedSession {
                id: row.get::<_, Id>(0)?.0,
                turns: row.get(1)?,
                is_settled: row.get(2)?,
            })
        })?;
        Ok(sessions.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether it has a session by now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn has_session(&self, id: Uuid) -> Result<bool> {
        let found = self
            .connection
            .query_row("SELECT 1 FROM sessions WHERE id = ?", [Id(id)], |_| Ok(()))
            .optional()?;
        Ok(found.is_some())
    }

    /// Takes a session out of a copy.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn forget_session(&self, id: Uuid) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        sealed::delete_all(&transaction, SESSION_SECRETS, id)?;
        transaction.execute("DELETE FROM sessions WHERE id = ?", [Id(id)])?;
        if self.version == SCHEMA_VERSION {
            webhooks::orphan(&transaction, id)?;
        }
        Ok(transaction.commit()?)
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes a copy, all of which is then in its one file.
    ///
    /// # Errors
    /// Where it cannot be closed.
    pub fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
