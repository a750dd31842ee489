//! The CLI's `config.toml`.
//!
//! It lies in `$HOME`, which is kept, so no secret may stand in it: the headers of MCP servers come
//! by the environment, and their variables by files in memory.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    File, McpServer, McpStdio, McpTransport, McpUrl, TurnContext, Variable, file, mcp, secret, text,
};

/// The file, with the files and variables that it speaks of.
pub(crate) struct Config {
    pub(crate) files: Vec<File>,
    pub(crate) variables: Vec<Variable>,
}

pub(crate) fn config(context: &TurnContext) -> Result<Config, String> {
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
    if let Some(system) = &context.system {
        writer.entry("developer_instructions", system);
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
    context: &'a TurnContext,
    toml: String,
    files: Vec<File>,
    variables: Vec<Variable>,
}

impl Writer<'_> {
    /// JSON strings are TOML strings.
    fn entry(&mut self, key: &str, value: &str) {
        self.toml.push_str(key);
        self.toml.push_str(" = ");
        write_string(&mut self.toml, value);
        self.toml.push('\n');
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

    fn server(&mut self, index: usize, server: &McpServer) -> Result<(), String> {
        self.toml.push_str("\n[mcp_servers.");
        write_string(&mut self.toml, &server.name);
        self.toml.push_str("]\n");
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

    fn local(&mut self, index: usize, name: &str, local: &McpStdio) -> Result<(), String> {
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
