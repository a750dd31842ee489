//! `/sessions/{id}/fork`, `/restore` and `/checkpoints`: sessions as they were at a turn's end.

use aod_resources::{Checkpoint, NewFork, NewRestore, Session};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::{Body, OptionalBody};
use crate::error::ApiError;
use crate::page::Listing;
use crate::path::Id;
use crate::sessions::{CreateAck, IdempotencyKey};

/// The routes of what sessions were.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(fork))
        .routes(routes!(restore))
        .routes(routes!(checkpoints))
}

/// Makes a new session of what this one was at a turn's end: its home, its workspace and its
/// conversation. This one stays what it is, and both go on.
#[utoipa::path(post, path = "/sessions/{id}/fork", tag = "sessions", request_body = Option<NewFork>,
    params(Id<Session>, IdempotencyKey),
    responses((status = 202, body = CreateAck), (status = 400), (status = 404), (status = 409)))]
async fn fork(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    key: IdempotencyKey,
    OptionalBody(Body { bytes, value }): OptionalBody<NewFork>,
) -> Result<(StatusCode, Json<CreateAck>), ApiError> {
    let key = key.request(format!("/sessions/{id}/fork"), &bytes);
    let accepted = api.sessions.fork(caller.user, id, value, key).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted.into())))
}

/// Takes a session back to a turn's end: its files and its conversation are what they were then.
/// Later turns stay in its history and are marked as `undone`.
#[utoipa::path(post, path = "/sessions/{id}/restore", tag = "sessions", request_body = NewRestore,
    params(Id<Session>),
    responses((status = 200, body = Session), (status = 400), (status = 404), (status = 409)))]
async fn restore(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Body { value, .. }: Body<NewRestore>,
) -> Result<Json<Session>, ApiError> {
    let restored = api.sessions.restore(caller.user, id, value.turn).await?;
    Ok(Json(restored))
}

/// The checkpoints of a session's turns, from which it can be copied and to which it can be taken
/// back, in the order of the turns.
#[utoipa::path(get, path = "/sessions/{id}/checkpoints", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = Listing<Checkpoint>), (status = 404)))]
async fn checkpoints(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<Listing<Checkpoint>>, ApiError> {
    let checkpoints = api.sessions.checkpoints(caller.user, id).await?;
    Ok(Json(Listing::whole(checkpoints)))
}
