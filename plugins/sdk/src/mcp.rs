//! MCP servers in the form in which many CLIs take them: a JSON object of servers by name.

use crate::{Fragment, McpServer, McpTransport, McpValue, Template};

/// How a CLI names the keys of a server that is reached over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpKeys {
    /// The key of the endpoint, such as `url`.
    pub url: &'static str,
    /// A key that says that it is HTTP, with its value, if there must be one.
    pub kind: Option<(&'static str, &'static str)>,
}

/// Writes `{"NAME":{…},…}`: for child processes `command`, `args` and `env`, for HTTP the keys
/// given and `headers`. Values of headers and variables are holes for secrets.
pub fn servers(template: &mut Template, servers: &[McpServer], http: HttpKeys) {
    template.text("{");
    for (index, server) in servers.iter().enumerate() {
        if index > 0 {
            template.text(",");
        }
        template.json_text(&server.name).text(":{");
        match &server.transport {
            McpTransport::Url(remote) => {
                if let Some((key, value)) = http.kind {
                    template.json_text(key).text(":").json_text(value).text(",");
                }
                template
                    .json_text(http.url)
                    .text(":")
                    .json_text(&remote.url);
                values(template, ",\"headers\":", &remote.headers);
            }
            McpTransport::Stdio(local) => {
                template.text("\"command\":").json_text(&local.command);
                template.text(",\"args\":");
                strings(template, &local.args);
                values(template, ",\"env\":", &local.env);
            }
        }
        template.text("}");
    }
    template.text("}");
}

/// `servers` below a key of an object of its own: `{"KEY":{…}}`.
#[must_use]
pub fn object(key: &str, given: &[McpServer], http: HttpKeys) -> Vec<Fragment> {
    let mut template = Template::default();
    template.text("{").json_text(key).text(":");
    servers(&mut template, given, http);
    template.text("}");
    template.finish()
}

/// Writes a JSON array of strings.
pub fn strings(template: &mut Template, strings: &[String]) {
    template.text("[");
    for (index, string) in strings.iter().enumerate() {
        if index > 0 {
            template.text(",");
        }
        template.json_text(string);
    }
    template.text("]");
}

/// Writes a JSON object of names and secrets; nothing, with nothing before it, if there are none.
pub fn values(template: &mut Template, before: &str, values: &[McpValue]) {
    if values.is_empty() {
        return;
    }
    template.text(before).text("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            template.text(",");
        }
        template
            .json_text(&value.name)
            .text(":")
            .json_secret(&value.secret);
    }
    template.text("}");
}
