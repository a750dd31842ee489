//! Agents: kept with their versions, their models checked against the catalog, the values of
//! their MCP servers sealed.

use std::collections::HashSet;

use aod_resources::{
    Agent, AgentChanges, AgentVersion, CustomTool, McpServer, McpTransport, NewAgent, Secrets,
    Timestamp, Value,
};
use aod_store::{Page, SealedKind, SealedValue, SecretsUpdate, Store};
use aod_turns::{Seals, mcp_names};
use uuid::Uuid;

use crate::runtimes::Runtimes;
use crate::{Error, Kind, Result};

/// The agents of all users.
#[derive(Clone, Debug)]
pub struct Agents {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
}

impl Agents {
    /// Creates an agent.
    ///
    /// # Errors
    /// [`Error::RuntimeUnknown`], [`Error::RuntimeUnusable`], [`Error::Model`],
    /// [`Error::MaskWithoutValue`], [`Error::Tool`], [`Error::NotFound`] for the environment,
    /// [`Error::StillCompiling`] where the runtime is being compiled and that takes long.
    pub async fn create(&self, owner: Uuid, new: NewAgent) -> Result<Agent> {
        self.runtimes
            .check_when_compiled(&new.runtime, &new.model)
            .await?;
        if let Some(environment) = new.environment_id {
            self.store.environment(owner, environment).await?;
        }
        self.runtimes.check_settings(&new.runtime, &new.settings)?;
        check_masks(&new.mcp_servers, &new.mcp_secrets, &HashSet::new())?;
        check_tools(&new.tools, &new.mcp_servers)?;
        if let Some(permissions) = &new.permissions {
            self.runtimes.check_permissions(&new.runtime, permissions)?;
        }
        let id = Uuid::new_v4();
        let secrets = self.seal(owner, id, &new.mcp_secrets)?;
        let now = Timestamp::now();
        let agent = Agent {
            id,
            kind: aod_resources::AgentType::Agent,
            name: new.name,
            description: new.description,
            system: new.system,
            runtime: new.runtime,
            model: new.model,
            environment_id: new.environment_id,
            skills: new.skills,
            mcp_servers: new.mcp_servers,
            tools: new.tools,
            permissions: new.permissions,
            metadata: new
                .metadata
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            settings: new.settings,
            limits: new.limits,
            git_identity: new.git_identity,
            version: 1,
            archived_at: None,
            created_at: now,
            updated_at: now,
        };
        Ok(self.store.create_agent(owner, agent, secrets).await?)
    }

    /// A user's agents that are not archived, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the page begins after none of theirs.
    pub async fn list(&self, owner: Uuid, page: Page) -> Result<Vec<Agent>> {
        Ok(self.store.list_agents(owner, page).await?)
    }

