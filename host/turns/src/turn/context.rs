//! What an adapter is told of a process and its prompt, and what the log keeps of it.

use std::collections::BTreeMap;

use aod_resources::{Limits, ProjectConfig, Skill, Turn};
use aod_runtime::types::{
    self, Block, Capability, Context, Description, Endpoint, EndpointSource, Origin, Paths, Prompt,
    Setting, WorkspaceConfig,
};
use aod_sandbox::SandboxDriver;
use aod_store::SessionRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::attachments::blocks;
use super::fold::TurnLimits;
use crate::paths::SessionPaths;
use crate::permissions;
use crate::secrets;

/// What the log's `Begin` keeps of a turn, so that a host that starts anew can tell a new adapter
/// instance the same. No secret's value is among it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BeginRecord {
    /// SHA-256 of the adapter, in hex.
    pub(crate) adapter: String,
    /// What the adapter had asked to remember.
    pub(crate) resume: Option<String>,
    /// Names of the secrets at hand.
    pub(crate) secrets: Vec<String>,
    /// Base URLs of the gateways, and those that the user gave; redacted in the log where they came
    /// as secrets.
    pub(crate) endpoints: Vec<GivenEndpoint>,
    /// URLs of the gateways to MCP servers, by the servers' positions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) mcp: BTreeMap<usize, String>,
    /// The CLI's version.
    pub(crate) cli_version: Option<String>,
    /// The runtime's options.
    pub(crate) options: String,
    /// How the process was started.
    #[serde(default)]
    pub(crate) start: Start,
    /// The turn that the process was started for, where that is an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<u32>,
    /// Whether the process may rest after its turn, and serve the next one.
    #[serde(default)]
    pub(crate) live: bool,
    /// Whether the process is started to be spoken to, also where it may not rest.
    #[serde(default)]
    pub(crate) is_spoken_to: bool,
    /// The limits that hold in the turn.
    #[serde(default)]
    pub(crate) limits: TurnLimits,
    /// A keyed hash of what the process was started with: the next turn may use it only if its own
    /// is the same.
    #[serde(default)]
    pub(crate) fingerprint: String,
    /// What its user should know of when it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notices: Vec<BeginNotice>,
    /// The variables whose credentials the gateways may be told others of while the process runs,
    /// each with its credential's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) logins: BTreeMap<String, String>,
}

/// What a turn's user should know of when it begins, and what its log alone can tell again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginNotice {
    /// Which kind of notice it is.
    pub(crate) code: String,
    /// What is told.
    pub(crate) text: String,
}

impl BeginNotice {
    /// The session was taken back to the end of a turn.
    pub(crate) fn restored(turn: u32) -> Self {
        let from = match turn {
            0 => "its beginning".to_owned(),
            _ => format!("the end of turn {turn}"),
        };
        Self {
            code: "session.restored".to_owned(),
            text: format!(
                "the session was taken back to {from}: its files and its conversation are what \
                 they were then"
            ),
        }
    }

    /// What the session was at the end of a turn was not kept.
    pub(crate) fn no_checkpoint(turn: u32, error: &str) -> Self {
        Self {
            code: "checkpoint.failed".to_owned(),
            text: format!("there is no checkpoint of turn {turn}: {error}"),
        }
    }
}

impl BeginRecord {
    /// Whether the log has `[redacted:NAME]` in the place of an endpoint.
    pub(crate) fn hides_an_endpoint(&self) -> bool {
        let is_hidden = |endpoint: &GivenEndpoint| endpoint.url.contains("[redacted:");
        self.endpoints.iter().any(is_hidden)
    }

    /// Sets the base URLs that the user gave, where there is no gateway.
    pub(crate) fn set_endpoints(&mut self, endpoints: Vec<Endpoint>) {
        self.endpoints.retain(|endpoint| endpoint.is_gateway);
        for given in endpoints {
            if !self
                .endpoints
                .iter()
                .any(|gateway| gateway.provider == given.provider)
            {
                self.endpoints.push(given.into());
            }
        }
    }
}

