//! Values of MCP servers' headers and variables, which are secrets.

use indexmap::IndexMap;
use secrecy::SecretString;

use super::Secrets;
use crate::{McpServer, McpTransport};

/// What a value that is kept sealed reads as.
pub const MASK: &str = "***";

/// Where in an MCP server's declaration a secret value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpPart {
    /// A header of a server reached over HTTP.
    Header,
    /// A variable of a server run inside the sandbox.
    Variable,
}

/// The name under which the value of an MCP server's header or variable is sealed.
pub fn mcp_secret_name(server: &str, part: McpPart, name: &str) -> String {
    let part = match part {
        McpPart::Header => "headers",
        McpPart::Variable => "env",
    };
    format!("mcp/{server}/{part}/{name}")
}

/// Puts a mask in the place of each value, and returns the values by [`mcp_secret_name`]. What
/// already is a mask has no value.
pub(super) fn mask(servers: &mut [McpServer]) -> Secrets {
    let mut secrets = Secrets::new();
    for McpServer {
        name, transport, ..
    } in servers
    {
        let (part, values): (_, &mut IndexMap<String, String>) = match transport {
            McpTransport::Url { headers, .. } => (McpPart::Header, headers),
            McpTransport::Stdio { env, .. } => (McpPart::Variable, env),
        };
        for (key, value) in values {
            let value = std::mem::replace(value, MASK.to_owned());
            if value != MASK {
                let name = mcp_secret_name(name, part, key);
                secrets.insert(name, SecretString::from(value));
            }
        }
    }
    secrets
}
