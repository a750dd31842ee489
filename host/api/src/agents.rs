//! `/agents`: reusable templates.

use std::sync::LazyLock;

use aod_resources::{
    Agent, AgentChanges, AgentVersion, MASK, McpPart, McpServer, McpTransport, NewAgent, Secrets,
    Skill, mcp_secret_name,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use indexmap::IndexMap;
use regex_lite::Regex;
use secrecy::SecretString;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::body::{Body, Field, Object, Problems};
use crate::error::ApiError;
use crate::page::{Listing, Page};
use crate::path::ResourceId;
use crate::{Api, variables};

/// The routes of agents.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update))
        .routes(routes!(archive))
        .routes(routes!(versions))
}

/// Lists the caller's agents that are not archived, newest first.
#[utoipa::path(get, path = "/agents", tag = "agents", params(Page),
    responses((status = 200, body = Listing<Agent>), (status = 401)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    page: Page,
) -> Result<Json<Listing<Agent>>, ApiError> {
    let agents = api.agents.list(caller.user, page.range()).await?;
    Ok(Json(page.listing(agents, |agent| agent.id)))
}

/// Creates an agent.
#[utoipa::path(post, path = "/agents", tag = "agents", request_body = NewAgent,
    responses((status = 201, body = Agent), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let problems = Problems::default();
    let new = body.object(&problems).and_then(|object| new_agent(&object));
    let agent = api
        .agents
        .create(caller.user, problems.finish(new)?)
        .await?;
    Ok((StatusCode::CREATED, Json(agent)))
}

/// Reads an agent, archived or not.
#[utoipa::path(get, path = "/agents/{id}", tag = "agents", params(ResourceId),
    responses((status = 200, body = Agent), (status = 401), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agents.get(caller.user, id.agent()?).await?))
}

/// Changes an agent, if it is still at the version that the caller has seen.
#[utoipa::path(put, path = "/agents/{id}", tag = "agents", params(ResourceId), request_body = AgentChanges,
    responses((status = 200, body = Agent), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
    body: Body,
) -> Result<Json<Agent>, ApiError> {
    let id = id.agent()?;
    let problems = Problems::default();
    let changes = body
        .object(&problems)
        .and_then(|object| agent_changes(&object));
    Ok(Json(
        api.agents
            .update(caller.user, id, problems.finish(changes)?)
            .await?,
    ))
}

/// Archives an agent for good: hidden from lists, still readable, starts no new session.
#[utoipa::path(post, path = "/agents/{id}/archive", tag = "agents", params(ResourceId),
    responses((status = 200, body = Agent), (status = 401), (status = 404), (status = 409)))]
async fn archive(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agents.archive(caller.user, id.agent()?).await?))
}

/// Every version of an agent, newest first.
#[utoipa::path(get, path = "/agents/{id}/versions", tag = "agents", params(ResourceId),
    responses((status = 200, body = Listing<AgentVersion>), (status = 401), (status = 404)))]
async fn versions(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
) -> Result<Json<Listing<AgentVersion>>, ApiError> {
    Ok(Json(Listing::whole(
        api.agents.versions(caller.user, id.agent()?).await?,
    )))
}

fn text(max: usize) -> impl Fn(Field<'_>) -> Option<String> {
    move |field| field.string(0, max).map(str::to_owned)
}

/// A runtime's or model's name: long ones are cut off by the limit of the model's.
fn word(field: Field<'_>) -> Option<String> {
    field.string(1, 100).map(str::to_owned)
}

const MAX_TEXT: usize = 1 << 20;

fn new_agent(object: &Object<'_>) -> Option<NewAgent> {
    let mut mcp_secrets = Secrets::new();
    let name = object.required("name", |field| field.name());
    let runtime = object.required("runtime", word);
    let model = object.required("model", word);
    let description = object.optional("description", text(MAX_TEXT));
    let system = object.optional("system", text(MAX_TEXT));
    let environment_id = object.optional("environment_id", |field| field.uuid());
    let skills = object.optional("skills", skills);
    let mcp_servers = object.optional("mcp_servers", |field| mcp_servers(field, &mut mcp_secrets));
    let metadata = object.optional("metadata", metadata);
    Some(NewAgent {
        name: name?,
        runtime: runtime?,
        model: model?,
        description: description?,
        system: system?,
        environment_id: environment_id?,
        skills: skills?.unwrap_or_default(),
        mcp_servers: mcp_servers?.unwrap_or_default(),
        metadata: metadata?.unwrap_or_default(),
        mcp_secrets,
    })
}

fn agent_changes(object: &Object<'_>) -> Option<AgentChanges> {
    let mut mcp_secrets = Secrets::new();
    let version = object.required("version", |field| field.integer(1, i64::MAX));
    let name = object.optional("name", |field| field.name());
    let runtime = object.optional("runtime", word);
    let model = object.optional("model", word);
    let description = object.nullable("description", text(MAX_TEXT));
    let system = object.nullable("system", text(MAX_TEXT));
    let environment_id = object.nullable("environment_id", |field| field.uuid());
    let skills = object.optional("skills", skills);
    let mcp_servers = object.optional("mcp_servers", |field| mcp_servers(field, &mut mcp_secrets));
    let metadata = object.optional("metadata", metadata);
    Some(AgentChanges {
        version: version?,
        name: name?,
        runtime: runtime?,
        model: model?,
        description: description?,
        system: system?,
        environment_id: environment_id?,
        skills: skills?,
        mcp_servers: mcp_servers?,
        metadata: metadata?,
        mcp_secrets,
    })
}

fn metadata(field: Field<'_>) -> Option<IndexMap<String, String>> {
    field.map(|_, value| value.string(0, 64 << 10).map(str::to_owned))
}

