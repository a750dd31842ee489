//! `/sessions`: agents at work.

use aod_resources::schema;
use aod_resources::shape::{Pattern, Shape, Text};
use aod_resources::{NewPrompt, NewSession, Resource, Session, Status, Turn};
use aod_services::{Accepted, Created, Idempotent, SessionFilter};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, Detail};
use crate::page::{LIMIT, Listing, Page};
use crate::path::Id;
use crate::query::Query;

/// The routes of sessions, their streams excepted.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(prompt))
        .routes(routes!(turns))
        .routes(routes!(interrupt))
        .routes(routes!(terminate))
        .routes(routes!(delete))
}

aod_resources::input! {
    /// Which sessions to list.
    example ""
    struct ListQuery {
        /// The most sessions to give; all of them where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Go on after the session with this id, which `next` of the page before has.
        optional after: Option<Uuid> = Shape::Id,
        /// Only sessions that stand so.
        optional status: Option<Status> = Shape::Word(Status::WORDS),
        /// Only sessions made from this agent.
        optional agent_id: Option<Uuid> = Shape::Id,
        /// Only sessions of this runtime.
        optional runtime: Option<String> = Text::new(0, 100).shape(),
    }
}

/// Lists the caller's sessions, newest first.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(ListQuery),
    responses((status = 200, body = Listing<Session>), (status = 404)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<ListQuery>,
) -> Result<Json<Listing<Session>>, ApiError> {
    let page = Page {
        limit: wanted.limit,
        after: wanted.after,
    };
    let filter = SessionFilter {
        status: wanted.status,
        agent_id: wanted.agent_id,
        runtime: wanted.runtime,
    };
    let sessions = api.sessions.list(caller.user, filter, page.range()).await?;
    Ok(Json(page.listing(sessions, |session| session.id)))
}

/// `Idempotency-Key`: the same key and body within 24 hours give the first answer again.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    fn request(self, route: String, body: &Bytes) -> Option<Idempotent> {
        let key = self.0?;
        Some(Idempotent {
            key,
            route,
            body: body.to_vec(),
        })
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = Text::new(1, 255).like(&VISIBLE).shape();
        vec![schema::header(
            "Idempotency-Key",
            "The same key and body within 24 hours: the first answer again. The same key with another \
             body is refused with 422.",
            &text,
        )]
    }
}

/// Visible ASCII characters, and spaces between them.
static VISIBLE: Pattern = Pattern::new(
    "^[!-~]([ -~]*[!-~])?$",
    "Input should be visible ASCII characters",
);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        const NAME: HeaderName = HeaderName::from_static("idempotency-key");
        let Some(value) = parts.headers.get(NAME) else {
            return Ok(Self(None));
        };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(ApiError::bad_request(
                "Idempotency-Key should be 1 to 255 visible ASCII characters",
            )),
        }
    }
}

/// The reply to a new session.
#[derive(Debug, Serialize, ToSchema)]
struct CreateAck {
    id: Uuid,
    status: Status,
    /// Where its events are streamed.
    stream_url: String,
    environment_id: Option<Uuid>,
    resources: Vec<Resource>,
    current_turn: u32,
}

/// The reply to a next prompt.
#[derive(Debug, Serialize, ToSchema)]
struct PromptAck {
    id: Uuid,
    status: Status,
    /// Where its events are streamed.
    stream_url: String,
    current_turn: u32,
}

impl From<Accepted> for CreateAck {
    fn from(accepted: Accepted) -> Self {
        // A request with the key of one that created a session is one that did.
        let created = accepted.created.unwrap_or(Created {
            environment: None,
            resources: Vec::new(),
        });
        Self {
            id: accepted.session,
            status: Status::Pending,
            stream_url: stream_url(accepted.session),
            environment_id: created.environment,
            resources: created.resources,
            current_turn: accepted.turn,
        }
    }
}

impl From<Accepted> for PromptAck {
    fn from(accepted: Accepted) -> Self {
        Self {
            id: accepted.session,
            status: accepted.status,
            stream_url: stream_url(accepted.session),
            current_turn: accepted.turn,
        }
    }
}

fn stream_url(session: Uuid) -> String {
    format!("/sessions/{session}/stream")
}

/// The reply to a stop.
#[derive(Debug, Serialize, ToSchema)]
struct StopAck {
    id: Uuid,
    status: Status,
}

/// Creates a session and starts its first turn.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = NewSession,
    params(IdempotencyKey),
    responses((status = 202, body = CreateAck), (status = 400), (status = 404), (status = 409)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    key: IdempotencyKey,
    Body { bytes, value }: Body<NewSession>,
) -> Result<(StatusCode, Json<CreateAck>), ApiError> {
    let key = key.request("/sessions".to_owned(), &bytes);
    let accepted = api.sessions.create(caller.user, value, key).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted.into())))
}

/// Reads a session.
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = Session), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<Session>, ApiError> {
    Ok(Json(api.sessions.get(caller.user, id).await?))
}

/// Starts the next turn in the same workspace; with `when_busy: "steer"`, what is asked goes to the
/// turn that runs, if one does.
#[utoipa::path(post, path = "/sessions/{id}/prompt", tag = "sessions", request_body = NewPrompt,
    params(Id<Session>, IdempotencyKey),
    responses((status = 202, body = PromptAck), (status = 400), (status = 404), (status = 409)))]
async fn prompt(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    key: IdempotencyKey,
    Body { bytes, value }: Body<NewPrompt>,
) -> Result<(StatusCode, Json<PromptAck>), ApiError> {
    let key = key.request(format!("/sessions/{id}/prompt"), &bytes);
    let accepted = api.sessions.prompt(caller.user, id, value, key).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted.into())))
}

/// The turns of a session, in order.
#[utoipa::path(get, path = "/sessions/{id}/turns", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = Listing<Turn>), (status = 404)))]
async fn turns(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<Listing<Turn>>, ApiError> {
    Ok(Json(Listing::whole(
        api.sessions.turns(caller.user, id).await?,
    )))
}

/// Stops the running turn and keeps the session, which then takes another prompt.
#[utoipa::path(post, path = "/sessions/{id}/interrupt", tag = "sessions", params(Id<Session>),
    responses((status = 202, body = StopAck), (status = 404), (status = 409)))]
async fn interrupt(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<(StatusCode, Json<StopAck>), ApiError> {
    let status = api.sessions.interrupt(caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json(StopAck { id, status })))
}

/// Stops a session for good: its whole process tree dies.
#[utoipa::path(post, path = "/sessions/{id}/terminate", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = StopAck), (status = 404), (status = 409)))]
async fn terminate(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<StopAck>, ApiError> {
    let status = api.sessions.terminate(caller.user, id).await?;
    Ok(Json(StopAck { id, status }))
}

/// Deletes a session that neither waits nor runs, with its log and its workspace.
#[utoipa::path(delete, path = "/sessions/{id}/delete", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = Detail), (status = 404), (status = 409)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<Detail>, ApiError> {
    api.sessions.delete(caller.user, id).await?;
    Ok(Json(Detail::new("Session deleted")))
}