/// What the launch decided and the fold needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Whether it goes on with the earlier conversation.
    pub(crate) continuity: Continuity,
    /// Whether its stdin stays open, so that the adapter speaks to it from the first moment on.
    pub(crate) is_dialogue: bool,
    /// Whether what the session's log had was gone when the turn began.
    #[serde(default)]
    pub(crate) has_lost_history: bool,
    /// Whether a provider's credential is in the sandbox.
    #[serde(default)]
    pub(crate) holds_credentials: bool,
}

/// Whether a process remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Continuity {
    #[default]
    First,
    Native,
    Fresh,
}

impl From<&types::Launch> for Start {
    fn from(launch: &types::Launch) -> Self {
        Self {
            continuity: match launch.continuity {
                types::Continuity::First => Continuity::First,
                types::Continuity::Native => Continuity::Native,
                types::Continuity::Fresh => Continuity::Fresh,
            },
            is_dialogue: matches!(launch.stdin, types::Stdin::Open(_)),
            has_lost_history: false,
            holds_credentials: false,
        }
    }
}

/// A base URL for a provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GivenEndpoint {
    provider: String,
    url: String,
    /// Whether it is a gateway's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_gateway: bool,
}

impl From<Endpoint> for GivenEndpoint {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            provider: endpoint.provider,
            url: endpoint.url,
            is_gateway: endpoint.source == EndpointSource::Gateway,
        }
    }
}

/// The sandbox's folders, as the CLI sees them.
pub(crate) fn sandbox_paths(driver: &dyn SandboxDriver, paths: &SessionPaths) -> Paths {
    let show = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    Paths {
        home: show(driver.place(&paths.home(), aod_sandbox::HOME.as_ref())),
        workspace: show(driver.place(&paths.workspace(), aod_sandbox::WORKSPACE.as_ref())),
        private: show(driver.private_dir(&paths.home())),
    }
}

/// The facts of a turn's process.
pub(crate) fn context(session: &SessionRecord, begin: &BeginRecord, paths: Paths) -> Context {
    let agent = &session.agent;
    // An empty token is one that the adapter has had forgotten.
    let resume = begin.resume.as_ref().filter(|token| !token.is_empty());
    Context {
        session_id: session.session.id.to_string(),
        system: agent.system.clone().filter(|system| !system.is_empty()),
        model: session.session.model.clone(),
        mcp_servers: secrets::mcp_servers(agent, &begin.mcp),
        skills: agent.skills.iter().map(skill).collect(),
        origin: resume.map_or(Origin::New, |token| Origin::Resume(token.clone())),
        secrets: begin.secrets.clone(),
        endpoints: begin
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                provider: endpoint.provider.clone(),
                url: endpoint.url.clone(),
                source: match endpoint.is_gateway {
                    true => EndpointSource::Gateway,
                    false => EndpointSource::User,
                },
            })
            .collect(),
        paths,
        cli_version: begin.cli_version.clone(),
        options: begin.options.clone(),
        live: begin.live || begin.is_spoken_to,
        workspace_config: workspace_config(session),
        tool_policies: agent
            .permissions
            .as_ref()
            .map(permissions::tool_policies)
            .unwrap_or_default(),
    }
}

/// What files in the session's workspace may decide.
fn workspace_config(session: &SessionRecord) -> WorkspaceConfig {
    let environment = session.environment.as_ref();
    match environment.and_then(|environment| environment.project_config) {
        None | Some(ProjectConfig::Instructions) => WorkspaceConfig::Instructions,
        Some(ProjectConfig::All) => WorkspaceConfig::All,
        Some(ProjectConfig::None) => WorkspaceConfig::None,
    }
}

