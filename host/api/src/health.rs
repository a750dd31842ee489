//! `/health` and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
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
        .routes(routes!(metrics))
}

/// The server is well.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
    /// The sandbox driver, and what it enforces on this machine.
    sandbox: aod_services::health::SandboxHealth,
}

/// Checks that the store answers and that the vault can seal and open. Needs no token.
#[utoipa::path(get, path = "/health", tag = "operation",
    responses((status = 200, body = Health), (status = 503)), security(()))]
async fn health(State(api): State<Api>) -> Result<Json<Health>, ApiError> {
    match api.health.check().await {
        Ok(sandbox) => Ok(Json(Health {
            status: "ok",
            sandbox,
        })),
        Err(broken) => Err(ApiError::unavailable(broken.to_string())),
    }
}

/// Figures for Prometheus. Needs an administrator's token.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String), (status = 401)))]
async fn metrics(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.administrator()?;
    let text = api.health.metrics().await?;
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}