    /// One agent.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, owner: Uuid, id: Uuid) -> Result<Agent> {
        Ok(self.store.agent(owner, id).await?)
    }

    /// Changes an agent.
    ///
    /// # Errors
    /// As [`Agents::create`], [`Error::VersionMismatch`] and [`Error::Archived`].
    pub async fn update(&self, owner: Uuid, id: Uuid, changes: AgentChanges) -> Result<Agent> {
        let mut agent = self.store.agent(owner, id).await?;
        if agent.archived_at.is_some() {
            return Err(Error::Archived(Kind::Agent));
        }
        // A stale client learns that first: the rest of what it says is about another version.
        if changes.version != agent.version {
            return Err(Error::VersionMismatch {
                expected: agent.version,
                got: changes.version,
            });
        }
        if changes.runtime.is_some() || changes.model.is_some() {
            let runtime = changes.runtime.as_ref().unwrap_or(&agent.runtime);
            let model = changes.model.as_ref().unwrap_or(&agent.model);
            self.runtimes.check_when_compiled(runtime, model).await?;
        }
        if let Some(Some(environment)) = changes.environment_id {
            self.store.environment(owner, environment).await?;
        }
        let mut secrets = SecretsUpdate::Keep;
        if let Some(servers) = changes.mcp_servers {
            let sealed = self
                .store
                .list_sealed(owner, SealedKind::AgentMcp, id)
                .await?;
            let known = sealed.into_iter().map(|record| record.key.name).collect();
            check_masks(&servers, &changes.mcp_secrets, &known)?;
            if !changes.mcp_secrets.is_empty() {
                secrets = SecretsUpdate::Put(self.seal(owner, id, &changes.mcp_secrets)?);
            }
            check_tools(&[], &servers)?;
            agent.mcp_servers = servers;
        }
        if let Some(tools) = changes.tools {
            check_tools(&tools, &[])?;
            agent.tools = tools;
        }
        agent.name = changes.name.unwrap_or(agent.name);
        agent.runtime = changes.runtime.unwrap_or(agent.runtime);
        agent.model = changes.model.unwrap_or(agent.model);
        agent.description = changes.description.unwrap_or(agent.description);
        agent.system = changes.system.unwrap_or(agent.system);
        agent.environment_id = changes.environment_id.unwrap_or(agent.environment_id);
        agent.skills = changes.skills.unwrap_or(agent.skills);
        agent.permissions = changes.permissions.unwrap_or(agent.permissions);
        if let Some(permissions) = &agent.permissions {
            self.runtimes
                .check_permissions(&agent.runtime, permissions)?;
        }
        if let Some(identity) = changes.git_identity {
            agent.git_identity = identity;
        }
        if let Some(settings) = changes.settings {
            self.runtimes.check_settings(&agent.runtime, &settings)?;
            agent.settings = settings;
        }
        agent.limits = changes.limits.unwrap_or(agent.limits);
        for (key, value) in changes.metadata.unwrap_or_default() {
            if value.is_empty() {
                agent.metadata.shift_remove(&key);
            } else {
                agent.metadata.insert(key, value);
            }
        }
        let now = Timestamp::now();
        Ok(self
            .store
            .update_agent(owner, changes.version, agent, secrets, now)
            .await?)
    }

    /// Archives an agent for good.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Archived`] where it is already.
    pub async fn archive(&self, owner: Uuid, id: Uuid) -> Result<Agent> {
        Ok(self
            .store
            .archive_agent(owner, id, Timestamp::now())
            .await?)
    }

    /// All versions of an agent, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn versions(&self, owner: Uuid, id: Uuid) -> Result<Vec<AgentVersion>> {
        Ok(self.store.agent_versions(owner, id).await?)
    }

    fn seal(&self, owner: Uuid, record: Uuid, secrets: &Secrets) -> Result<Vec<SealedValue>> {
        Ok(self
            .seals
            .seal_all(owner, SealedKind::AgentMcp, record, secrets)?)
    }
}

/// Tools must have schemas of objects, and a server whose tools are restricted a URL that can be
/// guarded.
fn check_tools(tools: &[CustomTool], servers: &[McpServer]) -> Result<()> {
    for (index, tool) in tools.iter().enumerate() {
        let wrong = |problem: String| {
            Err(Error::Tool {
                field: format!("tools[{index}].input_schema"),
                problem,
            })
        };
        if tool.input_schema.get("type").and_then(Value::as_str) != Some("object") {
            return wrong("its type should be \"object\"".to_owned());
        }
        if let Err(problem) = aod_turns::json_schema(&Value::Object(tool.input_schema.clone())) {
            return wrong(problem);
        }
    }
    for (index, server) in servers.iter().enumerate() {
        let McpTransport::Url { url, headers } = &server.transport else {
            continue;
        };
        // Only what is read in one way is reached by a gateway, which keeps headers to itself.
        let is_guarded = server.permissions.is_some() || !headers.is_empty();
        let problem = if !aod_turns::is_server_url(url) {
            "it should be an http or https URL of a host"
        } else if is_guarded && !aod_turns::is_plain_url(url) {
            "with permissions or headers, it should be an http or https URL of a host, without \
             user information"
        } else {
            continue;
        };
        return Err(Error::Tool {
            field: format!("mcp_servers[{index}].url"),
            problem: problem.to_owned(),
        });
    }
    Ok(())
}

/// Every mask must stand for a value: one that comes with it, or one that is sealed already.
fn check_masks(servers: &[McpServer], given: &Secrets, known: &HashSet<String>) -> Result<()> {
    for server in servers {
        for (name, sealed) in mcp_names(server) {
            if !given.contains_key(&sealed) && !known.contains(&sealed) {
                return Err(Error::MaskWithoutValue {
                    server: server.name.clone(),
                    name: name.to_owned(),
                });
            }
        }
    }
    Ok(())
}
