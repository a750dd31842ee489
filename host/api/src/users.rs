//! `/users`: who owns what there is on the server. For administrators.

use aod_resources::NAME;
use aod_resources::shape::Shape;
use aod_services::users::UserInfo;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::page::Listing;
use crate::path::Id;
use crate::tokens::{CreatedToken, NewToken, create_for};

/// The routes of users.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(create_token))
}

aod_resources::input! {
    /// A new user.
    example r#"{"name": "grace"}"#
    struct NewUser {
        /// Their name, unique.
        required name: String = NAME,
        /// Whether they may reload runtimes, read metrics and add users.
        optional admin: Option<bool> = Shape::Boolean,
    }
}

/// Lists the users, oldest first. Needs an administrator's token.
#[utoipa::path(get, path = "/users", tag = "users",
    responses((status = 200, body = Listing<UserInfo>)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Listing<UserInfo>>, ApiError> {
    caller.administrator()?;
    let users = api.users.list().await?;
    Ok(Json(Listing::whole(
        users.into_iter().map(UserInfo::from).collect(),
    )))
}

/// Adds a user, who gets in by a token that is made for them. Needs an administrator's token.
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUser,
    responses((status = 201, body = UserInfo), (status = 400), (status = 409)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body { value, .. }: Body<NewUser>,
) -> Result<(StatusCode, Json<UserInfo>), ApiError> {
    caller.administrator()?;
    let admin = value.admin.unwrap_or_default();
    let user = api.users.add(&value.name, admin).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Makes a token for a user. Its secret is shown once. Needs an administrator's token.
#[utoipa::path(post, path = "/users/{id}/tokens", tag = "users", request_body = NewToken,
    params(Id<UserInfo>),
    responses((status = 201, body = CreatedToken), (status = 400), (status = 404)))]
async fn create_token(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<UserInfo>,
    Body { value, .. }: Body<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    caller.administrator()?;
    let user = api.users.by_id(id).await?;
    create_for(&api, user.id, value).await
}
