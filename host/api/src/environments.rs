//! `/environments`: what sandboxes hold.

use aod_resources::{
    Environment, EnvironmentChanges, EnvironmentDetail, EnvironmentVersion, NewEnvironment,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, Detail};
use crate::page::{Listing, Page};
use crate::path::Id;
use crate::query::Query;

/// The routes of environments.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update))
        .routes(routes!(archive))
        .routes(routes!(versions))
        .routes(routes!(delete))
}

/// Lists the caller's environments that are not archived, newest first, and what there is of their
/// packages.
#[utoipa::path(get, path = "/environments", tag = "environments", params(Page),
    responses((status = 200, body = Listing<EnvironmentDetail>), (status = 404)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Listing<EnvironmentDetail>>, ApiError> {
    let environments = api.environments.list(caller.user, page.range()).await?;
    Ok(Json(page.listing(environments, |it| it.environment.id)))
}

/// Creates an environment.
#[utoipa::path(post, path = "/environments", tag = "environments", request_body = NewEnvironment,
    responses((status = 201, body = Environment), (status = 400)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body { value, .. }: Body<NewEnvironment>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let environment = api.environments.create(caller.user, value).await?;
    Ok((StatusCode::CREATED, Json(environment)))
}

/// Reads an environment, archived or not, and what there is of its packages. Its secret variables
/// are never told.
#[utoipa::path(get, path = "/environments/{id}", tag = "environments", params(Id<Environment>),
    responses((status = 200, body = EnvironmentDetail), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Environment>,
) -> Result<Json<EnvironmentDetail>, ApiError> {
    Ok(Json(api.environments.get(caller.user, id).await?))
}

/// Changes an environment, if it is still at the version that the caller has seen.
#[utoipa::path(put, path = "/environments/{id}", tag = "environments", params(Id<Environment>),
    request_body = EnvironmentChanges,
    responses((status = 200, body = Environment), (status = 400), (status = 404), (status = 409)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Environment>,
    Body { value, .. }: Body<EnvironmentChanges>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(api.environments.update(caller.user, id, value).await?))
}

/// Archives an environment for good: hidden from lists, still readable, starts no new session.
#[utoipa::path(post, path = "/environments/{id}/archive", tag = "environments", params(Id<Environment>),
    responses((status = 200, body = Environment), (status = 404), (status = 409)))]
async fn archive(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Environment>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(api.environments.archive(caller.user, id).await?))
}

/// Every version of an environment, newest first.
#[utoipa::path(get, path = "/environments/{id}/versions", tag = "environments", params(Id<Environment>),
    responses((status = 200, body = Listing<Environment>), (status = 404)))]
async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Environment>,
) -> Result<Json<Listing<EnvironmentVersion>>, ApiError> {
    Ok(Json(Listing::whole(
        api.environments.versions(caller.user, id).await?,
    )))
}

/// Deletes an environment that no session was ever made with.
#[utoipa::path(delete, path = "/environments/{id}/delete", tag = "environments", params(Id<Environment>),
    responses((status = 200, body = Detail), (status = 404), (status = 409)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Environment>,
) -> Result<Json<Detail>, ApiError> {
    api.environments.delete(caller.user, id).await?;
    Ok(Json(Detail::new("Environment deleted")))
}