// The patterns are literals that the tests below compile.
#[allow(clippy::unwrap_used)]
static SKILL_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[a-z0-9][a-z0-9-]{0,63}$").unwrap());
#[allow(clippy::unwrap_used)]
static REPOSITORY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+$").unwrap());
#[allow(clippy::unwrap_used)]
static MCP_NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[A-Za-z0-9_-]{1,64}$").unwrap());
#[allow(clippy::unwrap_used)]
static HEADER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$").unwrap());

fn skill_name(field: Field<'_>) -> Option<String> {
    let name = field.string(1, 64)?;
    if !SKILL_NAME.is_match(name) {
        field.problem(
            "string_pattern_mismatch",
            "String should match '[a-z0-9][a-z0-9-]{0,63}'",
        );
        return None;
    }
    Some(name.to_owned())
}

fn skills(field: Field<'_>) -> Option<Vec<Skill>> {
    let skills = field.list(20, |item| {
        let object = item.object()?;
        if object.has("type") {
            object.required("type", |kind| match kind.string(0, 100)? {
                "github" => Some(()),
                _ => {
                    kind.problem(
                        "literal_error",
                        "Input should be 'github', or left out for an inline skill",
                    );
                    None
                }
            })?;
            let source = object.required("source", |field| {
                let source = field.string(3, 200)?;
                if !REPOSITORY.is_match(source) {
                    field.problem("string_pattern_mismatch", "String should be 'owner/repo'");
                    return None;
                }
                Some(source.to_owned())
            });
            let name = object.optional("name", skill_name);
            let description = object.optional("description", text(4096));
            return Some(Skill::Github {
                kind: "github".to_owned(),
                source: source?,
                name: name?,
                description: description?.unwrap_or_default(),
            });
        }
        let name = object.required("name", skill_name);
        let description = object.required("description", text(4096));
        let content = object.required("content", |field| {
            let content = field.string(0, 256 << 10)?;
            if content.len() > 256 << 10 {
                field.problem("string_too_long", "String should have at most 262144 bytes");
                return None;
            }
            Some(content.to_owned())
        });
        Some(Skill::Inline {
            name: name?,
            description: description?,
            content: content?,
        })
    })?;
    let mut names: Vec<&str> = skills
        .iter()
        .filter_map(|skill| match skill {
            Skill::Github { name, .. } => name.as_deref(),
            Skill::Inline { name, .. } => Some(name),
        })
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        field.problem("value_error", format!("Two skills are named {:?}", pair[0]));
        return None;
    }
    Some(skills)
}

fn mcp_servers(field: Field<'_>, secrets: &mut Secrets) -> Option<Vec<McpServer>> {
    let servers = field.list(20, |item| {
        let object = item.object()?;
        let name = object.required("name", |field| {
            let name = field.string(1, 64)?;
            if !MCP_NAME.is_match(name) {
                field.problem(
                    "string_pattern_mismatch",
                    "String should match '[A-Za-z0-9_-]{1,64}'",
                );
                return None;
            }
            Some(name.to_owned())
        });
        let kind = object.required("type", |field| match field.string(0, 100)? {
            kind @ ("url" | "stdio") => Some(kind == "url"),
            _ => {
                field.problem("literal_error", "Input should be 'url' or 'stdio'");
                None
            }
        })?;
        // The masks keep the order and the names of what was given; the values go elsewhere.
        let mut masked = |field: Field<'_>, part, valid: &dyn Fn(&str, Field<'_>) -> Option<()>| {
            field.secret().map(|key, value| {
                valid(key, value)?;
                let secret = value.string(0, 64 << 10)?;
                if let (Some(name), true) = (&name, secret != MASK) {
                    secrets.insert(mcp_secret_name(name, part, key), SecretString::from(secret));
                }
                Some(MASK.to_owned())
            })
        };
        let transport = if kind {
            let url = object.required("url", |field| {
                let url = field.string(1, 2048)?;
                if !(url.starts_with("https://") || url.starts_with("http://")) {
                    field.problem("url_scheme", "URL scheme should be 'http' or 'https'");
                    return None;
                }
                Some(url.to_owned())
            });
            let headers = object.optional("headers", |field| {
                masked(field, McpPart::Header, &|key, value| {
                    if HEADER.is_match(key) {
                        return Some(());
                    }
                    value.problem(
                        "value_error",
                        "The key should be the name of an HTTP header",
                    );
                    None
                })
            });
            McpTransport::Url {
                url: url?,
                headers: headers?.unwrap_or_default(),
            }
        } else {
            let command =
                object.required("command", |field| field.string(1, 4096).map(str::to_owned));
            let args = object.optional("args", |field| {
                field.list(256, |arg| arg.string(0, 64 << 10).map(str::to_owned))
            });
            let env = object.optional("env", |field| {
                masked(field, McpPart::Variable, &variables::valid_name)
            });
            McpTransport::Stdio {
                command: command?,
                args: args?.unwrap_or_default(),
                env: env?.unwrap_or_default(),
            }
        };
        Some(McpServer {
            name: name?,
            transport,
        })
    })?;
    let mut names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        field.problem(
            "value_error",
            format!("Two MCP servers are named {:?}", pair[0]),
        );
        return None;
    }
    Some(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compile_and_match() {
        assert!(SKILL_NAME.is_match("pdf-tools") && !SKILL_NAME.is_match("../x"));
        assert!(REPOSITORY.is_match("owner/repo.rs") && !REPOSITORY.is_match("owner/repo/x"));
        assert!(MCP_NAME.is_match("my_server-1") && !MCP_NAME.is_match("a b"));
        assert!(HEADER.is_match("X-Api-Key") && !HEADER.is_match("X: y"));
    }
}
