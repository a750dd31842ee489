//! How connections are opened and set up.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Error, Result, migrate};

/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// Statements kept prepared per connection: more than the operations of this crate.
const STATEMENTS: usize = 128;

/// The connection that writes; makes and migrates the file.
pub(crate) fn writer(path: &Path) -> Result<Connection> {
    create(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Checked before anything is written to it, the journal mode included.
    migrate::check(&connection, path)?;
    use_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted or overwritten is wiped in the file, not only unlinked.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    migrate::migrate(&mut connection, path)?;
    Ok(connection)
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A connection to a file that nothing is changed about, but by those who ask for it.
pub(crate) fn plain(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// SQLite gives its WAL the database's own mode, so making the file private covers all of them.
pub(crate) fn create(path: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::Io {
            path: path.to_owned(),
            source: Arc::new(error),
        }),
        _ => Ok(()),
    }
}

/// The change of journal mode does not wait for locks as statements do, so when two processes
/// open a new file at once, one must try again.
fn use_wal(connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        let set = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match set {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(mode) => {
                return Err(Error::Corrupt {
                    detail: format!("the journal mode is {mode} and cannot be changed to WAL"),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
