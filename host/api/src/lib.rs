//! The HTTP API (`docs/http-api.md`): routes, validation, the error envelope, server-sent events.
//!
//! Everything that outlives a request is done by the services of `aod-services`; this crate turns
//! HTTP into their calls and their results into HTTP.

mod agents;
mod answers;
mod auth;
mod body;
mod book;
mod check;
mod console;
mod credentials;
mod description;
mod diff;
mod environments;
mod error;
mod events;
mod failures;
mod files;
mod forks;
mod health;
mod hosts;
mod json;
mod layers;
mod login;
mod native;
mod page;
mod path;
mod problem;
mod provisioning;
mod query;
mod queue;
mod runtimes;
mod server;
mod session_changes;
mod sessions;
mod stream;
mod text;
mod tokens;
mod users;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aod_services::Services;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use failures::Failures;

pub use hosts::Hosts;
pub use server::{ConnectionLimits, Connections, serve};

/// The state that handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

pub(crate) struct Shared {
    services: Services,
    failures: Failures,
    logins: login::Logins,
    connections: Connections,
    /// The parameters that the query of each operation may have, by method and path.
    queries: HashMap<(Method, String), Vec<String>>,
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

/// Settings of the HTTP layer.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Its limits.
    pub limits: Limits,
    /// Origins whose pages may use the API from a browser.
    pub allowed_origins: Vec<HeaderValue>,
    /// The hosts that it answers for.
    pub hosts: Hosts,
}

/// Limits of the HTTP layer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body: usize,
    /// How long a client may send nothing of a request's body; none: for ever.
    pub body_timeout: Option<Duration>,
}

fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(description::Document::openapi())
        .merge(agents::routes())
        .merge(environments::routes())
        .merge(sessions::routes())
        .merge(queue::routes())
        .merge(forks::routes())
        .merge(answers::routes())
        .merge(stream::routes())
        .merge(files::routes())
        .merge(session_changes::routes())
        .merge(events::routes())
        .merge(provisioning::routes())
        .merge(diff::routes())
        .merge(runtimes::routes())
        .merge(credentials::routes())
        .merge(tokens::routes())
        .merge(users::routes())
        .merge(login::routes())
        .merge(webhooks::routes())
        .merge(health::routes())
}

/// The OpenAPI 3.1 description, from the handlers' own types.
pub fn openapi() -> serde_json::Value {
    description::json(&description::complete(documented().to_openapi()))
}

/// The whole API, to be served by [`serve`] with the same `connections`: failed authentications
/// are counted per address.
pub fn router(services: Services, settings: HttpSettings, connections: Connections) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = description::complete(document);
    let api = Api(Arc::new(Shared {
        services,
        failures: Failures::new(),
        logins: login::Logins::default(),
        connections,
        queries: description::queries(&document),
    }));
    // It never changes while the server runs.
    let document: Arc<str> = description::json(&document).to_string().into();
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
        .merge(console::routes())
        .merge(book::routes())
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed);
    layers::apply(router, settings)
}
