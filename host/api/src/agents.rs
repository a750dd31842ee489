//! `/agents`: reusable templates.

use aod_resources::{Agent, AgentChanges, AgentVersion, NewAgent};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::page::{Listing, Page};
use crate::path::Id;
use crate::query::Query;

/// The routes of agents.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update))
        .routes(routes!(archive))
        .routes(routes!(versions))
}

/// Lists the caller's agents that are not archived, newest first.
#[utoipa::path(get, path = "/agents", tag = "agents", params(Page),
    responses((status = 200, body = Listing<Agent>), (status = 404)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Listing<Agent>>, ApiError> {
    let agents = api.agents.list(caller.user, page.range()).await?;
    Ok(Json(page.listing(agents, |agent| agent.id)))
}

/// Creates an agent.
#[utoipa::path(post, path = "/agents", tag = "agents", request_body = NewAgent,
    responses((status = 201, body = Agent), (status = 400), (status = 404)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body { value, .. }: Body<NewAgent>,
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let agent = api.agents.create(caller.user, value).await?;
    Ok((StatusCode::CREATED, Json(agent)))
}

/// Reads an agent, archived or not.
#[utoipa::path(get, path = "/agents/{id}", tag = "agents", params(Id<Agent>),
    responses((status = 200, body = Agent), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Agent>,
) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agents.get(caller.user, id).await?))
}

/// Changes an agent, if it is still at the version that the caller has seen.
#[utoipa::path(put, path = "/agents/{id}", tag = "agents", params(Id<Agent>), request_body = AgentChanges,
    responses((status = 200, body = Agent), (status = 400), (status = 404), (status = 409)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Agent>,
    Body { value, .. }: Body<AgentChanges>,
) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agents.update(caller.user, id, value).await?))
}

/// Archives an agent for good: hidden from lists, still readable, starts no new session.
#[utoipa::path(post, path = "/agents/{id}/archive", tag = "agents", params(Id<Agent>),
    responses((status = 200, body = Agent), (status = 404), (status = 409)))]
async fn archive(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Agent>,
) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agents.archive(caller.user, id).await?))
}

/// Every version of an agent, newest first.
#[utoipa::path(get, path = "/agents/{id}/versions", tag = "agents", params(Id<Agent>),
    responses((status = 200, body = Listing<Agent>), (status = 404)))]
async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Agent>,
) -> Result<Json<Listing<AgentVersion>>, ApiError> {
    Ok(Json(Listing::whole(
        api.agents.versions(caller.user, id).await?,
    )))
}
