//! `/sessions/{id}/stream`: the native event stream (`docs/stream.md`).

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use aod_resources::Session;
use aod_resources::schema;
use aod_resources::shape::Shape;
use aod_streams::follow::{Batch, Feed, StreamStart};
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tokio::time::{Instant, Sleep};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::native::StreamEvent;
use crate::path::Id;
use crate::problem::Problem;
use crate::query;

/// A comment is sent after so much silence, so that proxies and clients see that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The routes of streams.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stream))
}

aod_resources::input! {
    /// Where a stream begins, and whether it goes on.
    example ""
    struct Since {
        /// Resume after the event with this id; the header `Last-Event-ID` wins over it.
        optional since: Option<u64> = Shape::Integer { min: 0, max: i64::MAX },
        /// `false`: replay what there is now, and end there.
        optional follow: Option<bool> = Shape::Boolean,
    }
}

/// An id to resume after.
pub(crate) trait ResumeId: Sized {
    /// Before everything.
    const START: Self;
    /// What an id should be, for those who gave another thing.
    const SHOULD_BE: &str;
    /// Reads what a client gave.
    fn read(text: &str) -> Option<Self>;
}

impl ResumeId for u64 {
    const START: Self = 0;
    const SHOULD_BE: &str = "a non-negative whole number";

    fn read(text: &str) -> Option<Self> {
        event_id(text)
    }
}

/// Where a stream begins and whether it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume(StreamStart<u64>);

/// A non-negative whole number and nothing else: no sign, no space, nothing beyond 64 bits.
pub(crate) fn event_id(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl<S: Send + Sync> FromRequestParts<S> for Resume {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query: Since = query::read(parts).map_err(refused)?;
        let after = last_event_id(parts)?.or(query.since);
        Ok(Self(StreamStart {
            after: after.unwrap_or(u64::START),
            follow: query.follow.unwrap_or(true),
        }))
    }
}

/// `Last-Event-ID`, by which browsers resume.
///
/// # Errors
/// 400 where it is no id.
pub(crate) fn last_event_id<Id: ResumeId>(parts: &Parts) -> Result<Option<Id>, ApiError> {
    const NAME: HeaderName = HeaderName::from_static("last-event-id");
    let Some(value) = parts.headers.get(NAME) else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(Id::read) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::bad_request(format!(
            "Last-Event-ID should be {}",
            Id::SHOULD_BE
        ))),
    }
}

/// The public API's answer to a query of a stream that it cannot read: 400 with a sentence.
pub(crate) fn refused(problems: Vec<Problem>) -> ApiError {
    let sentences: Vec<String> = problems.iter().map(Problem::sentence).collect();
    ApiError::bad_request(sentences.join("; "))
}

/// `Last-Event-ID`, by which browsers resume.
struct LastEventId;

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Stream: resume after the event with this id. It wins over `since`.";
        vec![schema::header(
            "Last-Event-ID",
            about,
            &Shape::Integer {
                min: 0,
                max: i64::MAX,
            },
        )]
    }
}

/// Streams a session's events: all of them from the start, or those after an id.
#[utoipa::path(get, path = "/sessions/{id}/stream", tag = "sessions",
    params(Id<Session>, Since, LastEventId),
    responses(
        (status = 200, description = "Server-sent events. Each message has a `StreamEvent` as its data.",
            content_type = "text/event-stream", body = StreamEvent),
        (status = 400), (status = 404)))]
async fn stream(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Resume(start): Resume,
) -> Result<Response, ApiError> {
    let follower = api.sessions.follow(caller.user, id, start).await?;
    Ok(sse(follower))
}

/// A reply that writes each batch of events as it comes.
///
/// The batch arrives encoded: one frame per wake-up instead of one per event, which is what lets
/// a reader keep up with a CLI that writes as fast as it can.
pub(crate) fn sse(feed: impl Feed + 'static) -> Response {
    let body = stream::unfold((feed, Quiet::new()), |(mut feed, mut quiet)| async move {
        let bytes = tokio::select! {
            biased;
            batch = feed.next() => match batch {
                Batch::Events(bytes) => bytes,
                Batch::End => return None,
            },
            () = quiet.lasts() => Bytes::from_static(b": heartbeat\n\n"),
        };
        quiet.end();
        Some((Ok::<_, Infallible>(bytes), (feed, quiet)))
    });
    (
        [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            // nginx and its kin buffer replies unless told otherwise.
            (
                HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            ),
        ],
        Body::from_stream(body),
    )
        .into_response()
}

/// How long a stream has said nothing. One timer for all of it: what a model says in words would
/// otherwise set and clear one for each word and each of those who follow.
struct Quiet {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Quiet {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(HEARTBEAT)),
        }
    }

    /// Something was said.
    fn end(&mut self) {
        self.since = Instant::now();
    }

    /// Waits until nothing was said for [`HEARTBEAT`].
    async fn lasts(&mut self) {
        loop {
            self.timer.as_mut().await;
            let due = self.since + HEARTBEAT;
            self.timer.as_mut().reset(due);
            if due <= Instant::now() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_a_non_negative_whole_number() {
        assert_eq!(event_id("0"), Some(0));
        assert_eq!(event_id("18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "x",
            "18446744073709551616",
            "0x1",
            "١",
        ] {
            assert_eq!(event_id(bad), None, "{bad:?}");
        }
    }
}
