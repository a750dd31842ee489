//! The CLI's configuration for one turn: a file in memory, so that secrets may stand in it.

use aod_plugin_sdk::{Context, Fragment, McpServer, McpTransport, Template, mcp};

pub(crate) fn config(context: &Context, system_path: &str) -> Vec<Fragment> {
    let mut config = Template::default();
    config.text("{\"autoupdate\":false,\"share\":\"disabled\",\"provider\":{");
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
    if context.system.is_some() {
        config
            .text(",\"instructions\":[")
            .json_text(system_path)
            .text("]");
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
