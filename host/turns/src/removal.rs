//! Deleting sessions so that a crash at any moment leaves all of one or nothing.
//!
//! A note says that a session is being deleted. Its record in the store goes next, which decides
//! it, then its folder, by a rename into the trash, and the note last. A start of the host that
//! finds a note goes on from there. Folders without a record and without a note are left alone:
//! who put back an older database still has them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use uuid::Uuid;

use crate::turn::Turns;
use crate::{Error, Result};

/// A note that a session is being deleted.
#[derive(Debug)]
pub struct Removal {
    session: Uuid,
    /// None where it could not be written: on a full disk, what makes room must still be possible.
    note: Option<PathBuf>,
}

impl Removal {
    fn withdraw(&self) {
        if let Some(note) = &self.note
            && let Err(error) = fs::remove_file(note)
        {
            // The next start looks at it once more, and finds nothing to do.
            tracing::warn!(session = %self.session, %error, "a note cannot be removed");
        }
    }
}

impl Turns {
    /// Notes that a session is about to be deleted; before its record goes. The note is to be
    /// given to [`Turns::forget`] or [`Turns::keep`].
    pub async fn note_removal(&self, session: Uuid) -> Result<Removal> {
        // Two requests may delete the same session at once, and only one of them does.
        let name = format!("{session}.{}", Uuid::new_v4().simple());
        let note = self.paths().removals().join(name);
        let written = blocking({
            let note = note.clone();
            move || File::create_new(note)
        });
        Ok(Removal {
            session,
            note: match written.await? {
                Ok(_) => Some(note),
                Err(error) => {
                    tracing::warn!(%session, %error, "it cannot be noted that it is deleted");
                    None
                }
            },
        })
    }

    /// The session's record stays, and so does everything else.
    pub async fn keep(&self, removal: Removal) -> Result<()> {
        blocking(move || removal.withdraw()).await
    }

    /// Removes what is left of a session whose record is gone. How large that is makes no
    /// difference.
    ///
    /// # Errors
    /// [`Error::Internal`] where the folder cannot be moved; the next start tries again.
    pub async fn forget(&self, removal: Removal) -> Result<()> {
        let session = removal.session;
        // The terminal event may still be on its way into the log.
        self.ended(session).await;
        if let Err(error) = self.end_process(session).await {
            tracing::warn!(%session, error = %error.details(), "the process of a deleted session may go on");
        }
        self.watch().forget(session);
        self.bell().forget(session);
        self.setup_bell().forget(session);
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        let moved = blocking(move || {
            paths.discard(&trash)?;
            removal.withdraw();
            io::Result::Ok(())
        });
        moved.await?.map_err(Error::internal)
    }

    /// Removes the folder of a session that never was: nobody knows of it.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn abandon(&self, session: Uuid) -> Result<()> {
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        blocking(move || paths.discard(&trash))
            .await?
            .map_err(Error::internal)
    }
}

/// Goes on with what an earlier host was about to delete.
pub(crate) async fn resume(turns: &Turns) -> Result<()> {
    let notes = fs::read_dir(turns.paths().removals()).map_err(Error::internal)?;
    let notes: Vec<(Uuid, PathBuf)> = notes
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (session, _) = name.to_str()?.split_once('.')?;
            Some((Uuid::parse_str(session).ok()?, entry.path()))
        })
        .collect();
    if notes.is_empty() {
        return Ok(());
    }
    let known = turns.store.session_ids().await?;
    for (session, note) in notes {
        let removal = Removal {
            session,
            note: Some(note),
        };
        if known.contains(&session) {
            turns.keep(removal).await?;
            continue;
        }
        tracing::info!(%session, "going on with the deletion of a session");
        if let Err(error) = turns.forget(removal).await {
            tracing::error!(%session, error = format!("{error:#}"), "cannot remove a session");
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)
}
