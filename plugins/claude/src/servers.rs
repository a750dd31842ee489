//! Where the MCP servers stand.

use std::collections::HashMap;

use aod_plugin_sdk::{McpState, Out};

use crate::wire::McpServer;

/// The servers that were asked for, and how those stand that the CLI speaks of.
#[derive(Debug, Default)]
pub(crate) struct ServerStates {
    wanted: Vec<String>,
    told: HashMap<String, McpState>,
}

impl ServerStates {
    pub(crate) fn new(servers: &[aod_plugin_sdk::McpServer]) -> Self {
        Self {
            wanted: servers.iter().map(|server| server.name.clone()).collect(),
            told: HashMap::new(),
        }
    }

    /// Each server that was told of, and the CLI's word for how it stands, for a new instance.
    pub(crate) fn keep(&self) -> Vec<(String, String)> {
        let each = self.told.iter();
        let mut kept: Vec<_> = each
            .map(|(name, state)| (name.clone(), word_of(*state).to_owned()))
            .collect();
        kept.sort();
        kept
    }

    /// What `keep` gave, where all that was wanted has been told of.
    pub(crate) fn restore(&mut self, kept: Vec<(String, String)>) {
        self.wanted.clear();
        let each = kept.into_iter();
        self.told = each.map(|(name, word)| (name, state_of(&word))).collect();
    }

    /// Tells what is new in the list that the CLI gives at the start of each round. A server that
    /// is not on it was left out without a word.
    pub(crate) fn listed(&mut self, servers: &[McpServer<'_>], out: &mut Out) {
        for server in servers {
            let state = state_of(&server.status);
            let message = match (state, &*server.status) {
                (McpState::Failed, "failed" | "") => None,
                (McpState::Failed, other) => Some(other.to_owned()),
                _ => None,
            };
            if self.told.get(&*server.name) != Some(&state) {
                self.told.insert(server.name.to_string(), state);
                out.mcp_server(&*server.name, state, message);
            }
        }
        for name in std::mem::take(&mut self.wanted) {
            if !self.told.contains_key(&name) {
                let message = "the CLI did not load this server".to_owned();
                out.mcp_server(name, McpState::Failed, Some(message));
            }
        }
    }
}

fn state_of(word: &str) -> McpState {
    match word {
        "connected" => McpState::Ready,
        "pending" | "connecting" => McpState::Connecting,
        "disabled" => McpState::Disabled,
        "needs-auth" => McpState::NeedsAuth,
        _ => McpState::Failed,
    }
}

fn word_of(state: McpState) -> &'static str {
    match state {
        McpState::Ready => "connected",
        McpState::Connecting => "pending",
        McpState::Disabled => "disabled",
        McpState::NeedsAuth => "needs-auth",
        McpState::Failed => "failed",
    }
}
