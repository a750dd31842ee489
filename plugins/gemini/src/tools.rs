//! The CLI's tools.

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::mcp::{self, ToolPrefixes};
use aod_plugin_sdk::{Location, TodoItem, TodoStatus, ToolCall, ToolKind, tool_call};
use serde::Deserialize;

/// What the success of a call means.
#[derive(Debug)]
pub(crate) enum Effect {
    Write(String),
    Todos(Vec<TodoItem>),
}

/// As the CLI makes names of a server's tools.
pub(crate) fn prefix(server: &str) -> String {
    let valid = mcp::plain_name(server, "_-.:");
    match valid.strip_prefix("mcp_") {
        Some(_) => format!("{valid}_"),
        None => format!("mcp_{valid}_"),
    }
}

/// The input of the CLI's own tools, as far as it says what a call is about.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Input<'a> {
    file_path: Option<Text<'a>>,
    dir_path: Option<Text<'a>>,
    command: Option<Text<'a>>,
    pattern: Option<Text<'a>>,
    query: Option<Text<'a>>,
    prompt: Option<Text<'a>>,
    agent_name: Option<Text<'a>>,
    todos: Vec<Todo<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    description: Text<'a>,
    status: Text<'a>,
}

/// What a call is, and what its success means.
pub(crate) fn call(
    servers: &ToolPrefixes,
    id: Text<'_>,
    name: Text<'_>,
    input: &str,
) -> (ToolCall, Option<Effect>) {
    if let Some((server, tool)) = servers.find(&name) {
        let call = ToolCall {
            server: Some(server.to_owned()),
            canonical_name: Some(tool.to_owned()),
            ..tool_call(id, &*name, ToolKind::Mcp, input)
        };
        return (call, None);
    }
    let (kind, canonical) = kind(&name);
    let read: Input<'_> = serde_json::from_str(input).unwrap_or_default();
    let effect = match &*name {
        "write_file" | "replace" => read
            .file_path
            .as_deref()
            .map(|path| Effect::Write(path.to_owned())),
        "write_todos" => Some(Effect::Todos(
            read.todos.into_iter().map(Todo::item).collect(),
        )),
        _ => None,
    };
    let path = read.file_path.or(read.dir_path);
    let titles = [
        read.command,
        read.agent_name,
        read.pattern,
        read.query,
        read.prompt,
    ];
    let title = titles.into_iter().flatten().next();
    let call = ToolCall {
        title: title.or_else(|| path.clone()).map(Into::into),
        canonical_name: canonical.map(str::to_owned),
        locations: path
            .map(|path| Location {
                path: path.into(),
                line: None,
            })
            .into_iter()
            .collect(),
        ..tool_call(id, name, kind, input)
    };
    (call, effect)
}

/// What a tool has put out, without what the CLI adds to it for the model.
pub(crate) fn output(name: &str, said: &str) -> String {
    let inner = said
        .strip_prefix("<untrusted_context>\n")
        .and_then(|it| it.strip_suffix("\n</untrusted_context>"));
    let inner = inner.unwrap_or(said);
    if name != "run_shell_command" {
        return inner.to_owned();
    }
    let inner = inner.strip_prefix("Output: ").unwrap_or(inner);
    let (before, last) = inner.rsplit_once('\n').unwrap_or(("", inner));
    match last.starts_with("Process Group PGID: ") {
        true => before.to_owned(),
        false => inner.to_owned(),
    }
}

fn kind(name: &str) -> (ToolKind, Option<&'static str>) {
    match name {
        "run_shell_command" => (ToolKind::Execute, Some("bash")),
        "read_file" => (ToolKind::Read, Some("read")),
        "read_many_files" | "list_directory" | "get_internal_docs" | "read_mcp_resource"
        | "list_mcp_resources" => (ToolKind::Read, None),
        "write_file" => (ToolKind::Edit, Some("write")),
        "replace" => (ToolKind::Edit, Some("edit")),
        "glob" => (ToolKind::Search, Some("glob")),
        "grep_search" | "search_file_content" => (ToolKind::Search, Some("grep")),
        "web_fetch" => (ToolKind::Fetch, Some("web_fetch")),
        "google_web_search" => (ToolKind::Fetch, Some("web_search")),
        "write_todos" => (ToolKind::Think, Some("todo")),
        "enter_plan_mode" | "exit_plan_mode" | "update_topic" => (ToolKind::Think, None),
        "invoke_agent" => (ToolKind::Agent, Some("agent")),
        _ => (ToolKind::Other, None),
    }
}

impl Todo<'_> {
    fn item(self) -> TodoItem {
        TodoItem {
            text: self.description.into(),
            status: match &*self.status {
                "in_progress" => TodoStatus::InProgress,
                "completed" | "cancelled" => TodoStatus::Completed,
                _ => TodoStatus::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::output;

    #[test]
    fn what_a_command_puts_out_is_told_alone() {
        let wrapped = |text: &str| format!("<untrusted_context>\n{text}\n</untrusted_context>");
        let said = wrapped("Output: a\nb\nExit Code: 3\nProcess Group PGID: 12");
        assert_eq!(output("run_shell_command", &said), "a\nb\nExit Code: 3");
        assert_eq!(output("run_shell_command", "odd"), "odd");
        assert_eq!(output("mcp_x_y", &wrapped("Output: a")), "Output: a");
    }
}
