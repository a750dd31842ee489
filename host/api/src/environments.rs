//! `/environments`: what sandboxes hold.

use aod_resources::{
    Environment, EnvironmentChanges, EnvironmentVersion, Networking, NetworkingKind,
    NewEnvironment, PackageManager,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use indexmap::IndexMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::body::{Body, Field, Object, Problems};
use crate::error::{ApiError, Detail};
use crate::page::{Listing, Page};
use crate::path::ResourceId;
use crate::{Api, variables};

/// The routes of environments.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update))
        .routes(routes!(archive))
        .routes(routes!(versions))
        .routes(routes!(delete))
}

/// Lists the caller's environments that are not archived, newest first.
#[utoipa::path(get, path = "/environments", tag = "environments", params(Page),
    responses((status = 200, body = Listing<Environment>), (status = 401)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    page: Page,
) -> Result<Json<Listing<Environment>>, ApiError> {
    let environments = api.environments.list(caller.user, page.range()).await?;
    Ok(Json(
        page.listing(environments, |environment| environment.id),
    ))
}

/// Creates an environment.
#[utoipa::path(post, path = "/environments", tag = "environments", request_body = NewEnvironment,
    responses((status = 201, body = Environment), (status = 400), (status = 401), (status = 422)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let problems = Problems::default();
    let new = body
        .object(&problems)
        .and_then(|object| new_environment(&object));
    let environment = api
        .environments
        .create(caller.user, problems.finish(new)?)
        .await?;
    Ok((StatusCode::CREATED, Json(environment)))
}

/// Reads an environment, archived or not. Its variables are never told.
#[utoipa::path(get, path = "/environments/{id}", tag = "environments", params(ResourceId),
    responses((status = 200, body = Environment), (status = 401), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(
        api.environments.get(caller.user, id.environment()?).await?,
    ))
}

/// Changes an environment, if it is still at the version that the caller has seen.
#[utoipa::path(put, path = "/environments/{id}", tag = "environments", params(ResourceId),
    request_body = EnvironmentChanges,
    responses((status = 200, body = Environment), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
    body: Body,
) -> Result<Json<Environment>, ApiError> {
    let id = id.environment()?;
    let problems = Problems::default();
    let changes = body
        .object(&problems)
        .and_then(|object| environment_changes(&object));
    Ok(Json(
        api.environments
            .update(caller.user, id, problems.finish(changes)?)
            .await?,
    ))
}

/// Archives an environment for good: hidden from lists, still readable, starts no new session.
#[utoipa::path(post, path = "/environments/{id}/archive", tag = "environments", params(ResourceId),
    responses((status = 200, body = Environment), (status = 401), (status = 404), (status = 409)))]
async fn archive(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(
        api.environments
            .archive(caller.user, id.environment()?)
            .await?,
    ))
}

/// Every version of an environment, newest first.
#[utoipa::path(get, path = "/environments/{id}/versions", tag = "environments", params(ResourceId),
    responses((status = 200, body = Listing<EnvironmentVersion>), (status = 401), (status = 404)))]
async fn versions(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Listing<EnvironmentVersion>>, ApiError> {
    Ok(Json(Listing::whole(
        api.environments
            .versions(caller.user, id.environment()?)
            .await?,
    )))
}

/// Deletes an environment that no session was ever made with.
#[utoipa::path(delete, path = "/environments/{id}/delete", tag = "environments", params(ResourceId),
    responses((status = 200, body = Detail), (status = 401), (status = 404), (status = 409)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Detail>, ApiError> {
    api.environments
        .delete(caller.user, id.environment()?)
        .await?;
    Ok(Json(Detail::new("Environment deleted")))
}

fn setup_script(field: Field<'_>) -> Option<String> {
    field.string(0, 1 << 20).map(str::to_owned)
}

fn new_environment(object: &Object<'_>) -> Option<NewEnvironment> {
    let name = object.required("name", |field| field.name());
    let packages = object.optional("packages", packages);
    let setup_script = object.optional("setup_script", setup_script);
    let networking = object.optional("networking", networking);
    let env_vars = object.optional("env_vars", variables::secrets);
    Some(NewEnvironment {
        name: name?,
        packages: packages?.unwrap_or_default(),
        setup_script: setup_script?,
        networking: networking?.unwrap_or_default(),
        env_vars: env_vars?.unwrap_or_default(),
    })
}

fn environment_changes(object: &Object<'_>) -> Option<EnvironmentChanges> {
    let version = object.required("version", |field| field.integer(1, i64::MAX));
    let name = object.optional("name", |field| field.name());
    let packages = object.optional("packages", packages);
    let setup_script = object.nullable("setup_script", setup_script);
    let networking = object.optional("networking", networking);
    let env_vars = object.optional("env_vars", variables::secrets);
    Some(EnvironmentChanges {
        version: version?,
        name: name?,
        packages: packages?,
        setup_script: setup_script?,
        networking: networking?,
        env_vars: env_vars?,
    })
}

fn packages(field: Field<'_>) -> Option<IndexMap<PackageManager, Vec<String>>> {
    let packages = field.map(|key, value| {
        let Some(manager) = PackageManager::from_name(key) else {
            value.problem(
                "literal_error",
                "The key should be 'apt', 'cargo', 'gem', 'go', 'npm' or 'pip'",
            );
            return None;
        };
        let names = value.list(200, |name| {
            let text = name.string(1, 300)?;
            // A name that begins with a hyphen would be read as an option.
            if text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                name.problem("value_error", "A package should be a name, with a version where the manager has a notation for it");
                return None;
            }
            Some(text.to_owned())
        })?;
        Some((manager, names))
    })?;
    Some(packages.into_values().collect())
}

fn networking(field: Field<'_>) -> Option<Networking> {
    let object = field.object()?;
    let kind = object.required("type", |field| match field.string(0, 100)? {
        "unrestricted" => Some(NetworkingKind::Unrestricted),
        "limited" => Some(NetworkingKind::Limited),
        _ => {
            field.problem(
                "literal_error",
                "Input should be 'unrestricted' or 'limited'",
            );
            None
        }
    });
    let allowed_hosts = object.optional("allowed_hosts", |field| {
        field.list(1000, |item| {
            let host = item.string(1, 253)?;
            if !is_host_pattern(host) {
                item.problem(
                    "value_error",
                    "Input should be a host's name, or '*.' and a suffix; no scheme, port or path",
                );
                return None;
            }
            Some(host.to_ascii_lowercase())
        })
    });
    Some(Networking {
        kind: kind?,
        allowed_hosts: allowed_hosts?.unwrap_or_default(),
    })
}

fn is_host_pattern(host: &str) -> bool {
    host.strip_prefix("*.")
        .unwrap_or(host)
        .split('.')
        .all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_suffixes() {
        for good in [
            "example.com",
            "*.example.com",
            "localhost",
            "10.0.0.1",
            "a-b.c_d",
        ] {
            assert!(is_host_pattern(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "https://x",
            "x:80",
            "a..b",
            "-a.b",
            "x/y",
            "*.*.x",
            "a b",
        ] {
            assert!(!is_host_pattern(bad), "{bad}");
        }
    }
}
