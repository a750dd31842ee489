//! `/sessions`: agents at work.

use aod_resources::schema;
use aod_resources::shape::{Pattern, Shape, Text};
use aod_resources::{
    LABELS, NewPrompt, NewSession, Resource, Session, SessionChanges, Status, Turn,
};
use aod_services::{Accepted, Created, Idempotent, SessionFilter};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use bytes::Bytes;
use indexmap::IndexMap;
use secrecy::{ExposeSecret as _, SecretString};
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
        .routes(routes!(read, update))
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
        /// Only sessions whose label KEY has this value; more than one such parameter may be given.
        optional metadata: IndexMap<String, String> = LABELS,
        /// Only sessions whose title or first prompt holds this text, whatever the case of its ASCII
        /// letters.
        optional q: Option<String> = Text::new(1, 200).shape(),
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
        metadata: wanted.metadata,
        text: wanted.q,
    };
    let sessions = api.sessions.list(caller.user, filter, page.range()).await?;
    Ok(Json(page.listing(sessions, |session| session.id)))
}

/// `Idempotency-Key`: the same key and body within 24 hours give the first answer again.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    pub(crate) fn request(self, route: String, body: &Bytes) -> Option<Idempotent> {
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
pub(crate) struct CreateAck {
    id: Uuid,
    status: Status,
    /// Where its events are streamed.
    stream_url: String,
    environment_id: Option<Uuid>,
    resources: Vec<Resource>,
    /// Its first turn; null where nothing is asked yet.
    current_turn: Option<u32>,
    /// Its own webhook; absent where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    webhook: Option<SessionWebhookAck>,
}

/// The webhook of a new session.
#[derive(Debug, Serialize, ToSchema)]
struct SessionWebhookAck {
    id: Uuid,
    /// What its messages are signed with, where the request named none: shown here alone. Absent
    /// in the answer to a request that is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = String)]
    secret: Option<Shown>,
}

/// A secret that is shown to its owner.
#[derive(Debug)]
struct Shown(SecretString);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// The reply to a next prompt.
#[derive(Debug, Serialize, ToSchema)]
struct PromptAck {
    id: Uuid,
    status: Status,
    /// Where its events are streamed.
    stream_url: String,
    /// The turn that was begun; for a prompt that waits or steers, the one that is there.
    current_turn: u32,
    /// What the prompt is in the session's queue; absent where it does not wait there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    queued_id: Option<Uuid>,
}

impl From<Accepted> for CreateAck {
    fn from(accepted: Accepted) -> Self {
        // A request with the key of one that created a session is one that did.
        let created = accepted.created.unwrap_or(Created {
            environment: None,
            resources: Vec::new(),
            webhook: None,
        });
        let secret = accepted.webhook_secret.map(Shown);
        Self {
            id: accepted.session,
            status: Status::Pending,
            stream_url: stream_url(accepted.session),
            environment_id: created.environment,
            resources: created.resources,
            current_turn: (accepted.turn > 0).then_some(accepted.turn),
            webhook: created.webhook.map(|id| SessionWebhookAck { id, secret }),
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
            queued_id: accepted.queued.map(|queued| queued.id),
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

/// Creates a session and starts its first turn; without a prompt, the sandbox is provisioned at once,
/// and the session waits for one.
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

/// Changes what a session is called and labelled with.
#[utoipa::path(patch, path = "/sessions/{id}", tag = "sessions", request_body = SessionChanges,
    params(Id<Session>), responses((status = 200, body = Session), (status = 400), (status = 404)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Body { value, .. }: Body<SessionChanges>,
) -> Result<Json<Session>, ApiError> {
    Ok(Json(api.sessions.update(caller.user, id, value).await?))
}

/// Starts the next turn in the same workspace. Where a turn waits or runs, `when_busy: "queue"` has
/// the prompt wait for its end, and with `"steer"` what is asked goes to the turn that runs.
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
