//! `/credentials`: the caller's registered credentials. Values go in and never come out.

use aod_services::credentials::{CredentialEvent, CredentialInfo, Registered};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::body::{Body, Field, Object, Problems};
use crate::error::{ApiError, Detail};
use crate::page::Listing;

/// The largest value, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// The routes of credentials.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(trail))
        .routes(routes!(read, set, delete))
}

/// A credential's value.
#[derive(ToSchema)]
struct NewValue {
    /// 1 to 65536 bytes.
    #[schema(value_type = String, format = Password, min_length = 1)]
    value: SecretString,
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

/// `?limit=&after=`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TrailPage {
    /// 1 to 200; 200 where nothing is said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Go on after the entry with this id, to older ones.
    after: Option<i64>,
}

impl TrailPage {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(200)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TrailPage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<Self>::try_from_uri(&parts.uri) {
            Ok(Query(page)) if (1..=200).contains(&page.limit()) => Ok(page),
            _ => Err(ApiError::bad_request(
                "limit should be a number from 1 to 200, and after the id of an entry",
            )),
        }
    }
}

/// A page of the trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Trail {
    data: Vec<CredentialEvent>,
    /// Pass as `after` for older entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    next: Option<i64>,
}

/// Lists the caller's credentials by name, without their values.
#[utoipa::path(get, path = "/credentials", tag = "credentials",
    responses((status = 200, body = Listing<CredentialInfo>), (status = 401)))]
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
    responses((status = 200, body = Trail), (status = 400), (status = 401)))]
async fn trail(
    State(api): State<Api>,
    caller: Caller,
    page: TrailPage,
) -> Result<Json<Trail>, ApiError> {
    let limit = page.limit();
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
    responses((status = 200, body = CredentialInfo), (status = 401), (status = 404)))]
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
    responses((status = 200, body = Registered), (status = 400), (status = 401), (status = 422)))]
async fn set(
    State(api): State<Api>,
    caller: Caller,
    Name { name }: Name,
    body: Body,
) -> Result<Json<Registered>, ApiError> {
    let problems = Problems::default();
    let new = body.object(&problems).and_then(|object| new_value(&object));
    let NewValue { value } = problems.finish(new)?;
    let registered = api
        .credentials
        .set(caller.user, caller.token, name, value)
        .await?;
    Ok(Json(registered))
}

/// Deletes a credential with its value.
#[utoipa::path(delete, path = "/credentials/{name}", tag = "credentials", params(Name),
    responses((status = 200, body = Detail), (status = 401), (status = 404)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Name { name }: Name,
) -> Result<Json<Detail>, ApiError> {
    api.credentials
        .delete(caller.user, caller.token, name)
        .await?;
    Ok(Json(Detail::new("Credential deleted")))
}

fn new_value(object: &Object<'_>) -> Option<NewValue> {
    object
        .required("value", value)
        .map(|value| NewValue { value })
}

fn value(field: Field<'_>) -> Option<SecretString> {
    let field = field.secret();
    let value = field.string(1, MAX_VALUE)?;
    if value.len() > MAX_VALUE {
        field.problem("string_too_long", "String should have at most 65536 bytes");
        return None;
    }
    if value.trim().is_empty() {
        field.problem(
            "string_too_short",
            "String should hold more than white space",
        );
        return None;
    }
    Some(value.into())
}
