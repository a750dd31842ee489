//! Liveness, wiping, closing.

use rusqlite::ErrorCode;

use crate::{Error, Result, Store};

impl Store {
    /// Whether the store reads and writes: takes the write lock and gives it back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn ping(&self) -> Result<()> {
        self.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?))
            .await?;
        // A group's transaction begins immediate, so an empty operation asks for the lock.
        self.write(|_| Ok(())).await
    }

    /// Rewrites the database without its free pages and empties the write-ahead log, so that
    /// nothing that was deleted or overwritten is left in either file. Reads and writes wait
    /// meanwhile, for as long as writing the database anew takes; it needs that much disk twice.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process reads or writes meanwhile.
    pub async fn scrub(&self) -> Result<()> {
        let _paused = self.inner.readers.pause().await?;
        self.inner
            .writer
            .run_alone(|db| {
                // Not only a checkpoint: pages that SQLite rebuilt may hold remnants of cells even
                // with `secure_delete`. The copy that it makes meanwhile can be as large as the
                // database, so it goes to an unlinked file, not to memory; it holds nothing that
                // was deleted.
                db.execute_batch("PRAGMA temp_store = FILE")?;
                let rewritten = db.execute_batch("VACUUM");
                db.execute_batch("PRAGMA temp_store = MEMORY")?;
                match rewritten {
                    Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                        return Err(Error::Busy);
                    }
                    rewritten => rewritten?,
                }
                let busy: bool =
                    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                if busy { Err(Error::Busy) } else { Ok(()) }
            })
            .await
    }

    /// Finishes what was asked, takes no more, and closes the files. Other handles on the same
    /// store answer [`Error::Closed`] from then on.
    ///
    /// # Errors
    /// [`Error::Panicked`] when the closing itself did.
    pub async fn close(self) -> Result<()> {
        tokio::task::spawn_blocking(move || {
            // Readers first: the last connection to close is the one that can checkpoint.
            self.inner.readers.close();
            self.inner.writer.close();
        })
        .await
        .map_err(|_| Error::Panicked)
    }
}
