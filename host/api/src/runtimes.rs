//! `/runtimes` and `/models`: what agents can be made of.

use aod_services::runtimes::{ModelInfo, ReloadReport, RuntimeInfo};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::page::Listing;

/// The routes of runtimes and models.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(reload))
        .routes(routes!(models))
}

/// Lists the runtimes that are declared, with their health.
#[utoipa::path(get, path = "/runtimes", tag = "runtimes",
    responses((status = 200, body = RuntimeListing)))]
async fn list(State(api): State<Api>, _: Caller) -> Json<RuntimeListing> {
    Json(RuntimeListing {
        data: api.runtimes.list(),
        errors: api.runtimes.errors(),
    })
}

/// The runtimes that are declared.
#[derive(Debug, Serialize, ToSchema)]
struct RuntimeListing {
    data: Vec<RuntimeInfo>,
    /// What is wrong with runtimes.toml as a whole; the runtimes are those of before then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<String>,
}

/// Reads one runtime.
#[utoipa::path(get, path = "/runtimes/{name}", tag = "runtimes",
    params(("name" = String, Path, description = "As declared in runtimes.toml")),
    responses((status = 200, body = RuntimeInfo), (status = 404)))]
async fn read(
    State(api): State<Api>,
    _: Caller,
    Path(name): Path<String>,
) -> Result<Json<RuntimeInfo>, ApiError> {
    let runtime = api.runtimes.get(&name);
    runtime
        .map(Json)
        .ok_or_else(|| ApiError::not_found(format!("Runtime {name:?} not found")))
}

/// Reads runtimes.toml and the components anew. Running turns keep the adapter they began with.
#[utoipa::path(post, path = "/runtimes/reload", tag = "runtimes",
    responses((status = 200, body = ReloadReport)))]
async fn reload(State(api): State<Api>, caller: Caller) -> Result<Json<ReloadReport>, ApiError> {
    caller.administrator()?;
    Ok(Json(api.runtimes.reload().await?))
}

/// The catalog of models.
#[utoipa::path(get, path = "/models", tag = "runtimes",
    responses((status = 200, body = Listing<ModelInfo>)))]
async fn models(State(api): State<Api>, _: Caller) -> Json<Listing<ModelInfo>> {
    Json(Listing::whole(api.runtimes.models()))
}
