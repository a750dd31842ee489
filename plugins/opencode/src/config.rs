//! The CLI's configuration for one turn: a file in memory, so that secrets may stand in it.

use aod_plugin_sdk::{
    Context, Fragment, McpServer, McpTransport, OwnPolicies, Policy, Template, WorkspaceConfig, mcp,
};

/// Files of the workspace that are read as instructions.
const INSTRUCTIONS: &[&str] = &["AGENTS.md", "CLAUDE.md", "CONTEXT.md"];

/// What a configuration is made of, besides the facts of the process.
pub(crate) struct Parts<'a> {
    /// Where what the agent's author adds to the system prompt stands.
    pub(crate) system_path: &'a str,
    pub(crate) plugin_path: &'a str,
    /// With a CLI that is spoken to: whether it asks before it changes anything.
    pub(crate) asks: Option<bool>,
    /// What may be called of its own tools.
    pub(crate) policies: Option<&'a OwnPolicies>,
}

/// What it asks for before it changes anything.
const CHANGING: [&str; 4] = ["edit", "bash", "webfetch", "external_directory"];

/// Of several rules for a tool the last one counts.
fn write_permissions(
    config: &mut Template,
    context: &Context,
    asks_before_changes: bool,
    policies: &OwnPolicies,
) {
    config.text("\"permission\":{\"*\":\"");
    config.text(word(policies.default)).text("\"");
    // The rule for all is for its own tools, and not for those of servers, which are named after
    // them: `aod` has the agent's own.
    let servers = context
        .mcp_servers
        .iter()
        .map(|server| server.name.as_str());
    for server in servers.chain(["aod"]) {
        config
            .text(",")
            .json_text(&format!("{server}_*"))
            .text(":\"allow\"");
    }
    for (tool, policy) in &policies.each {
        let policy = match policy {
            Policy::Allow if asks_before_changes && CHANGING.contains(tool) => Policy::Ask,
            other => *other,
        };
        if policy != policies.default {
            config.text(&format!(",\"{tool}\":\"{}\"", word(policy)));
        }
    }
    config.text("},");
}

const fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Allow => "allow",
        Policy::Ask => "ask",
        Policy::Deny => "deny",
    }
}

pub(crate) fn config(context: &Context, parts: &Parts<'_>) -> Vec<Fragment> {
    let mut config = Template::default();
    config
        .text("{\"autoupdate\":false,\"share\":\"disabled\",\"plugin\":[")
        .json_text(&format!("file://{}", parts.plugin_path))
        .text("],");
    if let Some(policies) = parts.policies {
        write_permissions(&mut config, context, parts.asks == Some(true), policies);
    } else {
        match parts.asks {
            None => {}
            Some(false) => {
                config.text("\"permission\":\"allow\",");
            }
            Some(true) => {
                config.text("\"permission\":{\"*\":\"allow\"");
                for tool in CHANGING {
                    config.text(&format!(",\"{tool}\":\"ask\""));
                }
                config.text("},");
            }
        }
    }
    if parts.asks.is_some() {
        // Otherwise it asks the model for a title.
        config.text("\"agent\":{\"title\":{\"disable\":true}},");
    }
    config.text("\"provider\":{");
    config.json_text(context.provider()).text(":{");
    if let Some(url) = endpoint(context) {
        config
            .text("\"options\":{\"baseURL\":")
            .json_text(&url)
            .text("},");
    }
    // A model that its own catalog lacks must be named; one that it has is not changed by that.
    config
        .text("\"models\":{")
        .json_text(context.model_id())
        .text(":{}}}}");
    let mut instructions: Vec<String> = Vec::new();
    // With its own configuration the CLI leaves these files of the workspace aside, too.
    if context.workspace_config == WorkspaceConfig::Instructions {
        let workspace = &context.paths.workspace;
        instructions.extend(
            INSTRUCTIONS
                .iter()
                .map(|name| format!("{workspace}/{name}")),
        );
    }
    if context.system.is_some() {
        instructions.push(parts.system_path.to_owned());
    }
    if !instructions.is_empty() {
        config.text(",\"instructions\":");
        mcp::strings(&mut config, &instructions);
    }
    config.text(",\"mcp\":{");
    for (index, server) in context.mcp_servers.iter().enumerate() {
        if index > 0 {
            config.text(",");
        }
        write_server(&mut config, server);
    }
    config.text("}}");
    config.finish()
}

/// Its clients want the API's version in the URL; of the users' variables only OpenAI's has it.
fn endpoint(context: &Context) -> Option<String> {
    match context.provider() {
        "google" => context.versioned_endpoint("google", "v1beta"),
        "openai" => context.completed_endpoint("openai", "v1"),
        other => context.versioned_endpoint(other, "v1"),
    }
}

fn write_server(config: &mut Template, server: &McpServer) {
    config.json_text(&server.name).text(":{\"type\":");
    match &server.transport {
        McpTransport::Url(remote) => {
            config
                .text("\"remote\",\"url\":")
                .json_text(&remote.url)
                // Without it, a server that refuses a header is met with a browser.
                .text(",\"oauth\":false");
            mcp::values(config, ",\"headers\":", &remote.headers);
        }
        McpTransport::Stdio(local) => {
            let words: Vec<String> = [&local.command]
                .into_iter()
                .chain(&local.args)
                .cloned()
                .collect();
            config.text("\"local\",\"command\":");
            mcp::strings(config, &words);
            mcp::values(config, ",\"environment\":", &local.env);
        }
    }
    if let Some(milliseconds) = server.call_timeout_ms {
        config.text(&format!(",\"timeout\":{milliseconds}"));
    }
    config.text("}");
}
