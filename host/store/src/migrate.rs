//! Numbered migrations over `PRAGMA user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::{Error, Result};

/// Migration `n` (from 1) takes a file from version `n - 1` to `n`. Published ones never change.
const MIGRATIONS: [&str; 15] = [
    include_str!("migrations/0001_core.sql"),
    include_str!("migrations/0002_credentials.sql"),
    include_str!("migrations/0003_answers.sql"),
    include_str!("migrations/0004_vars.sql"),
    include_str!("migrations/0005_opening.sql"),
    include_str!("migrations/0006_log_end.sql"),
    include_str!("migrations/0007_settings.sql"),
    include_str!("migrations/0008_blocks.sql"),
    include_str!("migrations/0009_sizes.sql"),
    include_str!("migrations/0010_requests.sql"),
    include_str!("migrations/0012_webhooks.sql"),
    include_str!("migrations/0014_checkpoints.sql"),
    include_str!("migrations/0016_credential_hosts.sql"),
    include_str!("migrations/0017_provider_usage.sql"),
    include_str!("migrations/0018_credential_state.sql"),
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

/// The schema version of a file that this release can take over; 0 for an empty one.
pub(crate) fn found(connection: &Connection, path: &Path) -> Result<i64> {
    version(connection, path)
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
        // What was read above may be from before another process made the file, and the tables
        // from after: then it is ours by now.
        if pragma("application_id")? == APPLICATION_ID {
            return version(connection, path);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut query = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names = query.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_version_becomes_what_a_new_file_is_and_keeps_its_rows() {
        let path = Path::new("aod.db");
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new, path).unwrap();
        for from in 0..SCHEMA_VERSION {
            let mut old = Connection::open_in_memory().unwrap();
            if from > 0 {
                migrate_to(&mut old, path, from).unwrap();
                assert_eq!(version(&old, path).unwrap(), from);
                old.execute("INSERT INTO users VALUES (1, 'id', 'ada', 0, 0)", [])
                    .unwrap();
            }
            migrate(&mut old, path).unwrap();
            assert_eq!(version(&old, path).unwrap(), SCHEMA_VERSION);
            assert_eq!(tables(&old), tables(&new));
            let users: i64 = old
                .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
                .unwrap();
            assert_eq!(users, i64::from(from > 0));
            migrate(&mut old, path).unwrap();
        }
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let path = Path::new("aod.db");
        let mut old = Connection::open_in_memory().unwrap();
        migrate_to(&mut old, path, 1).unwrap();
        // In the way of the second migration, after its first statement.
        old.execute_batch("CREATE TABLE audit (x)").unwrap();
        assert!(migrate(&mut old, path).is_err());
        assert_eq!(version(&old, path).unwrap(), 1);
        assert!(!tables(&old).contains(&"credentials".to_owned()));
        old.execute_batch("DROP TABLE audit").unwrap();
        migrate(&mut old, path).unwrap();
    }
}
