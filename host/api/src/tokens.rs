//! `/tokens`: the caller's own API tokens. A token's secret is shown once, when it is made.

use aod_resources::shape::Shape;
use aod_resources::{NAME, Timestamp};
use aod_services::users::TokenInfo;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, Detail};
use crate::page::Listing;
use crate::path::Id;
use crate::problem::{Loc, Problem};

/// The routes of tokens.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

aod_resources::input! {
    /// A new token.
    example r#"{"name": "laptop", "expires_at": "2030-01-01T00:00:00+00:00"}"#
    pub(crate) struct NewToken {
        /// A name for people.
        required name: String = NAME,
        /// From when on it is refused; never where nothing is said.
        optional expires_at: Option<Timestamp> = Shape::Moment,
    }
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    #[serde(flatten)]
    info: TokenInfo,
    /// The token itself. It is not kept and cannot be shown again.
    token: String,
}

/// Lists the caller's tokens, newest first.
#[utoipa::path(get, path = "/tokens", tag = "tokens",
    responses((status = 200, body = Listing<TokenInfo>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Listing<TokenInfo>>, ApiError> {
    Ok(Json(Listing::whole(api.users.tokens(caller.user).await?)))
}

/// Makes a token for the caller.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = CreatedToken), (status = 400)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body { value, .. }: Body<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    create_for(&api, caller.user, value).await
}

/// Makes a token for a user.
pub(crate) async fn create_for(
    api: &Api,
    user: Uuid,
    NewToken { name, expires_at }: NewToken,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    if expires_at.is_some_and(|at| at <= Timestamp::now()) {
        let problem = Problem::new(
            "value_error",
            &Loc::Key(&Loc::Root("body"), "expires_at"),
            "Input should be in the future",
            None,
        );
        return Err(ApiError::invalid(vec![problem]));
    }
    let (info, secret) = api.users.create_token(user, name, expires_at).await?;
    let token = secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(CreatedToken { info, token })))
}

/// Revokes a token for good.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(Id<TokenInfo>),
    responses((status = 200, body = Detail), (status = 404)))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<TokenInfo>,
) -> Result<Json<Detail>, ApiError> {
    api.users.revoke_token(caller.user, id).await?;
    Ok(Json(Detail::new("Token revoked")))
}
