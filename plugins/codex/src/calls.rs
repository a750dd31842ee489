//! What the agent does: calls of tools, their answers, and the files that they change.

use std::collections::HashSet;

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    ChangeKind, EventBody, FileChange, Image, Link, Location, Out, Part, ToolCall, ToolKind,
    ToolResult, title, tool_call, tool_result,
};
use serde_json::value::RawValue;

use crate::wire::{Change, Content, Item, McpResult};

/// Calls that were told.
#[derive(Debug, Default)]
pub(crate) struct Calls(HashSet<String>);

impl Calls {
    /// Tells a call when it starts, or with its result if it was never seen to start. `id` is the
    /// item's, made unique in the session.
    pub(crate) fn item(&mut self, id: &str, item: Item<'_>, is_done: bool, out: &mut Out) {
        out.absorb();
        if self.0.insert(id.to_owned()) {
            out.tool_call(call(id, &item));
        }
        if is_done {
            result(id, item, out);
        }
    }
}

/// A call, with an id that is unique in the session.
pub(crate) fn call(id: &str, item: &Item<'_>) -> ToolCall {
    match (item.kind(), &item.server, &item.tool) {
        ("mcp_tool_call", Some(server), Some(tool)) => ToolCall {
            server: Some(server.to_string()),
            canonical_name: Some(tool.to_string()),
            ..tool_call(
                id,
                format!("{}.{}", &**server, &**tool),
                ToolKind::Mcp,
                item.arguments.map_or("null", RawValue::get),
            )
        },
        ("collab_tool_call", _, Some(_)) => ToolCall {
            title: item.prompt.and_then(text_of).and_then(|text| title(&text)),
            canonical_name: (item.collab_tool().as_deref() == Some("spawn_agent"))
                .then(|| "agent".to_owned()),
            ..tool_call(
                id,
                item.collab_tool().unwrap_or_default(),
                ToolKind::Agent,
                object(&[
                    ("prompt", item.prompt),
                    ("receiver_thread_ids", item.receiver_thread_ids),
                ]),
            )
        },
        ("file_change", ..) => {
            let changes = item.changes();
            ToolCall {
                title: about(&changes),
                canonical_name: Some("edit".to_owned()),
                locations: changes
                    .iter()
                    .map(|change| Location {
                        path: change.path.to_string(),
                        line: None,
                    })
                    .collect(),
                ..tool_call(
                    id,
                    item.kind(),
                    ToolKind::Edit,
                    object(&[("changes", item.changes)]),
                )
            }
        }
        ("view_image", ..) => {
            let path = item.path.0.as_deref().unwrap_or_default();
            let mut input = String::from("{\"path\":");
            write_string(&mut input, path);
            input.push('}');
            ToolCall {
                title: title(path),
                canonical_name: Some("read".to_owned()),
                ..tool_call(id, item.kind(), ToolKind::Read, input)
            }
        }
        ("web_search", ..) => ToolCall {
            title: item.query.and_then(text_of).and_then(|text| title(&text)),
            canonical_name: Some("web_search".to_owned()),
            ..tool_call(
                id,
                item.kind(),
                ToolKind::Fetch,
                object(&[("query", item.query)]),
            )
        },
        _ => ToolCall {
            title: item
                .command
                .and_then(text_of)
                .and_then(|command| title(&unwrapped(&command))),
            canonical_name: Some("bash".to_owned()),
            ..tool_call(
                id,
                item.kind(),
                ToolKind::Execute,
                object(&[("command", item.command)]),
            )
        },
    }
}

/// Tells what came of a call.
pub(crate) fn result(id: &str, item: Item<'_>, out: &mut Out) {
    let failed = item.is_unfinished()
        || item.exit_code.is_some_and(|code| code != 0)
        || item.error.is_some();
    if item.kind() == "file_change" {
        return changed(id, &item.changes(), failed, out);
    }
    let (output, parts) = match (item.error, item.result, item.aggregated_output) {
        (Some(error), ..) => (error.message.into(), Vec::new()),
        (None, Some(result), _) => answer(result),
        (None, None, Some(output)) => (output.into(), Vec::new()),
        (None, None, None) => {
            let states = item.agents_states.map(|states| states.get().to_owned());
            (String::new(), states.map(Part::Json).into_iter().collect())
        }
    };
    out.tool_result(ToolResult {
        parts,
        ..tool_result(id, output, failed)
    });
}

