//! `/sessions/{id}/stream`: the native event stream.

use std::convert::Infallible;
use std::time::Duration;

use aod_streams::follow::{Batch, Feed, StreamStart};
use axum::body::Body;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::path::ResourceId;

/// A comment is sent after so much silence, so that proxies and clients see that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The routes of streams.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stream))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the schema of what `Resume` reads by hand")]
struct Since {
    /// Resume after the event with this id; the header `Last-Event-ID` wins over it.
    since: Option<u64>,
    /// `false`: replay what there is now, and end there.
    follow: Option<bool>,
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
pub(crate) struct Resume<Id = u64>(pub(crate) StreamStart<Id>);

#[derive(Deserialize)]
struct Raw {
    since: Option<String>,
    follow: Option<String>,
}

/// A non-negative whole number and nothing else: no sign, no space, nothing beyond 64 bits.
pub(crate) fn event_id(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl<S: Send + Sync, Id: ResumeId> FromRequestParts<S> for Resume<Id> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
        let Query(raw) = Query::<Raw>::try_from_uri(&parts.uri).map_err(|_| {
            ApiError::bad_request(
                "the query cannot be read: since and follow may each be given once",
            )
        })?;
        let read = |name: &str, text: Option<&str>| {
            text.and_then(Id::read)
                .ok_or_else(|| ApiError::bad_request(format!("{name} should be {}", Id::SHOULD_BE)))
        };
        let after = match (parts.headers.get(LAST_EVENT_ID), &raw.since) {
            (Some(value), _) => read("Last-Event-ID", value.to_str().ok())?,
            (None, Some(since)) => read("since", Some(since))?,
            (None, None) => Id::START,
        };
        let follow = match raw.follow.as_deref() {
            None | Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(_) => return Err(ApiError::bad_request("follow should be true or false")),
        };
        Ok(Self(StreamStart { after, follow }))
    }
}

/// Streams a session's events: all of them from the start, or those after an id.
#[utoipa::path(get, path = "/sessions/{id}/stream", tag = "sessions",
    params(ResourceId, Since, ("Last-Event-ID" = Option<u64>, Header, description = "Resume after the event with this id")),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400), (status = 401), (status = 404)))]
async fn stream(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
    Resume(start): Resume,
) -> Result<Response, ApiError> {
    let follower = api
        .sessions
        .follow(caller.user, id.session()?, start)
        .await?;
    Ok(sse(follower))
}

/// A reply that writes each batch of events as it comes.
///
/// The batch arrives encoded: one frame per wake-up instead of one per event, which is what lets
/// a reader keep up with a CLI that writes as fast as it can.
pub(crate) fn sse(feed: impl Feed + 'static) -> Response {
    let body = stream::unfold(feed, |mut feed| async move {
        let bytes = match tokio::time::timeout(HEARTBEAT, feed.next()).await {
            Err(_) => Bytes::from_static(b": heartbeat\n\n"),
            Ok(Batch::Events(bytes)) => bytes,
            Ok(Batch::End) => return None,
        };
        Some((Ok::<_, Infallible>(bytes), feed))
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
