//! The facts of a turn, as its adapter is given them.

use aod_resources::{Skill, Turn};
use aod_runtime::types::{self, TurnContext};
use aod_sandbox::SandboxDriver;
use aod_store::SessionRecord;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::paths::SessionPaths;
use crate::secrets;

/// What the log's `Begin` keeps of a turn, so that a host that starts anew can give a new adapter
/// instance the same facts. No secret's value is among them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// SHA-256 of the adapter, in hex.
    pub(crate) adapter: String,
    /// What the adapter had asked to remember.
    pub(crate) resume: Option<String>,
    /// Names of the secrets at hand.
    pub(crate) secrets: Vec<String>,
    /// Base URLs that the user gave.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The CLI's version.
    pub(crate) cli_version: Option<String>,
    /// The runtime's options.
    pub(crate) options: String,
}

/// A base URL for a provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    provider: String,
    url: String,
}

impl From<types::Endpoint> for Endpoint {
    fn from(endpoint: types::Endpoint) -> Self {
        Self {
            provider: endpoint.provider,
            url: endpoint.url,
        }
    }
}

/// The sandbox's folders, as the CLI sees them.
pub(crate) fn sandbox_paths(driver: &dyn SandboxDriver, paths: &SessionPaths) -> types::Paths {
    let show = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    types::Paths {
        home: show(driver.place(&paths.home(), aod_sandbox::HOME.as_ref())),
        workspace: show(driver.place(&paths.workspace(), aod_sandbox::WORKSPACE.as_ref())),
        private: show(driver.private_dir(&paths.home())),
    }
}

/// Puts the facts together.
pub(crate) fn context(
    session: &SessionRecord,
    turn: &Turn,
    facts: &Facts,
    paths: types::Paths,
) -> TurnContext {
    let agent = &session.agent;
    TurnContext {
        session_id: session.session.id.to_string(),
        turn: turn.turn_number,
        turn_id: turn_id(session.session.id, turn.turn_number).to_string(),
        prompt: turn.prompt.clone(),
        system: agent.system.clone().filter(|system| !system.is_empty()),
        model: session.session.model.clone(),
        mcp_servers: secrets::mcp_servers(agent),
        skills: agent.skills.iter().map(skill).collect(),
        resume: facts.resume.clone(),
        secrets: facts.secrets.clone(),
        endpoints: facts
            .endpoints
            .iter()
            .map(|endpoint| types::Endpoint {
                provider: endpoint.provider.clone(),
                url: endpoint.url.clone(),
            })
            .collect(),
        paths,
        cli_version: facts.cli_version.clone(),
        options: facts.options.clone(),
    }
}

fn skill(skill: &Skill) -> types::Skill {
    match skill {
        Skill::Inline {
            name, description, ..
        } => types::Skill {
            name: name.clone(),
            description: description.clone(),
        },
        Skill::Github {
            source,
            name,
            description,
            ..
        } => types::Skill {
            name: name.clone().unwrap_or_else(|| {
                source
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_ascii_lowercase()
            }),
            description: description.clone(),
        },
    }
}

/// A turn's own UUID: the session's in the first turn, one made of both later. It must come out
/// the same again after a restart.
fn turn_id(session: Uuid, turn: u32) -> Uuid {
    if turn == 1 {
        return session;
    }
    Uuid::new_v5(&session, &turn.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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
