//! Bodies of uploads, handed on as they come.

use std::pin::Pin;

use aod_services::files::Interrupted;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Limits;
use crate::error::ApiError;

/// How many pieces may wait to be written.
const WAITING: usize = 8;
/// How much of an upload that was refused is read and thrown away: a connection that is closed while
/// its client still writes is reset, and the client never sees the reply.
const DRAINED: u64 = 64 << 20;

/// Whether a body is an archive to be unpacked, by its type where the client does not say so.
///
/// # Errors
/// 415: it is encoded in a way that would be stored as it is. 400: it is a part of a file, which
/// would take the place of the whole (RFC 9110, section 14.5).
pub(super) fn is_archive(headers: &HeaderMap, asked: Option<bool>) -> Result<bool, ApiError> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(ApiError::bad_request(
            "Content-Range: a file is uploaded as a whole; send all of it",
        ));
    }
    let text = |name| headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    let kind = text(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let types = [
        "application/x-tar",
        "application/tar",
        "application/zstd",
        "application/x-zstd",
        "application/x-tar+zstd",
    ];
    let is_archive = asked.unwrap_or_else(|| types.contains(&kind.as_str()));
    match text(CONTENT_ENCODING)
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("" | "identity") => Ok(is_archive),
        // An archive says by its first bytes what it is.
        Some("zstd") if is_archive => Ok(true),
        Some(_) => Err(ApiError::other(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: files are kept as they are sent; send it without an encoding",
        )),
    }
}

/// A body as it comes.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Interrupted>> + Send>>;

/// What is left of a body.
pub(super) struct Rest(JoinHandle<()>);

impl Rest {
    /// What came of a body. Where it was refused, this waits until the rest of it is thrown away, or
    /// enough of that: only then may its request be answered.
    pub(super) async fn settle<T, E>(self, came_of: Result<T, E>) -> Result<T, E> {
        if came_of.is_err() {
            // It cannot panic.
            let _ = self.0.await;
        }
        came_of
    }
}

/// The body, in pieces, and what is left of it once these are dropped.
///
/// # Errors
/// 413 before anything of it was read, where it says itself that it is too large and its client
/// waits for leave.
pub(super) fn body(request: Request, limit: u64) -> Result<(Pieces, Rest), ApiError> {
    let patience = request
        .extensions()
        .get::<Limits>()
        .and_then(|limits| limits.body_timeout);
    let waits = request.headers().contains_key(EXPECT);
    if waits && request.body().size_hint().lower() > limit {
        return Err(
            aod_services::Error::from(aod_services::files::FilesError::TooLarge(limit)).into(),
        );
    }
    let mut pieces = request.into_body().into_data_stream();
    let (sender, receiver) = mpsc::channel(WAITING);
    // It ends with the request, or when it has thrown away enough of it.
    let rest = tokio::spawn(async move {
        let mut thrown_away = 0;
        while thrown_away < DRAINED {
            let next = match patience {
                Some(patience) => match timeout(patience, pieces.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        let _ = sender.send(Err(Interrupted::Slow(patience))).await;
                        return;
                    }
                },
                None => pieces.next().await,
            };
            let piece = match next {
                None => return,
                Some(Ok(piece)) => piece,
                Some(Err(_)) => {
                    let _ = sender.send(Err(Interrupted::BrokenOff)).await;
                    return;
                }
            };
            let length = piece.len() as u64;
            if sender.send(Ok(piece)).await.is_err() {
                thrown_away += length;
            }
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    // Whoever reads it to its end may ask once more.
    Ok((Box::pin(pieces.fuse()), Rest(rest)))
}
