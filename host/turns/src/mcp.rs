//! The sealed values of agents' MCP servers: how they are named and where they are kept.

use aod_resources::{McpPart, McpServer, McpTransport, mcp_secret_name};
use aod_store::{SealedKey, SealedKind};
use uuid::Uuid;

/// The sealed names that MCP servers' masks stand for, in order.
pub fn mcp_names(server: &McpServer) -> impl Iterator<Item = (&str, String)> {
    let (part, values) = match &server.transport {
        McpTransport::Url { headers, .. } => (McpPart::Header, headers),
        McpTransport::Stdio { env, .. } => (McpPart::Variable, env),
    };
    values
        .keys()
        .map(move |name| (name.as_str(), mcp_secret_name(&server.name, part, name)))
}

/// The key of an MCP server's sealed value.
pub fn mcp_key(owner: Uuid, agent: Uuid, name: String) -> SealedKey {
    SealedKey {
        owner,
        kind: SealedKind::AgentMcp,
        record: agent,
        name,
    }
}
