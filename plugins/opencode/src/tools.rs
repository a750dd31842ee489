//! The CLI's tools. A call and its answer come in one line.

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::mcp::{self, ToolPrefixes};
use aod_plugin_sdk::{
    ChangeKind, Diff, EventBody, FileChange, Image, Location, Out, Part, TodoItem, TodoStatus,
    ToolCall, ToolKind, ToolResult, tool_call, tool_result,
};
use serde::Deserialize;

use crate::wire::{Attachment, FileMetadata, Metadata, State};

/// How the names of a server's tools begin.
pub(crate) fn prefix(server: &str) -> String {
    format!("{}_", mcp::plain_name(server, "_-"))
}

/// Tells of a call, its answer, and what it changed.
pub(crate) fn tell(servers: &ToolPrefixes, id: &str, name: &str, state: &State<'_>, out: &mut Out) {
    call(servers, id, name, state, out);
    answer(id, name, state, out);
}

/// Tells of a call.
pub(crate) fn call(servers: &ToolPrefixes, id: &str, name: &str, state: &State<'_>, out: &mut Out) {
    let input = state.input.map_or("null", |input| input.get());
    let read: Input<'_> = serde_json::from_str(input).unwrap_or_default();
    let (kind, canonical) = kind(name);
    let mut call = ToolCall {
        title: title(state).map(str::to_owned),
        locations: [&read.path, &read.folder]
            .into_iter()
            .flatten()
            .map(|path| Location {
                path: path.to_string(),
                line: None,
            })
            .collect(),
        canonical_name: canonical.map(str::to_owned),
        ..tool_call(id, name, kind, input)
    };
    // The CLI's own tools come first; their names have no server's prefix.
    if kind == ToolKind::Other
        && let Some((server, tool)) = servers.find(name)
    {
        call.kind = ToolKind::Mcp;
        call.server = Some(server.to_owned());
        call.canonical_name = Some(tool.to_owned());
        call.locations = Vec::new();
    }
    out.tool_call(call);
}

/// What the CLI says of a call for people.
pub(crate) fn title<'a>(state: &'a State<'_>) -> Option<&'a str> {
    state.title.as_deref().filter(|title| !title.is_empty())
}

/// Tells the answer of a call, and what it changed.
pub(crate) fn answer(id: &str, name: &str, state: &State<'_>, out: &mut Out) {
    let input = state.input.map_or("null", |input| input.get());
    let read: Input<'_> = serde_json::from_str(input).unwrap_or_default();
    let is_error = &*state.status != "completed";
    let output = match (&state.error.0, &state.output.0) {
        (Some(error), _) if is_error => &**error,
        (_, Some(output)) => &**output,
        (_, None) => "",
    };
    let changes = match &state.metadata {
        Some(metadata) if !is_error => changes(name, &read, metadata, id),
        None if !is_error => changes(name, &read, &Metadata::default(), id),
        _ => Vec::new(),
    };
    let diffs = changes.iter().filter_map(|change| {
        Some(Part::Diff(Diff {
            path: change.path.clone(),
            unified: change.diff.clone()?,
        }))
    });
    let images = state.attachments.iter().filter_map(image);
    out.tool_result(ToolResult {
        parts: diffs.chain(images).collect(),
        ..tool_result(id, output, is_error)
    });
    for change in changes {
        out.emit(EventBody::FileChange(change));
    }
    if !is_error && name == "todowrite" {
        out.todo(read.todos.into_iter().map(Todo::item).collect());
    }
}

fn kind(name: &str) -> (ToolKind, Option<&'static str>) {
    match name {
        "bash" => (ToolKind::Execute, Some("bash")),
        "read" => (ToolKind::Read, Some("read")),
        "list" => (ToolKind::Read, None),
        "write" => (ToolKind::Edit, Some("write")),
        "edit" | "multiedit" => (ToolKind::Edit, Some("edit")),
        "apply_patch" => (ToolKind::Edit, None),
        "glob" => (ToolKind::Search, Some("glob")),
        "grep" => (ToolKind::Search, Some("grep")),
        "webfetch" => (ToolKind::Fetch, Some("web_fetch")),
        "websearch" => (ToolKind::Fetch, Some("web_search")),
        "todowrite" => (ToolKind::Think, Some("todo")),
        "todoread" => (ToolKind::Think, None),
        "task" => (ToolKind::Agent, Some("agent")),
        _ => (ToolKind::Other, None),
    }
}

/// The files that a call changed.
fn changes(
    name: &str,
    input: &Input<'_>,
    metadata: &Metadata<'_>,
    call_id: &str,
) -> Vec<FileChange> {
    let change = |path: &str, kind, diff: Option<&Text<'_>>| FileChange {
        path: path.to_owned(),
        kind,
        moved_from: None,
        diff: diff.map(|diff| unified(diff)),
        call_id: Some(call_id.to_owned()),
    };
    match name {
        "write" | "edit" | "multiedit" => {
            let kind = match metadata.exists {
                Some(false) => ChangeKind::Created,
                _ => ChangeKind::Modified,
            };
            let path = input.path.iter();
            path.map(|path| change(path, kind, metadata.diff.as_ref()))
                .collect()
        }
        "apply_patch" => {
            let each = metadata.files.iter().map(|file| {
                let kind = match &*file.kind {
                    "add" => ChangeKind::Created,
                    "delete" => ChangeKind::Deleted,
                    "move" => ChangeKind::Moved,
                    _ => ChangeKind::Modified,
                };
                let changed = change(&file.path, kind, file.patch.as_ref());
                match moved_to(file) {
                    Some(to) => FileChange {
                        path: to.to_owned(),
                        kind: ChangeKind::Moved,
                        moved_from: Some(changed.path),
                        ..changed
                    },
                    None => changed,
                }
            });
            each.collect()
        }
        _ => Vec::new(),
    }
}

fn moved_to<'a>(file: &'a FileMetadata<'_>) -> Option<&'a str> {
    file.moved_to.as_deref().filter(|to| *to != &*file.path)
}

/// Without the lines that this CLI puts in front.
fn unified(diff: &str) -> String {
    let from = diff.find("--- ").unwrap_or(0);
    diff[from..].to_owned()
}

/// An image that is told as a `data:` URL.
fn image(attachment: &Attachment<'_>) -> Option<Part> {
    let (kind, data) = attachment.url.strip_prefix("data:")?.split_once(",")?;
    let media_type = kind.strip_suffix(";base64")?;
    media_type.starts_with("image/").then(|| {
        Part::Image(Image {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        })
    })
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Input<'a> {
    #[serde(rename = "filePath")]
    path: Option<Text<'a>>,
    /// Where to search.
    #[serde(rename = "path")]
    folder: Option<Text<'a>>,
    todos: Vec<Todo<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    content: Text<'a>,
    status: Text<'a>,
}

impl Todo<'_> {
    fn item(self) -> TodoItem {
        TodoItem {
            text: self.content.into(),
            status: match &*self.status {
                "in_progress" => TodoStatus::InProgress,
                "completed" | "cancelled" => TodoStatus::Completed,
                _ => TodoStatus::Pending,
            },
        }
    }
}
