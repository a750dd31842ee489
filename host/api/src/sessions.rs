//! `/sessions`: agents at work.

use aod_resources::{NewPrompt, NewSession, Resource, Secrets, Session, Status, Turn};
use aod_services::{Ack, Idempotent, SessionFilter};
use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::auth::Caller;
use crate::body::{Body, Field, Object, Problems};
use crate::error::{ApiError, Detail};
use crate::page::{Listing, Page};
use crate::path::ResourceId;
use crate::{Api, repository, text, variables};

/// The routes of sessions, their streams excepted.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(prompt))
        .routes(routes!(turns))
        .routes(routes!(provisioning))
        .routes(routes!(interrupt))
        .routes(routes!(terminate))
        .routes(routes!(delete))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only sessions that stand so.
    status: Option<Status>,
    /// Only sessions made from this agent.
    agent_id: Option<Uuid>,
    /// Only sessions of this runtime.
    runtime: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Filter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri).map(|Query(filter)| filter).map_err(|_| {
            ApiError::bad_request(
                "status should be one of pending, running, completed, failed, terminated, and agent_id an id",
            )
        })
    }
}

/// Lists the caller's sessions, newest first.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(Page, Filter),
    responses((status = 200, body = Listing<Session>), (status = 400), (status = 401)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    page: Page,
    filter: Filter,
) -> Result<Json<Listing<Session>>, ApiError> {
    let filter = SessionFilter {
        status: filter.status,
        agent_id: filter.agent_id,
        runtime: filter.runtime,
    };
    let sessions = api.sessions.list(caller.user, filter, page.range()).await?;
    Ok(Json(page.listing(sessions, |session| session.id)))
}

/// `Idempotency-Key`: the same key and body within 24 hours give the first answer again.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    fn request(self, route: String, body: &Body) -> Option<Idempotent> {
        let key = self.0?;
        Some(Idempotent {
            key,
            route,
            body: body.bytes.to_vec(),
        })
    }
}

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

/// An acknowledgement that was stored, as it was first given.
fn acknowledged(ack: Ack) -> Response {
    let status = StatusCode::from_u16(ack.status).unwrap_or(StatusCode::ACCEPTED);
    (status, [(CONTENT_TYPE, "application/json")], ack.body).into_response()
}

/// The reply to a new session.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the schema of what the session service wrote")]
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
#[allow(dead_code, reason = "the schema of what the session service wrote")]
struct PromptAck {
    id: Uuid,
    status: Status,
    /// Where its events are streamed.
    stream_url: String,
    current_turn: u32,
}

/// The reply to a stop.
#[derive(Debug, Serialize, ToSchema)]
struct StopAck {
    id: Uuid,
    status: Status,
}

/// Creates a session and starts its first turn.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = NewSession,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body within 24 h: the first answer again")),
    responses((status = 202, body = CreateAck), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422), (status = 429)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body,
) -> Result<Response, ApiError> {
    let problems = Problems::default();
    let new = body
        .object(&problems)
        .and_then(|object| new_session(&object));
    let new = problems.finish(new)?;
    let key = key.request("/sessions".to_owned(), &body);
    Ok(acknowledged(
        api.sessions.create(caller.user, new, key).await?,
    ))
}

/// Reads a session.
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", params(ResourceId),
    responses((status = 200, body = Session), (status = 401), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Session>, ApiError> {
    Ok(Json(api.sessions.get(caller.user, id.session()?).await?))
}

/// Starts the next turn in the same workspace.
#[utoipa::path(post, path = "/sessions/{id}/prompt", tag = "sessions", request_body = NewPrompt,
    params(ResourceId, ("Idempotency-Key" = Option<String>, Header, description = "The same key and body within 24 h: the first answer again")),
    responses((status = 202, body = PromptAck), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422), (status = 429)))]
async fn prompt(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
    key: IdempotencyKey,
    body: Body,
) -> Result<Response, ApiError> {
    let id = id.session()?;
    let problems = Problems::default();
    let new = body
        .object(&problems)
        .and_then(|object| new_prompt(&object));
    let new = problems.finish(new)?;
    let key = key.request(format!("/sessions/{id}/prompt"), &body);
    Ok(acknowledged(
        api.sessions.prompt(caller.user, id, new, key).await?,
    ))
}

/// The turns of a session, in order.
#[utoipa::path(get, path = "/sessions/{id}/turns", tag = "sessions", params(ResourceId),
    responses((status = 200, body = Listing<Turn>), (status = 401), (status = 404)))]
