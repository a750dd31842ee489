//! What tests give to agents and environments.

use serde_json::Value;

use crate::program::repository;

/// Adds fields to a body, in the place of those of the same name.
pub fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

/// A setup script that places the fixture of an MCP server in the workspace, as `server.mjs`.
///
/// # Panics
/// When the fixture cannot be read.
#[must_use]
pub fn place_mcp_server() -> String {
    let path = repository().join("tests/standin/fixtures/mcp-server.mjs");
    match std::fs::read_to_string(&path) {
        Ok(source) => {
            format!("cat >/workspace/server.mjs <<'END-OF-SERVER'\n{source}\nEND-OF-SERVER\n")
        }
        Err(error) => panic!("cannot read {}: {error}", path.display()),
    }
}
