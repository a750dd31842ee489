//! `/sessions/{id}/provisioning`: what the steps before a session's first turn print.

use aod_resources::schema;
use aod_resources::shape::Shape;
use aod_resources::{Session, Status};
use aod_streams::follow::StreamStart;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::events::accepts;
use crate::path::Id;
use crate::query;
use crate::stream::{last_event_id, refused, sse};
use crate::text;

/// The routes of provisioning.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(provisioning))
}

const OFFSET: Shape = Shape::Integer {
    min: 0,
    max: i64::MAX,
};

aod_resources::input! {
    /// Where the output begins.
    example ""
    struct OutputQuery {
        /// Begin at this byte. As a stream, the header `Last-Event-ID` wins over it.
        optional offset: Option<u64> = OFFSET,
        /// Stream: `false` gives what there is now, and ends there.
        optional follow: Option<bool> = Shape::Boolean,
    }
}

/// What one message of the stream has as its data.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(dead_code, reason = "the schema of what is put together as text")]
enum ProvisioningEvent {
    /// The next piece.
    Output {
        /// The text.
        text: String,
    },
    /// There will be no more.
    End {
        /// Where the session stands then.
        status: Status,
    },
}

/// How a client wants the output.
enum OutputRequest {
    Stream(StreamStart),
    Text { offset: u64 },
}

impl<S: Send + Sync> FromRequestParts<S> for OutputRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query: OutputQuery = query::read(parts).map_err(refused)?;
        let offset = query.offset.unwrap_or(0);
        if !accepts(parts, "text/event-stream") {
            return Ok(Self::Text { offset });
        }
        Ok(Self::Stream(StreamStart {
            after: last_event_id(parts)?.unwrap_or(offset),
            follow: query.follow.unwrap_or(true),
        }))
    }
}

/// `Last-Event-ID`, by which browsers resume.
struct LastEventId;

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Stream: resume behind the message with this id. It wins over `offset`.";
        vec![schema::header("Last-Event-ID", about, &OFFSET)]
    }
}

/// The output of a session's provisioning steps, its secrets redacted; empty where no step printed
/// anything.
///
/// As text, what there is by now. With `Accept: text/event-stream` as a stream: messages `output`,
/// whose ids are offsets to resume from, while provisioning goes on, and `end` once the turn runs
/// or has failed.
#[utoipa::path(get, path = "/sessions/{id}/provisioning", tag = "sessions",
    params(Id<Session>, OutputQuery, LastEventId),
    responses(
        (status = 200, description = "Each message of the stream has a `ProvisioningEvent` as its data.",
            content(
                (String = "text/plain"),
                (ProvisioningEvent = "text/event-stream"),
            )),
        (status = 400), (status = 404)))]
async fn provisioning(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    request: OutputRequest,
) -> Result<Response, ApiError> {
    let mut response = match request {
        OutputRequest::Stream(start) => {
            let user = caller.user;
            sse(api.sessions.follow_provisioning(user, id, start).await?)
        }
        OutputRequest::Text { offset } => {
            let output = api.sessions.provisioning(caller.user, id, offset).await?;
            let body = match output {
                Some((file, length)) => text::body(file, length),
                None => Body::empty(),
            };
            let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            (kind, body).into_response()
        }
    };
    let headers = response.headers_mut();
    // What a session printed is never to be taken for a page of the server's.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
