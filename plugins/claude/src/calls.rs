//! What a call of a tool is: its kind, what it is about, and whose tool it is.

use aod_plugin_sdk::json::MaybeText;
use aod_plugin_sdk::mcp::{self, ToolPrefixes};
use aod_plugin_sdk::{Location, McpServer, ToolCall, ToolKind, title, tool_call};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The parts of the tools' inputs that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Input<'a> {
    pub(crate) file_path: MaybeText<'a>,
    pub(crate) notebook_path: MaybeText<'a>,
    #[serde(borrow)]
    offset: Option<&'a RawValue>,
    command: MaybeText<'a>,
    pattern: MaybeText<'a>,
    path: MaybeText<'a>,
    url: MaybeText<'a>,
    query: MaybeText<'a>,
    description: MaybeText<'a>,
    skill: MaybeText<'a>,
    pub(crate) subject: MaybeText<'a>,
    #[serde(rename = "taskId")]
    pub(crate) task_id: MaybeText<'a>,
    pub(crate) status: MaybeText<'a>,
    #[serde(borrow)]
    pub(crate) todos: Option<&'a RawValue>,
}

impl<'a> Input<'a> {
    /// Reads an input; of one that is of another form, nothing.
    pub(crate) fn read(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// The file that is read or written.
    pub(crate) fn file(&self) -> Option<&str> {
        let paths = [&self.file_path, &self.notebook_path];
        paths.into_iter().find_map(|path| path.0.as_deref())
    }
}

/// A call of one of the CLI's own tools.
pub(crate) fn own(id: &str, name: &str, json: &str, input: &Input<'_>) -> ToolCall {
    let (kind, canonical) = kind_of(name);
    let about = match name {
        "Read" | "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => input.file(),
        "Glob" | "Grep" => input.pattern.0.as_deref(),
        "WebFetch" => input.url.0.as_deref(),
        "WebSearch" | "ToolSearch" => input.query.0.as_deref(),
        "Task" | "Agent" => input.description.0.as_deref(),
        "Skill" => input.skill.0.as_deref(),
        "TaskCreate" => input.subject.0.as_deref(),
        _ => input
            .command
            .0
            .as_deref()
            .or(input.description.0.as_deref()),
    };
    let place = match name {
        "Glob" | "Grep" => input.path.0.as_deref(),
        _ => input.file(),
    };
    ToolCall {
        title: about.and_then(title),
        canonical_name: canonical.map(str::to_owned),
        locations: place
            .map(|path| Location {
                path: path.to_owned(),
                line: input.offset.and_then(number),
            })
            .into_iter()
            .collect(),
        ..tool_call(id, name, kind, json)
    }
}

fn kind_of(name: &str) -> (ToolKind, Option<&'static str>) {
    match name {
        "Bash" | "PowerShell" => (ToolKind::Execute, Some("bash")),
        "Monitor" | "BashOutput" | "KillShell" | "KillBash" | "TaskOutput" | "TaskStop" => {
            (ToolKind::Execute, None)
        }
        "Read" => (ToolKind::Read, Some("read")),
        "Write" => (ToolKind::Edit, Some("write")),
        "Edit" | "MultiEdit" | "NotebookEdit" => (ToolKind::Edit, Some("edit")),
        "Glob" => (ToolKind::Search, Some("glob")),
        "Grep" => (ToolKind::Search, Some("grep")),
        "LSP" | "ToolSearch" => (ToolKind::Search, None),
        "WebFetch" | "web_fetch" => (ToolKind::Fetch, Some("web_fetch")),
        "WebSearch" | "web_search" => (ToolKind::Fetch, Some("web_search")),
        "TodoWrite" | "TaskCreate" | "TaskUpdate" | "TaskList" | "TaskGet" => {
            (ToolKind::Think, Some("todo"))
        }
        "EnterPlanMode" | "ExitPlanMode" => (ToolKind::Think, None),
        "Task" | "Agent" => (ToolKind::Agent, Some("agent")),
        _ => (ToolKind::Other, None),
    }
}

/// Numbers that a model has written as text are numbers all the same.
fn number(json: &RawValue) -> Option<u32> {
    json.get().trim_matches('"').parse().ok()
}

/// The MCP servers, by what the names of their tools begin with.
#[derive(Debug, Default)]
pub(crate) struct Servers(ToolPrefixes);

impl Servers {
    pub(crate) fn new(servers: &[McpServer]) -> Self {
        let prefix = |name: &str| format!("mcp__{}__", normalized(name));
        Self(ToolPrefixes::new(servers, prefix))
    }

    /// The names of a tool's server and of the tool itself, if it is one of a server.
    pub(crate) fn find<'n>(&'n self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let by_any = || name.strip_prefix("mcp__")?.split_once("__");
        self.0.find(name).or_else(by_any)
    }
}

/// A server's name as it stands in the names of its tools.
pub(crate) fn normalized(name: &str) -> String {
    mcp::plain_name(name, "_-")
}

/// A call of a tool of an MCP server; `display` is its name for people.
pub(crate) fn of_server(
    id: &str,
    name: &str,
    json: &str,
    (server, tool): (&str, &str),
    display: Option<&str>,
) -> ToolCall {
    ToolCall {
        title: display.and_then(title),
        server: Some(server.to_owned()),
        canonical_name: Some(tool.to_owned()),
        ..tool_call(id, name, ToolKind::Mcp, json)
    }
}

#[cfg(test)]
mod tests {
    use aod_plugin_sdk::testing::mcp_servers;

    use super::*;

    #[test]
    fn a_servers_name_may_hold_anything() {
        let mut servers = mcp_servers();
        servers[0].name = "a b".to_owned();
        servers[1].name = "a_b__c".to_owned();
        let servers = Servers::new(&servers);
        assert_eq!(servers.find("mcp__a_b__t"), Some(("a b", "t")));
        assert_eq!(servers.find("mcp__a_b__c__t"), Some(("a_b__c", "t")));
        assert_eq!(servers.find("mcp__else__t__u"), Some(("else", "t__u")));
        assert_eq!(servers.find("Read"), None);
    }
}