/// `exec` says which files changed, but not how; the app server says both.
fn changed(id: &str, changes: &[Change<'_>], failed: bool, out: &mut Out) {
    if failed {
        let paths: Vec<&str> = changes.iter().map(|change| &*change.path).collect();
        let output = format!("not changed: {}", paths.join(", "));
        return out.tool_result(tool_result(id, output, true));
    }
    out.tool_result(tool_result(id, "", false));
    for change in changes {
        let how = change.kind();
        let moved = how.move_path.0.map(String::from);
        let kind = match (&*how.kind, &moved) {
            ("add", _) => ChangeKind::Created,
            ("delete", _) => ChangeKind::Deleted,
            (_, Some(_)) => ChangeKind::Moved,
            _ => ChangeKind::Modified,
        };
        let diff = change.diff.0.as_deref();
        let before = change.path.to_string();
        out.emit(EventBody::FileChange(FileChange {
            diff: diff.map(|diff| unified(kind, diff)),
            moved_from: moved.is_some().then(|| before.clone()),
            path: moved.unwrap_or(before),
            kind,
            call_id: Some(id.to_owned()),
        }));
    }
}

/// A unified diff. Of a file that is new or gone the CLI gives the content, and of one that was
/// moved it says so behind the diff.
fn unified(kind: ChangeKind, given: &str) -> String {
    let (mark, header) = match kind {
        ChangeKind::Created => ('+', "@@ -0,0 +1,"),
        ChangeKind::Deleted => ('-', "@@ -1,"),
        ChangeKind::Moved => {
            let end = given.rfind("\n\nMoved to: ");
            return end.map_or(given, |end| &given[..end]).to_owned();
        }
        ChangeKind::Modified => return given.to_owned(),
    };
    let count = given.lines().count();
    let rest = if mark == '+' { "" } else { " +0,0" };
    let mut diff = format!("{header}{count}{rest} @@\n");
    for line in given.lines() {
        diff.push(mark);
        diff.push_str(line);
        diff.push('\n');
    }
    diff
}

/// An MCP server's answer as text, and what of it is none.
fn answer(result: McpResult<'_>) -> (String, Vec<Part>) {
    let mut texts: Vec<String> = Vec::new();
    let mut parts = Vec::new();
    for content in result.content {
        let kind = content.kind.to_string();
        match part(content) {
            Said::Text(text) => texts.push(text),
            Said::Part(part) => parts.push(part),
            Said::Unknown => texts.push(format!("[{kind}]")),
        }
    }
    if let (true, true, Some(structured)) = (texts.is_empty(), parts.is_empty(), result.structured)
    {
        // All that the model was given.
        texts.push(structured.get().to_owned());
    }
    (texts.join("\n"), parts)
}

enum Said {
    Text(String),
    Part(Part),
    Unknown,
}

fn part(mut content: Content<'_>) -> Said {
    if let Some(resource) = content.resource.take() {
        content.text = resource.text;
        content.data = resource.blob;
        content.mime_type = resource.mime_type;
        content.uri = resource.uri;
    }
    if let Some(text) = content.text.0 {
        return Said::Text(text.into());
    }
    let media_type = content.mime_type.0.map(String::from);
    match (content.data.0, media_type, content.uri.0) {
        (Some(data), Some(media_type), _) if media_type.starts_with("image/") => {
            Said::Part(Part::Image(Image {
                media_type,
                data: data.into(),
            }))
        }
        (_, media_type, Some(uri)) => Said::Part(Part::Link(Link {
            uri: uri.into(),
            name: content.name.0.map(Into::into),
            media_type,
        })),
        _ => Said::Unknown,
    }
}

fn about(changes: &[Change<'_>]) -> Option<String> {
    let (first, others) = changes.split_first()?;
    let first = title(&first.path)?;
    Some(match others.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    })
}

/// What a shell is told to run, without the shell and its quotation marks.
pub(crate) fn unwrapped(command: &str) -> String {
    let shells = ["/bin/bash -lc ", "/bin/sh -lc ", "bash -lc ", "sh -lc "];
    let Some(inner) = shells
        .into_iter()
        .find_map(|shell| command.strip_prefix(shell))
    else {
        return command.to_owned();
    };
    let within = |mark: char| inner.strip_prefix(mark)?.strip_suffix(mark);
    if let Some(quoted) = within('\'') {
        return quoted.replace("'\\''", "'");
    }
    let Some(quoted) = within('"') else {
        return inner.to_owned();
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut characters = quoted.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = |next: &char| matches!(next, '"' | '\\' | '$' | '`');
        match characters.next_if(|next| character == '\\' && escaped(next)) {
            Some(next) => plain.push(next),
            None => plain.push(character),
        }
    }
    plain
}

fn text_of(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}

fn object(entries: &[(&str, Option<&RawValue>)]) -> String {
    let mut object = String::from("{");
    for (key, value) in entries {
        if object.len() > 1 {
            object.push(',');
        }
        let value = value.map_or("null", RawValue::get);
        object.push_str(&format!("\"{key}\":{value}"));
    }
    object.push('}');
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_to_a_file_is_told_as_a_diff() {
        let content = "one\ntwo\n";
        assert_eq!(
            unified(ChangeKind::Created, content),
            "@@ -0,0 +1,2 @@\n+one\n+two\n"
        );
        assert_eq!(
            unified(ChangeKind::Deleted, content),
            "@@ -1,2 +0,0 @@\n-one\n-two\n"
        );
        assert_eq!(
            unified(ChangeKind::Moved, "@@ -1 +1 @@\n-a\n+b\n\n\nMoved to: /w/y"),
            "@@ -1 +1 @@\n-a\n+b\n"
        );
    }

    #[test]
    fn an_answer_has_what_the_server_embeds_and_structures() {
        let read = |json: &str| answer(serde_json::from_str(json).unwrap());
        let embedded = r#"{"content":[
            {"type":"resource","resource":{"uri":"file:///x","text":"all of it"}},
            {"type":"resource","resource":{"uri":"file:///y","mimeType":"image/png","blob":"AA=="}},
            {"type":"resource","resource":{"uri":"file:///z","blob":"AA=="}}
        ],"structuredContent":{"n":1}}"#;
        let (text, parts) = read(embedded);
        assert_eq!(text, "all of it");
        assert!(
            matches!(&parts[..], [Part::Image(_), Part::Link(link)] if link.uri == "file:///z"),
            "{parts:?}"
        );
        for key in ["structuredContent", "structured_content"] {
            let (text, parts) = read(&format!(r#"{{"content":[],"{key}":{{"n":[1]}}}}"#));
            assert_eq!((&*text, parts.len()), (r#"{"n":[1]}"#, 0));
        }
        let (text, _) = read(r#"{"content":[],"structuredContent":null}"#);
        assert_eq!(text, "");
    }

    #[test]
    fn a_command_is_shown_without_its_shell() {
        assert_eq!(
            unwrapped("/bin/bash -lc 'echo hi; exit 3'"),
            "echo hi; exit 3"
        );
        assert_eq!(unwrapped("/bin/bash -lc 'echo '\\''a'\\'''"), "echo 'a'");
        assert_eq!(
            unwrapped(r#"/bin/bash -lc "printf '%s\n' \"\$HOME\"""#),
            r#"printf '%s\n' "$HOME""#
        );
        assert_eq!(unwrapped("/bin/bash -lc ls"), "ls");
        assert_eq!(unwrapped("ls -la"), "ls -la");
    }
}
