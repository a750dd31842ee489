//! `/health`, its two halves for orchestrators, and `/metrics`.

use aod_services::health::{SandboxHealth, ServerLimits};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;

/// The routes for operators.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// The server is well.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: Well,
    /// The sandbox driver, and what it enforces on this machine. For users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    sandbox: Option<SandboxHealth>,
    /// What the server allows at most. For users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    limits: Option<ServerLimits>,
}

/// The status of a server that is well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Well {
    /// It is well.
    Ok,
}

/// Whether a valid token came along. Where none did, that is no reason to say nothing.
struct IsUser(bool);

impl FromRequestParts<Api> for IsUser {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let is_user = parts.headers.contains_key(AUTHORIZATION)
            && Caller::from_request_parts(parts, api).await.is_ok();
        Ok(Self(is_user))
    }
}

/// Checks that the store answers and that the vault can seal and open.
///
/// It needs no token; with one, the reply has details. The answer is good for a second.
#[utoipa::path(get, path = "/health", tag = "operation",
    responses(
        (status = 200, description = "The server is well.", body = Health),
        (status = 503, description = "Something is broken; `detail` says what."),
    ), security((), ("token" = [])))]
async fn health(State(api): State<Api>, IsUser(is_user): IsUser) -> Result<Json<Health>, ApiError> {
    match api.health.check().await {
        Ok(()) => {
            let sandbox = match is_user {
                true => api.health.sandbox().await,
                false => None,
            };
            let status = Well::Ok;
            let limits = is_user.then(|| api.health.limits());
            Ok(Json(Health {
                status,
                sandbox,
                limits,
            }))
        }
        Err(broken) if is_user => Err(ApiError::unavailable(format!("{broken}: {}", broken.cause))),
        Err(broken) => Err(ApiError::unavailable(broken.to_string())),
    }
}

/// The answer to a probe.
#[derive(Debug, Serialize, ToSchema)]
struct Probe {
    /// `ok`.
    status: Well,
}

/// Says that the server answers, and looks at nothing: where this fails for long, the process should
/// be started again.
///
/// It needs no token.
#[utoipa::path(get, path = "/health/live", tag = "operation",
    responses((status = 200, description = "The server answers.", body = Probe)), security(()))]
async fn live() -> Json<Probe> {
    Json(Probe { status: Well::Ok })
}

/// Says whether the server can do its work now, as `/health` finds it: where this fails, requests
/// should go elsewhere, or wait.
///
/// It needs no token. The answer is good for a second.
#[utoipa::path(get, path = "/health/ready", tag = "operation",
    responses(
        (status = 200, description = "The server can do its work.", body = Probe),
        (status = 503, description = "Something is broken; `detail` says what."),
    ), security(()))]
async fn ready(State(api): State<Api>) -> Result<Json<Probe>, ApiError> {
    let checked = api.health.check().await;
    checked.map_err(|broken| ApiError::unavailable(broken.to_string()))?;
    Ok(Json(Probe { status: Well::Ok }))
}

/// Figures for Prometheus. Needs an administrator's token.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "The figures.", content_type = "text/plain", body = String)))]
async fn metrics(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.administrator()?;
    api.connections.measure();
    let text = api.health.metrics().await?;
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}
