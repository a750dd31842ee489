//! What is written to the agent, each message a line.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Block, Fragment, McpServer, McpTransport, McpValue, Template, mcp, text_of};
use serde_json::value::RawValue;

/// The request that a process begins with; the only one that the launch has, and not the fold.
pub(crate) const INITIALIZE: u64 = 0;

/// The first request, which the launch writes. It offers no files and terminals of the client's:
/// the agent has the sandbox's own.
#[must_use]
pub fn initialize() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{INITIALIZE},\"method\":\"initialize\",\"params\":{{\
         \"protocolVersion\":1,\"clientCapabilities\":{{\"fs\":{{\"readTextFile\":false,\
         \"writeTextFile\":false}},\"terminal\":false}},\"clientInfo\":{{\"name\":\"aod\",\
         \"version\":\"{version}\"}}}}}}\n"
    )
}

fn begin(id: u64, method: &str) -> Template {
    let mut request = Template::default();
    request
        .text(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":"))
        .json_text(method)
        .text(",\"params\":{");
    request
}

fn end(mut request: Template) -> Vec<Fragment> {
    request.text("}}\n");
    request.finish()
}

/// A request whose parameters are texts.
pub(crate) fn plain(id: u64, method: &str, parameters: &[(&str, &str)]) -> Vec<Fragment> {
    let mut request = begin(id, method);
    for (index, (name, value)) in parameters.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        request
            .text(comma)
            .json_text(name)
            .text(":")
            .json_text(value);
    }
    end(request)
}

/// Begins a session, or goes on with one. `http` says whether the agent reaches MCP servers so.
pub(crate) fn session(
    id: u64,
    method: &str,
    session: Option<&str>,
    folder: &str,
    servers: &[McpServer],
    http: bool,
) -> Vec<Fragment> {
    let mut request = begin(id, method);
    if let Some(session) = session {
        request.text("\"sessionId\":").json_text(session).text(",");
    }
    request
        .text("\"cwd\":")
        .json_text(folder)
        .text(",\"mcpServers\":[");
    let mut first = true;
    for server in servers {
        if !http && matches!(server.transport, McpTransport::Url(_)) {
            continue;
        }
        request.text(if first { "{" } else { ",{" });
        first = false;
        write_server(&mut request, server);
        request.text("}");
    }
    request.text("]");
    end(request)
}

fn write_server(request: &mut Template, server: &McpServer) {
    match &server.transport {
        McpTransport::Url(remote) => {
            request
                .text("\"type\":\"http\",\"name\":")
                .json_text(&server.name)
                .text(",\"url\":")
                .json_text(&remote.url)
                .text(",\"headers\":");
            write_values(request, &remote.headers);
        }
        McpTransport::Stdio(local) => {
            request
                .text("\"name\":")
                .json_text(&server.name)
                .text(",\"command\":")
                .json_text(&local.command)
                .text(",\"args\":");
            mcp::strings(request, &local.args);
            request.text(",\"env\":");
            write_values(request, &local.env);
        }
    }
}

/// Here names and values come as a list.
fn write_values(request: &mut Template, values: &[McpValue]) {
    request.text("[");
    for (index, value) in values.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        request
            .text(comma)
            .text("{\"name\":")
            .json_text(&value.name)
            .text(",\"value\":")
            .json_secret(&value.secret)
            .text("}");
    }
    request.text("]");
}

/// What is said in a prompt, or in more for one that runs.
pub(crate) struct Said<'a> {
    /// A block of the protocol's that comes before everything.
    pub(crate) before: Option<&'a str>,
    /// A text that comes before the rest.
    pub(crate) text: Option<&'a str>,
    pub(crate) blocks: &'a [Block],
    /// Whether the agent takes images, which are named otherwise.
    pub(crate) images: bool,
}

/// A prompt, or more for one that runs.
pub(crate) fn prompt(id: u64, method: &str, session: &str, said: &Said<'_>) -> Vec<Fragment> {
    let mut request = begin(id, method);
    request
        .text("\"sessionId\":")
        .json_text(session)
        .text(",\"prompt\":[");
    let mut first = true;
    if let Some(block) = said.before {
        request.text(block);
        first = false;
    }
    if let Some(text) = said.text {
        comma(&mut request, &mut first);
        write_text(&mut request, text);
    }
    for block in said.blocks {
        comma(&mut request, &mut first);
        match block {
            Block::Text(text) => write_text(&mut request, text),
            Block::Image(image) if said.images => {
                request
                    .text("{\"type\":\"image\",\"mimeType\":")
                    .json_text(&image.media_type)
                    .text(",\"data\":\"")
                    .attachment(&image.id)
                    .text("\"}");
            }
            Block::Image(_) | Block::File(_) => {
                write_text(&mut request, &text_of(std::slice::from_ref(block)));
            }
        }
    }
    request.text("]");
    end(request)
}

fn comma(request: &mut Template, first: &mut bool) {
    if !std::mem::take(first) {
        request.text(",");
    }
}

fn write_text(request: &mut Template, text: &str) {
    request
        .text("{\"type\":\"text\",\"text\":")
        .json_text(text)
        .text("}");
}

/// The wish to stop.
pub(crate) fn cancel(session: &str) -> Vec<Fragment> {
    let mut line =
        "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":".to_owned();
    write_string(&mut line, session);
    line.push_str("}}\n");
    aod_plugin_sdk::text(line)
}

/// The reply to a request for permission: an option's id, or none where the turn is stopped.
pub(crate) fn permission(id: &str, option: Option<&str>) -> Vec<Fragment> {
    let mut line =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"outcome\":{{\"outcome\":");
    match option {
        Some(option) => {
            line.push_str("\"selected\",\"optionId\":");
            write_string(&mut line, option);
        }
        None => line.push_str("\"cancelled\""),
    }
    line.push_str("}}}\n");
    aod_plugin_sdk::text(line)
}

/// The reply to a request that was not offered to be served.
pub(crate) fn not_found(id: &RawValue, method: &str) -> Vec<Fragment> {
    let mut line =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":");
    write_string(&mut line, &format!("this client has no method {method}"));
    line.push_str("}}\n");
    aod_plugin_sdk::text(line)
}
