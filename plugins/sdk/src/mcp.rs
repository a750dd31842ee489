//! MCP servers in the form in which many CLIs take them: a JSON object of servers by name.

use crate::{Context, Refusal, file, secret, text};
use crate::{File, Fragment, McpServer, McpStdio, McpTransport, McpValue, Template};

/// How a CLI names the keys of a server that is reached over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpKeys {
    /// The key of the endpoint, such as `url`.
    pub url: &'static str,
    /// A key that says that it is HTTP, with its value, if there must be one.
    pub kind: Option<(&'static str, &'static str)>,
}

/// Writes `{"NAME":{…},…}`: for child processes `command`, `args` and `env`, for HTTP the keys
/// given and `headers`; for both `timeout`, in milliseconds, where calls have one. Values of headers and variables are holes for secrets.
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
        if let Some(milliseconds) = server.call_timeout_ms {
            template.text(&format!(",\"timeout\":{milliseconds}"));
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

/// A command line for a server whose variables a CLI cannot be told without garbling or keeping
/// them, and the files that it needs: a script sets the variables from files in memory.
///
/// `index` tells the servers of a process apart.
///
/// # Errors
///
/// A variable's name is none that a shell can set.
pub fn launcher(
    context: &Context,
    index: usize,
    server: &str,
    local: &McpStdio,
) -> Result<(Vec<String>, Vec<File>), Refusal> {
    let given = [&local.command].into_iter().chain(&local.args).cloned();
    if local.env.is_empty() {
        return Ok((given.collect(), Vec::new()));
    }
    let path = format!("{}/mcp-{index}", context.paths.private);
    let mut script = String::new();
    let mut files = Vec::new();
    for (number, value) in local.env.iter().enumerate() {
        if !is_shell_name(&value.name) {
            return Err(crate::failure::unsupported(
                &format!("mcp_servers[{server}].env"),
                &format!(
                    "a variable cannot be named {:?} here; use letters, digits and underscores",
                    value.name
                ),
            ));
        }
        let value_path = format!("{path}-{number}");
        let (name, quoted) = (&value.name, value_path.replace('\'', "'\\''"));
        // The x keeps line feeds at the value's end.
        script += &format!("{name}=$(cat '{quoted}' && echo x)\n");
        script += &format!("export {name}=\"${{{name}%x}}\"\n");
        files.push(file(value_path, secret(&value.secret)));
    }
    script += "exec \"$@\"\n";
    let script_path = format!("{path}.sh");
    let words = ["sh".to_owned(), script_path.clone()];
    files.push(file(script_path, text(script)));
    Ok((words.into_iter().chain(given).collect(), files))
}

fn is_shell_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// MCP servers by what the names of their tools begin with, for CLIs that make one name of a
/// server's and a tool's.
#[derive(Debug, Default)]
pub struct ToolPrefixes(Vec<(String, String)>);

impl ToolPrefixes {
    /// `prefix` makes the beginning of a server's name.
    #[must_use]
    pub fn new(servers: &[McpServer], prefix: impl Fn(&str) -> String) -> Self {
        let mut all: Vec<_> = servers
            .iter()
            .map(|server| (prefix(&server.name), server.name.clone()))
            .collect();
        // Where one begins as another does, the longer one is meant.
        all.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(all)
    }

    /// The servers' own names.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, server)| server.as_str())
    }

    /// The names of a tool's server and of the tool itself, if it is one of these servers.
    #[must_use]
    pub fn find<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        self.0.iter().find_map(|(prefix, server)| {
            let tool = name.strip_prefix(prefix.as_str())?;
            Some((server.as_str(), tool))
        })
    }
}

/// A server's name with `_` for every character that is no ASCII letter, no digit and none of
/// `allowed`, as CLIs write it in the names of tools.
#[must_use]
pub fn plain_name(server: &str, allowed: &str) -> String {
    let is_valid = |each: char| each.is_ascii_alphanumeric() || allowed.contains(each);
    let each = server.chars();
    each.map(|each| if is_valid(each) { each } else { '_' })
        .collect()
}
