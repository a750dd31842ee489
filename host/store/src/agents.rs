//! Agents and their versions.

use aod_resources::{Agent, AgentVersion, Timestamp};
use uuid::Uuid;

use crate::{Page, Result, SealedValue, SecretsUpdate, Store, versioned};

impl Store {
    /// Adds an agent as version 1, with the sealed values of its MCP servers. `created_at` is
    /// taken from it; `version`, `archived_at` and `updated_at` are set here.
    ///
    /// # Errors
    /// [`crate::Error::AlreadyExists`] when the id is taken.
    pub async fn create_agent(
        &self,
        owner: Uuid,
        agent: Agent,
        secrets: Vec<SealedValue>,
    ) -> Result<Agent> {
        self.write(move |db| versioned::create(db, owner, agent, secrets))
            .await
    }

    /// An agent, archived or not.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], also for another user's.
    pub async fn agent(&self, owner: Uuid, id: Uuid) -> Result<Agent> {
        self.read_row(move |db| versioned::get(db, owner, id)).await
    }

    /// A user's agents that are not archived, newest first.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when `page.after` names none of theirs.
    pub async fn list_agents(&self, owner: Uuid, page: Page) -> Result<Vec<Agent>> {
        self.read(move |db| versioned::list(db, owner, page)).await
    }

    /// Puts `agent` in the place of its version `expected_version`. Of its fields, `version` and
    /// the dates are ignored. An update that changes nothing returns the agent as it is.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Archived`],
    /// [`crate::Error::VersionMismatch`].
    pub async fn update_agent(
        &self,
        owner: Uuid,
        expected_version: i64,
        agent: Agent,
        secrets: SecretsUpdate,
        at: Timestamp,
    ) -> Result<Agent> {
        self.write(move |db| versioned::update(db, owner, expected_version, agent, secrets, at))
            .await
    }

    /// Archives an agent, for good.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`]; [`crate::Error::Archived`] when it is so already.
    pub async fn archive_agent(&self, owner: Uuid, id: Uuid, at: Timestamp) -> Result<Agent> {
        self.write(move |db| versioned::archive(db, owner, id, at))
            .await
    }

    /// All versions of an agent, newest first.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub async fn agent_versions(&self, owner: Uuid, id: Uuid) -> Result<Vec<AgentVersion>> {
        self.read(move |db| {
            let versions = versioned::versions(db, owner, id)?;
            Ok(versions
                .into_iter()
                .map(|agent| AgentVersion { agent })
                .collect())
        })
        .await
    }
}
