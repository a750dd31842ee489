//! The HTTP API (`1-http-api.md`): routes, validation, the error envelope, server-sent events.
//!
//! Everything that outlives a request is done by the services of `aod-services`; this crate turns
//! HTTP into their calls and their results into HTTP.

mod agents;
mod answers;
mod auth;
mod body;
mod credentials;
mod environments;
mod error;
mod events;
mod failures;
mod health;
mod layers;
mod operations;
mod page;
mod path;
mod repository;
mod runtimes;
mod sessions;
mod stream;
mod text;
mod tokens;
mod variables;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use aod_services::agents::Agents;
use aod_services::credentials::Credentials;
use aod_services::environments::Environments;
use aod_services::health::Health;
use aod_services::runtimes::Runtimes;
use aod_services::sessions::Sessions;
use aod_services::users::Users;

use failures::Failures;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Services {
    /// Agents.
    pub agents: Agents,
    /// Environments.
    pub environments: Environments,
    /// Registered credentials.
    pub credentials: Credentials,
    /// Sessions.
    pub sessions: Sessions,
    /// Users and their tokens.
    pub users: Users,
    /// Runtimes and models.
    pub runtimes: Runtimes,
    /// Health and metrics.
    pub health: Health,
}

/// The state that handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

pub(crate) struct Shared {
    services: Services,
    failures: Failures,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::ops::Deref for Shared {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

/// Limits of the HTTP layer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body: usize,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Agents on Demand", description = "Run coding agents in sandboxes and stream what they do."),
    security(("token" = [])),
)]
struct Document;

fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(agents::routes())
        .merge(environments::routes())
        .merge(sessions::routes())
        .merge(answers::routes())
        .merge(stream::routes())
        .merge(events::routes())
        .merge(runtimes::routes())
        .merge(credentials::routes())
        .merge(tokens::routes())
        .merge(health::routes())
}

/// The OpenAPI 3.1 description, from the handlers' own types.
pub fn openapi() -> utoipa::openapi::OpenApi {
    describe(documented().to_openapi())
}

fn describe(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("aod_…")
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(bearer));
    operations::qualify(&mut document);
    document
}

/// The whole API. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that
/// failed authentications are counted per address.
pub fn router(services: Services, limits: Limits) -> Router {
    let api = Api(Arc::new(Shared {
        services,
        failures: Failures::new(),
    }));
    let (router, document) = documented().split_for_parts();
    // It never changes while the server runs.
    let document: Arc<str> = describe(document)
        .to_json()
        .unwrap_or_else(|_| "{}".to_owned())
        .into();
    let openapi = get(|State(document): State<Arc<str>>| async move {
        (
            [(axum::http::header::CONTENT_TYPE, "application/json")],
            document.to_string(),
        )
    })
    .with_state(document);
    let router = router
        .with_state(api)
        .route("/openapi.json", openapi)
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed);
    layers::apply(router, limits)
}
