//! The CLI's `config.toml`.
//!
//! It lies in `$HOME`, which is kept, so no secret may stand in it: the headers of MCP servers come
//! by the environment, and their variables by files in memory.

use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    Context, File, McpServer, McpStdio, McpTransport, McpUrl, Prompt, Refusal, Variable,
    WorkspaceConfig, file, mcp, secret, text,
};

use crate::EFFORT;
use crate::launch::LOG_VARIABLE;

/// How long the CLI waits for an MCP server to start before it asks the model without it. Left to
/// itself, it waits for one second.
const SERVER_START_MS: u32 = 20_000;

/// The file, with the files and variables that it speaks of.
pub(crate) struct Config {
    pub(crate) files: Vec<File>,
    pub(crate) variables: Vec<Variable>,
}

/// `is_spoken_to`: for the app server, which is told the effort with each prompt and the key once.
pub(crate) fn config(
    context: &Context,
    prompt: &Prompt,
    is_spoken_to: bool,
) -> Result<Config, Refusal> {
    let mut writer = Writer {
        context,
        toml: String::new(),
        files: Vec::new(),
        variables: Vec::new(),
    };
    writer.toml.push_str("# Written anew before each turn.\n");
    if let Some(url) = context.completed_endpoint("openai", "v1") {
        writer.entry("openai_base_url", &url);
    }
    if is_spoken_to {
        // The key stays in the process's memory.
        writer.entry("cli_auth_credentials_store", "ephemeral");
    } else if let Some(effort) = prompt.setting_text(EFFORT) {
        writer.entry("model_reasoning_effort", &effort);
    }
    if let Some(system) = &context.system {
        writer.entry("developer_instructions", system);
    }
    if context.workspace_config == WorkspaceConfig::None {
        // Not even instructions are read.
        writer.number("project_doc_max_bytes", 0);
    }
    if !context.mcp_servers.is_empty() {
        writer.number("mcp_optional_startup_grace_ms", SERVER_START_MS);
    }
    // Else all of the CLI's environment is written to a file in `$HOME`.
    writer
        .toml
        .push_str("\n[features]\nshell_snapshot = false\n");
    if context.workspace_config != WorkspaceConfig::All {
        // Else each new home fetches a market place of them from GitHub and from the vendor.
        writer.toml.push_str("plugins = false\n");
    }
    if !context.has_secret(LOG_VARIABLE) {
        // How the CLI logs is not how the agent's own programs should.
        writer.toml.push_str("\n[shell_environment_policy]\n");
        writer.list("exclude", [LOG_VARIABLE]);
    }
    if context.workspace_config == WorkspaceConfig::All {
        // Else the workspace's own `.codex/config.toml` is not obeyed.
        writer.table("projects", &context.paths.workspace);
        writer.entry("trust_level", "trusted");
    }
    for (index, server) in context.mcp_servers.iter().enumerate() {
        writer.server(index, server)?;
    }
    writer.files.push(file(
        format!("{}/.codex/config.toml", context.paths.home),
        text(writer.toml),
    ));
    Ok(Config {
        files: writer.files,
        variables: writer.variables,
    })
}

struct Writer<'a> {
    context: &'a Context,
    toml: String,
    files: Vec<File>,
    variables: Vec<Variable>,
}

impl Writer<'_> {
    fn table(&mut self, table: &str, name: &str) {
        self.toml.push_str("\n[");
        self.toml.push_str(table);
        self.toml.push('.');
        write_string(&mut self.toml, name);
        self.toml.push_str("]\n");
    }

    /// JSON strings are TOML strings.
    fn entry(&mut self, key: &str, value: &str) {
        self.toml.push_str(key);
        self.toml.push_str(" = ");
        write_string(&mut self.toml, value);
        self.toml.push('\n');
    }

    fn number(&mut self, key: &str, value: u32) {
        self.toml.push_str(&format!("{key} = {value}\n"));
    }

    fn list<'v>(&mut self, key: &str, values: impl IntoIterator<Item = &'v str>) {
        self.toml.push_str(key);
        self.toml.push_str(" = [");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.toml.push_str(", ");
            }
            write_string(&mut self.toml, value);
        }
        self.toml.push_str("]\n");
    }

    fn server(&mut self, index: usize, server: &McpServer) -> Result<(), Refusal> {
        if !is_name(&server.name) {
            return Err(unsupported(
                &format!("mcp_servers[{index}].name"),
                "this CLI takes letters, digits and any of _ - . : @ / only",
            ));
        }
        self.table("mcp_servers", &server.name);
        self.number("startup_timeout_sec", SERVER_START_MS / 1000);
        if let Some(milliseconds) = server.call_timeout_ms {
            self.number("tool_timeout_sec", milliseconds.div_ceil(1000));
        }
        match &server.transport {
            McpTransport::Url(remote) => self.remote(index, remote),
            McpTransport::Stdio(local) => self.local(index, &server.name, local)?,
        }
        Ok(())
    }

    fn remote(&mut self, index: usize, remote: &McpUrl) {
        self.entry("url", &remote.url);
        if remote.headers.is_empty() {
            return;
        }
        self.toml.push_str("env_http_headers = { ");
        for (number, header) in remote.headers.iter().enumerate() {
            if number > 0 {
                self.toml.push_str(", ");
            }
            let variable = self.variable(index, number, &header.secret);
            write_string(&mut self.toml, &header.name);
            self.toml.push_str(" = ");
            write_string(&mut self.toml, &variable);
        }
        self.toml.push_str(" }\n");
    }

    fn local(&mut self, index: usize, name: &str, local: &McpStdio) -> Result<(), Refusal> {
        let (words, files) = mcp::launcher(self.context, index, name, local)?;
        self.files.extend(files);
        let mut words = words.iter().map(String::as_str);
        self.entry("command", words.next().unwrap_or_default());
        self.list("args", words);
        Ok(())
    }

    fn variable(&mut self, server: usize, number: usize, value: &str) -> String {
        let name = format!("AOD_MCP_{server}_{number}");
        self.variables.push(Variable {
            name: name.clone(),
            value: secret(value),
        });
        name
    }
}

/// Any other name is refused by the CLI, in its log only.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_:@/.-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part)
}
