//! The CLI's `config.toml`.
//!
//! It lies in `$HOME`, which is kept, so no secret may stand in it: headers and variables of MCP
//! servers are named in it, and their values come by the environment.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    File, McpServer, McpStdio, McpTransport, McpUrl, TurnContext, Variable, file, secret, text,
};

/// The file, and the variables that it speaks of.
pub(crate) struct Config {
    pub(crate) file: File,
    pub(crate) variables: Vec<Variable>,
}

pub(crate) fn config(context: &TurnContext) -> Result<Config, String> {
    let mut writer = Writer::default();
    writer.toml.push_str("# Written anew before each turn.\n");
    if let Some(url) = endpoint(context) {
        writer.entry("openai_base_url", &url);
    }
    if let Some(system) = &context.system {
        writer.entry("developer_instructions", system);
    }
    for (index, server) in context.mcp_servers.iter().enumerate() {
        writer.server(index, server)?;
    }
    Ok(Config {
        file: file(
            format!("{}/.codex/config.toml", context.paths.home),
            text(writer.toml),
        ),
        variables: writer.variables,
    })
}

/// The variable is meant to hold the API's version, but a bare host is easily given.
fn endpoint(context: &TurnContext) -> Option<String> {
    let url = context.endpoint("openai")?;
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    if after_scheme.trim_end_matches('/').contains('/') {
        Some(url.to_owned())
    } else {
        context.versioned_endpoint("openai", "v1")
    }
}

#[derive(Default)]
struct Writer {
    toml: String,
    variables: Vec<Variable>,
}

impl Writer {
    /// JSON strings are TOML strings.
    fn entry(&mut self, key: &str, value: &str) {
        self.toml.push_str(key);
        self.toml.push_str(" = ");
        write_string(&mut self.toml, value);
        self.toml.push('\n');
    }

    fn list<'a>(&mut self, key: &str, values: impl IntoIterator<Item = &'a str>) {
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

    /// Two servers may want different values under one name, so a shell renames what the CLI
    /// passes on.
    fn local(&mut self, index: usize, name: &str, local: &McpStdio) -> Result<(), String> {
        if local.env.is_empty() {
            self.entry("command", &local.command);
            self.list("args", local.args.iter().map(String::as_str));
            return Ok(());
        }
        let mut script = String::new();
        let mut passed = Vec::new();
        for (number, value) in local.env.iter().enumerate() {
            if !is_shell_name(&value.name) {
                return Err(format!(
                    "MCP server {name}: codex cannot set a variable named {:?}; use letters, \
                     digits and underscores",
                    value.name
                ));
            }
            let variable = self.variable(index, number, &value.secret);
            script += &format!("export {}=\"${variable}\"; unset {variable}; ", value.name);
            passed.push(variable);
        }
        script += "exec \"$@\"";
        self.entry("command", "sh");
        let words = ["-c", &script, "sh", &local.command];
        let words = words
            .into_iter()
            .chain(local.args.iter().map(String::as_str));
        self.list("args", words);
        self.list("env_vars", passed.iter().map(String::as_str));
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

fn is_shell_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