async fn turns(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Listing<Turn>>, ApiError> {
    Ok(Json(Listing::whole(
        api.sessions.turns(caller.user, id.session()?).await?,
    )))
}

/// The full output of a session's provisioning steps, its secrets redacted; empty where no step
/// printed anything.
#[utoipa::path(get, path = "/sessions/{id}/provisioning", tag = "sessions", params(ResourceId),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401), (status = 404)))]
async fn provisioning(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Response, ApiError> {
    let output = api
        .sessions
        .provisioning(caller.user, id.session()?)
        .await?;
    let plain = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        // What a session printed is never to be taken for a page of the server's.
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let body = match output {
        Some((file, length)) => text::body(file, length),
        None => axum::body::Body::empty(),
    };
    Ok((plain, body).into_response())
}

/// Stops the running turn and keeps the session, which then takes another prompt.
#[utoipa::path(post, path = "/sessions/{id}/interrupt", tag = "sessions", params(ResourceId),
    responses((status = 202, body = StopAck), (status = 401), (status = 404), (status = 409)))]
async fn interrupt(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<(StatusCode, Json<StopAck>), ApiError> {
    let id = id.session()?;
    let status = api.sessions.interrupt(caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json(StopAck { id, status })))
}

/// Stops a session for good: its whole process tree dies.
#[utoipa::path(post, path = "/sessions/{id}/terminate", tag = "sessions", params(ResourceId),
    responses((status = 200, body = StopAck), (status = 401), (status = 404), (status = 409)))]
async fn terminate(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<StopAck>, ApiError> {
    let id = id.session()?;
    let status = api.sessions.terminate(caller.user, id).await?;
    Ok(Json(StopAck { id, status }))
}

/// Deletes a session that neither waits nor runs, with its log and its workspace.
#[utoipa::path(delete, path = "/sessions/{id}/delete", tag = "sessions", params(ResourceId),
    responses((status = 200, body = Detail), (status = 401), (status = 404), (status = 409)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Detail>, ApiError> {
    api.sessions.delete(caller.user, id.session()?).await?;
    Ok(Json(Detail::new("Session deleted")))
}

const MAX_PROMPT: usize = 1 << 20;

fn prompt_text(field: Field<'_>) -> Option<String> {
    let prompt = field.string(1, MAX_PROMPT)?;
    if prompt.len() > MAX_PROMPT {
        field.problem(
            "string_too_long",
            "String should have at most 1048576 bytes",
        );
        return None;
    }
    if prompt.trim().is_empty() {
        field.problem(
            "string_too_short",
            "String should hold more than white space",
        );
        return None;
    }
    Some(prompt.to_owned())
}

fn timeout(field: Field<'_>) -> Option<u32> {
    field
        .integer(10, 3600)
        .and_then(|seconds| u32::try_from(seconds).ok())
}

fn new_session(object: &Object<'_>) -> Option<NewSession> {
    let mut resource_tokens = Secrets::new();
    let agent_id = object.required("agent_id", |field| field.uuid());
    let prompt = object.required("prompt", prompt_text);
    let environment_id = object.optional("environment_id", |field| field.uuid());
    let timeout = object.optional("timeout", timeout);
    let resources = object.optional("resources", |field| resources(field, &mut resource_tokens));
    let secret_env_vars = object.optional("secret_env_vars", variables::secrets);
    Some(NewSession {
        agent_id: agent_id?,
        prompt: prompt?,
        environment_id: environment_id?,
        timeout: timeout?,
        resources: resources?.unwrap_or_default(),
        secret_env_vars: secret_env_vars?.unwrap_or_default(),
        resource_tokens,
    })
}

fn new_prompt(object: &Object<'_>) -> Option<NewPrompt> {
    let prompt = object.required("prompt", prompt_text);
    let timeout = object.optional("timeout", timeout);
    Some(NewPrompt {
        prompt: prompt?,
        timeout: timeout?,
    })
}

fn resources(field: Field<'_>, tokens: &mut Secrets) -> Option<Vec<Resource>> {
    let mut index = 0;
    let resources = field.list(10, |item| {
        let position = index.to_string();
        index += 1;
        let object = item.object()?;
        object.required("type", |kind| match kind.string(0, 100)? {
            "github_repository" => Some(()),
            _ => {
                kind.problem("literal_error", "Input should be 'github_repository'");
                None
            }
        })?;
        let url = object.required("url", repository::url);
        let mount_path = object.optional("mount_path", repository::mount_path);
        let token = object.optional("authorization_token", |field| {
            field.secret().string(1, 4096).map(SecretString::from)
        });
        if let Some(token) = token? {
            tokens.insert(position, token);
        }
        Some(Resource {
            kind: "github_repository".to_owned(),
            url: url?,
            mount_path: mount_path?,
        })
    })?;
    let mut places: Vec<String> = resources.iter().map(repository::place).collect();
    places.sort_unstable();
    if let Some(pair) = places.windows(2).find(|pair| pair[0] == pair[1]) {
        field.problem(
            "value_error",
            format!("Two resources would be mounted at {:?}", pair[0]),
        );
        return None;
    }
    Some(resources)
}
