//! `/credentials`: the caller's registered credentials. Values go in and never come out.

use aod_resources::shape::{Shape, Text};
use aod_resources::{CREDENTIAL_HOSTS, NOT_BLANK};
use aod_services::credentials::{CredentialEvent, CredentialInfo, Registered};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, Detail};
use crate::page::{LIMIT, Listing};
use crate::query::Query;

/// The routes of credentials.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(trail))
        .routes(routes!(read, set, delete))
}

aod_resources::input! {
    /// A credential's value.
    example r#"{"value": "sk-…", "hosts": ["api.example.com"]}"#
    pub(crate) struct NewValue {
        /// The value, at most 64 KiB. It goes in, never out.
        required value: SecretString = Text::new(1, 64 << 10).in_bytes().like(&NOT_BLANK).secret().shape(),
        /// For `env:<NAME>`: the hosts that it is for. Sandboxes then have a placeholder in the
        /// variable, and requests to these hosts, over TLS, have the value instead: in any header,
        /// in `Basic` credentials, or as a parameter of the query. A host is one name, with a port
        /// where that is not 443. Where nothing is said, a credential keeps its hosts; `[]` takes
        /// them away, so that the value enters sandboxes.
        optional hosts: Option<Vec<String>> = CREDENTIAL_HOSTS,
    }
}

/// `{name}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct Name {
    /// `provider_key:<provider>`, `runtime_token:<name>` or `env:<NAME>`.
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::<Self>::from_request_parts(parts, state)
            .await
            .map(|Path(name)| name)
            .map_err(|_| ApiError::not_found("Credential not found"))
    }
}

aod_resources::input! {
    /// A page of the trail.
    example ""
    struct TrailPage {
        /// The most entries to give; 200 where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Go on after the entry with this id, to older ones.
        optional after: Option<i64> = Shape::Integer { min: 0, max: i64::MAX },
    }
}

/// A page of the trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Trail {
    data: Vec<CredentialEvent>,
    /// Pass as `after` for older entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<i64>,
}

/// Lists the caller's credentials by name, without their values.
#[utoipa::path(get, path = "/credentials", tag = "credentials",
    responses((status = 200, body = Listing<CredentialInfo>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Listing<CredentialInfo>>, ApiError> {
    let credentials = api.credentials.list(caller.user).await?;
    Ok(Json(Listing::whole(credentials)))
}

/// What was done with the caller's credentials, newest first. Nothing is ever changed or deleted
/// in this trail.
#[utoipa::path(get, path = "/credentials/audit", tag = "credentials", params(TrailPage),
    responses((status = 200, body = Trail)))]
async fn trail(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<TrailPage>,
) -> Result<Json<Trail>, ApiError> {
    let limit = page.limit.unwrap_or(200);
    // One more than the limit tells whether there is a next page.
    let mut data = api
        .credentials
        .trail(caller.user, page.after, limit + 1)
        .await?;
    let more = data.len() > limit as usize;
    data.truncate(limit as usize);
    Ok(Json(Trail {
        next: data.last().filter(|_| more).map(|last| last.id),
        data,
    }))
}

/// Reads a credential, without its value.
#[utoipa::path(get, path = "/credentials/{name}", tag = "credentials", params(Name),
    responses((status = 200, body = CredentialInfo), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Name { name }: Name,
) -> Result<Json<CredentialInfo>, ApiError> {
    Ok(Json(api.credentials.get(caller.user, name).await?))
}

/// Registers a credential, or gives it a new value. All of the caller's sessions get it from their
/// next turn on. `hint` warns of a value that does not look like others of its kind.
#[utoipa::path(put, path = "/credentials/{name}", tag = "credentials", params(Name),
    request_body = NewValue,
    responses((status = 200, body = Registered), (status = 404)))]
async fn set(
    State(api): State<Api>,
    caller: Caller,
    Name { name }: Name,
    Body { value, .. }: Body<NewValue>,
) -> Result<Json<Registered>, ApiError> {
    let NewValue { value, hosts } = value;
    let registered = api
        .credentials
        .set(caller.user, caller.actor(), name, value, hosts)
        .await?;
    Ok(Json(registered))
}

/// Deletes a credential with its value.
#[utoipa::path(delete, path = "/credentials/{name}", tag = "credentials", params(Name),
    responses((status = 200, body = Detail), (status = 404)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Name { name }: Name,
) -> Result<Json<Detail>, ApiError> {
    api.credentials
        .delete(caller.user, caller.actor(), name)
        .await?;
    Ok(Json(Detail::new("Credential deleted")))
}
