//! Uploads: written aside while they come, and put in their place when they are whole.

use std::fs::File;
use std::time::Duration;

use aod_resources::{FileEntry, FilePath};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::{Files, FilesError, Precondition, blocking, entry};
use crate::{Error, Result};

/// What a new file may be used for where nothing is said, and what one that can be executed may.
const PLAIN: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;

/// Why an upload did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Interrupted {
    /// Nothing came for so long.
    #[error("nothing of the request's body came for {0:?}")]
    Slow(Duration),
    /// It broke off.
    #[error("the request body ended before it was whole")]
    BrokenOff,
}

/// A file that was uploaded.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The file.
    pub entry: FileEntry,
    /// Whether nothing had its name before.
    pub is_new: bool,
}

impl Files {
    /// Writes a file in the place of the file or link that has its name, if one does. The folders
    /// on the way are made. The old file is there until the new one is whole. Whether it can be
    /// executed is as it was where nothing is said.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`]; [`Error::FullDisk`].
    pub async fn write(
        &self,
        owner: Uuid,
        session: Uuid,
        path: FilePath,
        executable: Option<bool>,
        expected: Precondition,
        mut body: impl Stream<Item = Result<Bytes, Interrupted>> + Send + Unpin,
    ) -> Result<Uploaded> {
        let workspace = self.workspace(owner, session).await?;
        let staging = self.staging.clone();
        let begun = blocking(move || staging.file().map_err(Error::internal));
        let (staged, file) = begun.await?;
        let file = receive(file, &mut body, self.limits.bytes).await?;
        let files = self.clone();
        blocking(move || {
            let named = |error| FilesError::of(error, &path);
            let written = |error| match FilesError::of(error, &path) {
                // Somebody has removed a folder on the way again.
                Error::Files(FilesError::Nothing { path }) => FilesError::Busy { path }.into(),
                error => error,
            };
            let (parent, name) = workspace.parent_of(path.as_path(), true).map_err(written)?;
            let _lock = files.lock(session);
            let was_there = files.is_as_expected((&parent, &name), &path, &expected)?;
            let before = parent.status(&name).map_err(named)?;
            let before = before.filter(|it| it.kind == aod_trees::Kind::RegularFile);
            let mode = match (executable, before) {
                (Some(true), _) => EXECUTABLE,
                (None, Some(before)) => before.mode & 0o777 | 0o600,
                _ => PLAIN,
            };
            let status = staged
                .place_file(&file, &parent, &name, mode)
                .map_err(written)?;
            Ok(Uploaded {
                entry: entry::of(&path, &status, None),
                is_new: !was_there,
            })
        })
        .await
    }
}

/// Writes a body to a file as it comes.
async fn receive(
    file: File,
    body: &mut (impl Stream<Item = Result<Bytes, Interrupted>> + Send + Unpin),
    limit: u64,
) -> Result<File> {
    let mut file = tokio::fs::File::from_std(file);
    let mut received = 0u64;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(FilesError::Interrupted)?;
        received = received.saturating_add(piece.len() as u64);
        if received > limit {
            return Err(FilesError::TooLarge(limit).into());
        }
        file.write_all(&piece).await.map_err(Error::internal)?;
    }
    // What a disk has no room for is told here at the latest.
    file.flush().await.map_err(Error::internal)?;
    Ok(file.into_std().await)
}
