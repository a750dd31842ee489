//! Bodies of requests, for those that read as from a file.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt as _};
use tokio::runtime::Handle;

use super::upload::Interrupted;
use super::{FilesError, UploadLimits};
use crate::Error;

/// A body that is read where one may wait.
pub(super) struct Body<S> {
    runtime: Handle,
    stream: S,
    piece: Bytes,
    left: u64,
}

impl<S> Body<S> {
    /// A body of at most so many bytes.
    pub(super) const fn new(runtime: Handle, stream: S, limit: u64) -> Self {
        Self {
            runtime,
            stream,
            piece: Bytes::new(),
            left: limit,
        }
    }
}

/// What a body has that is longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("longer than it may be")]
struct TooLong;

impl<S: Stream<Item = Result<Bytes, Interrupted>> + Unpin> Read for Body<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
            }
            let length = self.piece.len() as u64;
            self.left = self
                .left
                .checked_sub(length)
                .ok_or_else(|| io::Error::other(TooLong))?;
        }
        let taken = to.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut to[..taken]);
        Ok(taken)
    }
}

/// What an error of reading an archive means.
pub(super) fn failed(error: io::Error, limits: &UploadLimits) -> Error {
    let mut cause = error
        .get_ref()
        .map(|it| it as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
            return FilesError::Interrupted(*interrupted).into();
        }
        if error.is::<TooLong>() {
            return FilesError::TooLarge(limits.bytes).into();
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    FilesError::Archive {
        problem: format!("it is not whole, or no tar archive ({error})"),
    }
    .into()
}
