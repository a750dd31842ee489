//! `/tokens`: the caller's own API tokens. A token's secret is shown once, when it is made.

use aod_resources::Timestamp;
use aod_services::users::TokenInfo;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::{Body, Object, Problems};
use crate::error::{ApiError, Detail};
use crate::page::Listing;
use crate::path::ResourceId;

/// The routes of tokens.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A new token.
#[derive(Debug, ToSchema)]
struct NewToken {
    /// A name for people, 1 to 200 characters.
    name: String,
    /// From when on it is refused; never where nothing is said.
    #[schema(required = false)]
    expires_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    info: TokenInfo,
    /// The token itself. It is not kept and cannot be shown again.
    token: String,
}

/// Lists the caller's tokens, newest first.
#[utoipa::path(get, path = "/tokens", tag = "tokens",
    responses((status = 200, body = Listing<TokenInfo>), (status = 401)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Listing<TokenInfo>>, ApiError> {
    Ok(Json(Listing::whole(api.users.tokens(caller.user).await?)))
}

/// Makes a token for the caller.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = CreatedToken), (status = 400), (status = 401), (status = 422)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    let problems = Problems::default();
    let new = body.object(&problems).and_then(|object| new_token(&object));
    let NewToken { name, expires_at } = problems.finish(new)?;
    let (info, secret) = api
        .users
        .create_token(caller.user, name, expires_at)
        .await?;
    let token = secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(CreatedToken { info, token })))
}

/// Revokes a token for good.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(ResourceId),
    responses((status = 200, body = Detail), (status = 401), (status = 404)))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Detail>, ApiError> {
    api.users.revoke_token(caller.user, id.token()?).await?;
    Ok(Json(Detail::new("Token revoked")))
}

fn new_token(object: &Object<'_>) -> Option<NewToken> {
    let name = object.required("name", |field| field.name());
    let expires_at = object.optional("expires_at", |field| {
        let text = field.string(1, 64)?;
        match serde_json::from_value(serde_json::json!(text)) {
            Ok(at) => Some(at),
            Err(_) => {
                field.problem(
                    "datetime_parsing",
                    "Input should be an RFC 3339 date and time",
                );
                None
            }
        }
    });
    Some(NewToken {
        name: name?,
        expires_at: expires_at?,
    })
}
