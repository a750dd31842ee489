//! The CLI's settings for one turn.
//!
//! They go by a file of their own, which comes before `~/.gemini/settings.json`. The CLI replaces
//! `$NAME` in every string of it by a variable's value: a secret that holds a dollar sign would
//! be garbled, so secrets, and texts with dollar signs, come as variables.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Fragment, McpServer, McpTransport, McpValue, TurnContext, Variable, secret};

/// The file below `~/.gemini` with what the agent's author adds to the system prompt.
pub(crate) const INSTRUCTIONS: &str = "agent-instructions.md";

/// A dead provider ends a turn after some fifteen seconds; without a bound it takes minutes.
const MAX_ATTEMPTS: u32 = 3;

/// The file's content, and the variables that it speaks of.
pub(crate) struct Settings {
    pub(crate) json: String,
    pub(crate) variables: Vec<Variable>,
}

pub(crate) fn settings(context: &TurnContext) -> Settings {
    let mut settings = Settings {
        json: format!(
            "{{\"security\":{{\"auth\":{{\"selectedType\":\"gemini-api-key\"}}}},\
             \"general\":{{\"maxAttempts\":{MAX_ATTEMPTS},\"enableAutoUpdate\":false}},\
             \"privacy\":{{\"usageStatisticsEnabled\":false}},\
             \"context\":{{\"fileName\":[\"GEMINI.md\",\"{INSTRUCTIONS}\"]}},\
             \"mcpServers\":{{"
        ),
        variables: Vec::new(),
    };
    for (index, server) in context.mcp_servers.iter().enumerate() {
        if index > 0 {
            settings.json.push(',');
        }
        settings.server(server);
    }
    settings.json.push_str("}}");
    settings
}

impl Settings {
    fn server(&mut self, server: &McpServer) {
        write_string(&mut self.json, &server.name);
        self.json.push_str(":{");
        match &server.transport {
            McpTransport::Url(remote) => {
                self.json.push_str("\"httpUrl\":");
                self.text(&remote.url);
                self.values(",\"headers\":", &remote.headers);
            }
            McpTransport::Stdio(local) => {
                self.json.push_str("\"command\":");
                self.text(&local.command);
                self.json.push_str(",\"args\":[");
                for (index, argument) in local.args.iter().enumerate() {
                    if index > 0 {
                        self.json.push(',');
                    }
                    self.text(argument);
                }
                self.json.push(']');
                self.values(",\"env\":", &local.env);
            }
        }
        self.json.push('}');
    }

    fn values(&mut self, before: &str, values: &[McpValue]) {
        if values.is_empty() {
            return;
        }
        self.json.push_str(before);
        self.json.push('{');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            write_string(&mut self.json, &value.name);
            self.json.push(':');
            self.variable(secret(&value.secret));
        }
        self.json.push('}');
    }

    fn text(&mut self, text: &str) {
        if text.contains('$') {
            self.variable(vec![Fragment::Text(text.to_owned())]);
        } else {
            write_string(&mut self.json, text);
        }
    }

    fn variable(&mut self, value: Vec<Fragment>) {
        let name = format!("AOD_MCP_{}", self.variables.len());
        write_string(&mut self.json, &format!("${{{name}}}"));
        self.variables.push(Variable { name, value });
    }
}
