//! Tools that agents call, and which of them they may call.

use std::collections::BTreeMap;

use aod_launch::CallAnswer;
use jsonschema::{PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The path of an endpoint that offers tools.
pub const TOOLS_PATH: &str = "/mcp";

/// Tools that whoever follows the turn answers: an MCP server of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolServer {
    /// The tools.
    pub tools: Vec<Tool>,
}

/// A tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Unique among them.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// A JSON Schema (2020-12) of what it is called with.
    pub input_schema: Map<String, Value>,
    /// Whether it may be called.
    pub permission: Permission,
    /// Milliseconds that a call waits for its answer, and before that for the permission.
    pub timeout_ms: u32,
    /// What is answered where nobody does.
    pub default: CallAnswer,
}

/// Whether a tool may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// It may.
    #[default]
    Allow,
    /// It may where somebody says so, call by call.
    Ask,
    /// It may not, and is not offered.
    Deny,
}

/// Which tools of an MCP server behind a gateway may be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPolicy {
    /// The server's name, for those who are asked.
    pub server: String,
    /// For all that are not named.
    pub default: Permission,
    /// By their names.
    pub tools: BTreeMap<String, Permission>,
    /// Milliseconds to be allowed in.
    pub timeout_ms: u32,
}

impl ToolPolicy {
    /// Whether a tool may be called.
    #[must_use]
    pub fn of(&self, tool: &str) -> Permission {
        self.tools.get(tool).copied().unwrap_or(self.default)
    }
}

/// A JSON Schema (2020-12), ready to be held against values. References lead nowhere outside of it,
/// and patterns are matched in linear time.
///
/// # Errors
/// What is wrong with the schema.
pub fn json_schema(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| error.to_string())
}
