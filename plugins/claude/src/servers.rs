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

    /// Tells what is new in the list that the CLI gives at the start of each round. A server that
    /// is not on it was left out without a word.
    pub(crate) fn listed(&mut self, servers: &[McpServer<'_>], out: &mut Out) {
        for server in servers {
            let state = match &*server.status {
                "connected" => McpState::Ready,
                "pending" | "connecting" => McpState::Connecting,
                "disabled" => McpState::Disabled,
                "needs-auth" => McpState::NeedsAuth,
                _ => McpState::Failed,
            };
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
