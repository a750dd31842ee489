//! The OpenAPI description: from the handlers' own types, completed with what holds for all
//! operations.

mod examples;
mod operations;
mod replies;
mod responses;

use std::collections::HashMap;

use serde_json::Value;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::error::{Error, Invalid, InvalidDetail, Limited};
use crate::problem::{Part, Problem};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Agents on Demand",
        description = "Run coding agents in sandboxes and stream what they do.\n\n\
            Every operation but `GET /health` and `POST /login` needs a token: `Authorization: Bearer aod_…`.\n\n\
            Every error has the same envelope, `{\"detail\": …}`, and each reply an `x-request-id` \
            under which the server's log has it. Apart from what each operation lists, an unknown \
            path is answered by 404, and a method that a path does not take by 405, in the same \
            envelope. A request that is no HTTP, or whose headers are too large, is answered by \
            the HTTP library itself with 400 or 431, without a body.\n\n\
            Ids are UUIDs in lower case with hyphens. Fields and parameters that are not known are \
            refused with 422.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("token" = [])),
    tags(
        (name = "agents", description = "Reusable templates: a runtime, a model, and what it is told."),
        (name = "environments", description = "What sandboxes hold."),
        (name = "sessions", description = "Agents at work, over one or more turns."),
        (name = "files", description = "What is in a session's workspace."),
        (name = "runtimes", description = "What agents can be made of."),
        (name = "credentials", description = "Registered credentials: values go in, never out."),
        (name = "tokens", description = "The caller's own API tokens."),
        (name = "users", description = "The users of the server. For administrators."),
        (name = "webhooks", description = "Messages to other servers when something happens to sessions."),
        (name = "operation", description = "For those who run the server."),
    ),
)]
pub(crate) struct Document;

/// Completes the description that the handlers' own attributes give.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("aod_…")
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    for (name, schema) in [
        (Error::name(), Error::schema()),
        (Invalid::name(), Invalid::schema()),
        (InvalidDetail::name(), InvalidDetail::schema()),
        (Limited::name(), Limited::schema()),
        (Problem::name(), Problem::schema()),
        (Part::name(), Part::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    examples::add(components);
    let paths = std::mem::take(&mut document.paths.paths);
    let paths = paths
        .into_iter()
        .map(|(path, item)| (described(&path), item));
    document.paths.paths = paths.collect();
    for (_, path, operation) in operations(&mut document.paths.paths) {
        operations::qualify(operation);
        responses::complete(path, operation);
    }
    document
}

/// A route's path as it is described: where the router wants to be told that a parameter takes the
/// rest of the path, the standard has no word for that.
pub(crate) fn described(route: &str) -> String {
    route.replace("{*", "{")
}

/// A description as JSON.
pub(crate) fn json(document: &OpenApi) -> Value {
    // It is made of strings and numbers, which JSON takes.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    replies::refine(&mut document);
    document
}

/// The names of the query parameters that each operation knows, by method and path.
pub(crate) fn queries(document: &OpenApi) -> HashMap<(axum::http::Method, String), Vec<String>> {
    let mut paths = document.paths.paths.clone();
    let known = |(method, path, operation): (axum::http::Method, &str, &mut Operation)| {
        let names = operation
            .parameters
            .iter()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(it) if it.parameter_in == ParameterIn::Query => Some(it.name.clone()),
                _ => None,
            });
        ((method, path.to_owned()), names.collect())
    };
    operations(&mut paths).map(known).collect()
}

/// All operations, with their methods and paths.
fn operations<'a>(
    paths: &'a mut utoipa::openapi::path::PathsMap<String, PathItem>,
) -> impl Iterator<Item = (axum::http::Method, &'a str, &'a mut Operation)> {
    use axum::http::Method;

    paths.iter_mut().flat_map(|(path, item)| {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        let there = |(method, operation): (Method, &'a mut Option<Operation>)| {
            Some((method, path.as_str(), operation.as_mut()?))
        };
        operations.into_iter().filter_map(there)
    })
}

#[cfg(test)]
mod tests;
