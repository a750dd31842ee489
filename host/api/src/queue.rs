//! `/sessions/{id}/queue`: prompts that wait for the end of their session's turn.

use aod_resources::{QueuedPrompt, Session};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::{ApiError, Detail};
use crate::page::Listing;
use crate::path::{Id, InnerId};

/// The routes of queues.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(queue))
        .routes(routes!(queued, unqueue))
}

/// The prompts that wait for the end of a session's turn, in the order in which they will be begun.
#[utoipa::path(get, path = "/sessions/{id}/queue", tag = "sessions", params(Id<Session>),
    responses((status = 200, body = Listing<QueuedPrompt>), (status = 404)))]
async fn queue(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
) -> Result<Json<Listing<QueuedPrompt>>, ApiError> {
    let queue = api.sessions.queue(caller.user, id).await?;
    Ok(Json(Listing::whole(queue)))
}

/// Reads a prompt that waits. Once it is begun, it is a turn that has its id as `queued_id`.
#[utoipa::path(get, path = "/sessions/{id}/queue/{queued_id}", tag = "sessions",
    params(Id<Session>, InnerId<QueuedPrompt>),
    responses((status = 200, body = QueuedPrompt), (status = 404)))]
async fn queued(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    InnerId { id: queued, .. }: InnerId<QueuedPrompt>,
) -> Result<Json<QueuedPrompt>, ApiError> {
    Ok(Json(api.sessions.queued(caller.user, id, queued).await?))
}

/// Takes a prompt out of the queue.
#[utoipa::path(delete, path = "/sessions/{id}/queue/{queued_id}", tag = "sessions",
    params(Id<Session>, InnerId<QueuedPrompt>),
    responses((status = 200, body = Detail), (status = 404)))]
async fn unqueue(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    InnerId { id: queued, .. }: InnerId<QueuedPrompt>,
) -> Result<Json<Detail>, ApiError> {
    api.sessions.unqueue(caller.user, id, queued).await?;
    Ok(Json(Detail::new("Queued prompt removed")))
}
