//! Numbered migrations over `PRAGMA user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::{Error, Result};

/// Migration `n` (from 1) takes a file from version `n - 1` to `n`. Published ones never change.
const MIGRATIONS: [&str; 2] = [
    include_str!("migrations/0001_core.sql"),
    include_str!("migrations/0002_credentials.sql"),
];

/// Marks the file as ours, so that another program's database is not taken for an empty one.
const APPLICATION_ID: i64 = 0x616f_6462;

/// The schema version that this release writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Refuses a file that this release cannot write, before it is touched.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    version(connection, path).map(drop)
}

/// Brings the file to [`SCHEMA_VERSION`].
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    migrate_to(connection, path, SCHEMA_VERSION)
}

fn migrate_to(connection: &mut Connection, path: &Path, target: i64) -> Result<()> {
    if version(connection, path)? == target {
        return Ok(());
    }
    // All steps in one transaction: a crash leaves the file as it was. The version is read again
    // inside, since another process may have been first.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction, path)?;
    for (number, sql) in (1..).zip(MIGRATIONS) {
        if number > found && number <= target {
            transaction.execute_batch(sql)?;
            tracing::info!(version = number, "migrated the store");
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", target)?;
    transaction.commit()?;
    Ok(())
}

/// The file's version, once it is known to be one of ours and not too new.
fn version(connection: &Connection, path: &Path) -> Result<i64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (found, application) = (pragma("user_version")?, pragma("application_id")?);
    let is_empty = || {
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
            row.get::<_, bool>(0)
        })
    };
    if application != APPLICATION_ID && !(found == 0 && application == 0 && is_empty()?) {
        return Err(Error::ForeignDatabase {
            path: path.to_owned(),
        });
    }
    if found > SCHEMA_VERSION {
        return Err(Error::NewerSchema {
            path: path.to_owned(),
            found,
            supported: SCHEMA_VERSION,
        });
    }
    Ok(found)
}