/// A turn's prompt.
pub(crate) fn prompt(
    session: &SessionRecord,
    turn: &Turn,
    places: &Paths,
    description: &Description,
) -> Prompt {
    let mut blocks = blocks(turn, &places.workspace, description);
    let asks_itself =
        |capability: &Capability| matches!(capability, Capability::StructuredOutput(_));
    if let Some(schema) = &turn.output_schema
        && !description.capabilities.iter().any(asks_itself)
    {
        blocks.push(Block::Text(format!(
            "Answer with JSON alone, without a fence and without other words. It must fit this JSON \
             Schema: {schema}"
        )));
    }
    Prompt {
        turn: turn.turn_number,
        turn_id: turn_id(session.session.id, turn.turn_number).to_string(),
        blocks,
        settings: settings(session, turn)
            .into_iter()
            .map(|(id, value)| Setting {
                id: id.to_owned(),
                value: value.to_string(),
            })
            .collect(),
        limits: as_asked(&limits(session, turn)),
        output_schema: turn.output_schema.as_ref().map(Value::to_string),
    }
}

/// The settings that hold in a turn: the prompt's win over the session's, and those over the
/// agent's.
pub(crate) fn settings<'a>(
    session: &'a SessionRecord,
    turn: &'a Turn,
) -> BTreeMap<&'a str, &'a Value> {
    let all = [
        &session.agent.settings,
        &session.session.settings,
        &turn.settings,
    ];
    all.into_iter()
        .flatten()
        .map(|(id, value)| (id.as_str(), value))
        .collect()
}

/// The limits that are asked for in a turn: the prompt's win over the session's, and those over the
/// agent's.
pub(crate) fn limits(session: &SessionRecord, turn: &Turn) -> Limits {
    let session = session.agent.limits.overridden_by(&session.session.limits);
    session.overridden_by(&turn.limits)
}

fn as_asked(limits: &Limits) -> Vec<types::Limit> {
    let each = [
        limits.max_rounds.map(types::Limit::MaxRounds),
        limits.max_output_tokens.map(types::Limit::MaxOutputTokens),
        limits.max_cost_usd.map(types::Limit::MaxCostUsd),
    ];
    each.into_iter().flatten().collect()
}

fn skill(skill: &Skill) -> types::Skill {
    match skill {
        Skill::Inline {
            name, description, ..
        } => types::Skill {
            name: name.clone(),
            description: description.clone(),
        },
        Skill::Github { description, .. } => types::Skill {
            name: skill.name().into_owned(),
            description: description.clone(),
        },
    }
}

/// A turn's own UUID: the session's in the first turn, and one that is made of both later. It must
/// come out the same again after a restart.
fn turn_id(session: Uuid, turn: u32) -> Uuid {
    match turn {
        1 => session,
        // RFC 9562, section 5.5: by name, within the session's own namespace.
        _ => Uuid::new_v5(&session, &turn.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_the_log_hides_is_told_from_others() {
        let with = |url: &str| {
            let record = serde_json::json!({
                "adapter": "", "resume": null, "secrets": [], "cli_version": null, "options": "",
                "endpoints": [{ "provider": "acme", "url": url }],
            });
            serde_json::from_value::<BeginRecord>(record).unwrap()
        };
        assert!(!with("http://127.0.0.1:1/v1").hides_an_endpoint());
        let mut hidden = with("[redacted:ACME_BASE_URL]/v1");
        assert!(hidden.hides_an_endpoint());
        hidden.set_endpoints(Vec::new());
        assert!(!hidden.hides_an_endpoint());
    }

    #[test]
    fn turns_have_ids_of_their_own() {
        let session = Uuid::new_v4();
        let ids: std::collections::HashSet<Uuid> =
            (1..=5000).map(|turn| turn_id(session, turn)).collect();
        assert_eq!(ids.len(), 5000);
        assert_eq!(turn_id(session, 1), session);
        assert_eq!(turn_id(session, 7), turn_id(session, 7));
        assert!(ids.iter().all(|id| !id.is_nil()));
    }
}
