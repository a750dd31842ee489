//! The CLI's settings for one turn.
//!
//! They are its user's settings, `~/.gemini/settings.json`, written anew before each turn: it takes
//! system settings only from folders of root's, of whom nothing is seen in a sandbox. The file is
//! kept, so no secret may stand in it. The CLI replaces `$NAME` in every string of it by a
//! variable's value, so secrets, and texts with dollar signs, come as variables. In headers and variables of MCP servers it does so twice: variables come by files
//! instead; a header whose value holds a dollar sign before a letter cannot be saved.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    Context, File, Fragment, Limit, McpServer, McpTransport, McpValue, Refusal, Variable,
    WorkspaceConfig, mcp, secret,
};

/// The file below `~/.gemini` with what the agent's author adds to the system prompt.
pub(crate) const INSTRUCTIONS: &str = "agent-instructions.md";

/// A dead provider ends a turn after some fifteen seconds; without a bound it takes minutes.
const MAX_ATTEMPTS: u32 = 3;

/// The file's content, with the files and variables that it speaks of.
pub(crate) struct Settings {
    pub(crate) json: String,
    pub(crate) files: Vec<File>,
    pub(crate) variables: Vec<Variable>,
}

/// `limits` are those that hold for all that the process does.
pub(crate) fn settings(context: &Context, limits: &[Limit]) -> Result<Settings, Refusal> {
    let rounds = limits.iter().find_map(|limit| match limit {
        Limit::MaxRounds(rounds) => Some(format!("\"model\":{{\"maxSessionTurns\":{rounds}}},")),
        _ => None,
    });
    let files = match context.workspace_config {
        WorkspaceConfig::None => String::new(),
        WorkspaceConfig::Instructions | WorkspaceConfig::All => "\"GEMINI.md\",".to_owned(),
    };
    let rounds = rounds.unwrap_or_default();
    let mut settings = Settings {
        json: format!(
            "{{\"security\":{{\"auth\":{{\"selectedType\":\"gemini-api-key\"}}}},\
             \"general\":{{\"maxAttempts\":{MAX_ATTEMPTS},\"enableAutoUpdate\":false,\
             \"sessionRetention\":{{\"enabled\":false}}}},{rounds}\
             \"privacy\":{{\"usageStatisticsEnabled\":false}},\
             \"context\":{{\"fileName\":[{files}\"{INSTRUCTIONS}\"]}},\
             \"mcpServers\":{{"
        ),
        files: Vec::new(),
        variables: Vec::new(),
    };
    for (index, server) in context.mcp_servers.iter().enumerate() {
        if index > 0 {
            settings.json.push(',');
        }
        settings.server(context, index, server)?;
    }
    settings.json.push_str("}}");
    Ok(settings)
}

impl Settings {
    fn server(
        &mut self,
        context: &Context,
        index: usize,
        server: &McpServer,
    ) -> Result<(), Refusal> {
        write_string(&mut self.json, &server.name);
        self.json.push_str(":{");
        match &server.transport {
            McpTransport::Url(remote) => {
                self.json.push_str("\"httpUrl\":");
                self.text(&remote.url);
                self.headers(&remote.headers);
            }
            McpTransport::Stdio(local) => {
                let (words, files) = mcp::launcher(context, index, &server.name, local)?;
                self.files.extend(files);
                for (index, word) in words.iter().enumerate() {
                    self.json.push_str(match index {
                        0 => "\"command\":",
                        1 => ",\"args\":[",
                        _ => ",",
                    });
                    self.text(word);
                }
                if words.len() > 1 {
                    self.json.push(']');
                }
            }
        }
        if let Some(milliseconds) = server.call_timeout_ms {
            self.json.push_str(&format!(",\"timeout\":{milliseconds}"));
        }
        self.json.push('}');
        Ok(())
    }

    fn headers(&mut self, headers: &[McpValue]) {
        if headers.is_empty() {
            return;
        }
        self.json.push_str(",\"headers\":{");
        for (index, value) in headers.iter().enumerate() {
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
