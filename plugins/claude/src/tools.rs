//! Calls of tools and what comes of them: answers, changed files, things to do.

use std::collections::HashMap;

use aod_plugin_sdk::json::{MaybeText, Text};
use aod_plugin_sdk::{
    ChangeKind, Diff, EventBody, FileChange, Image, Link, McpServer, Out, Part, ToolResult,
    tool_result,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::calls::{self, Input, Servers};
use crate::todos::Todos;
use crate::wire::{Block, Content, ToolUseMeta};

/// Calls that wait for their results, and the list of things to do.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    servers: Servers,
    calls: HashMap<String, Call>,
    pub(crate) todos: Todos,
}

/// A call whose result means something.
#[derive(Debug)]
enum Call {
    /// A file is written, and may be new.
    Write(String),
    /// A file is edited.
    Edit(String),
    /// The list of things to do changes.
    Todo(crate::todos::Change),
    /// An MCP server is asked.
    Mcp,
}

/// What a tool says for programs, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Detail<'a> {
    /// With files: `create` or `update`.
    #[serde(rename = "type")]
    kind: MaybeText<'a>,
    #[serde(borrow)]
    structured_patch: Option<&'a RawValue>,
    /// With a new task.
    #[serde(borrow)]
    task: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_links: Option<&'a RawValue>,
}

/// A piece of a changed file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Hunk<'a> {
    old_start: u64,
    old_lines: u64,
    new_start: u64,
    new_lines: u64,
    lines: Vec<Text<'a>>,
}

/// Something that an MCP server refers to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct ResourceLink<'a> {
    uri: Text<'a>,
    name: MaybeText<'a>,
    mime_type: MaybeText<'a>,
}

/// An image, by its bytes or by its address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Source<'a> {
    media_type: MaybeText<'a>,
    data: MaybeText<'a>,
    url: MaybeText<'a>,
}

impl Tools {
    pub(crate) fn new(servers: &[McpServer]) -> Self {
        Self {
            servers: Servers::new(servers),
            ..Self::default()
        }
    }

    /// Tells a call.
    pub(crate) fn call(&mut self, block: &Block<'_>, meta: &[ToolUseMeta<'_>], out: &mut Out) {
        let id = block.id.as_deref().unwrap_or_default();
        let name = block.name.as_deref().unwrap_or_default();
        let json = block.input.map_or("null", |input| input.get());
        if let Some(whose) = self.servers.find(name) {
            let meta = meta.iter().find(|meta| meta.id.0.as_deref() == Some(id));
            let display = meta.and_then(|meta| meta.display_name.0.as_deref());
            out.tool_call(calls::of_server(id, name, json, whose, display));
            self.calls.insert(id.to_owned(), Call::Mcp);
            return;
        }
        let input = Input::read(json);
        out.tool_call(calls::own(id, name, json, &input));
        let call = match name {
            "Write" => input.file().map(|path| Call::Write(path.to_owned())),
            "Edit" | "MultiEdit" | "NotebookEdit" => {
                input.file().map(|path| Call::Edit(path.to_owned()))
            }
            _ => Todos::change(name, &input).map(Call::Todo),
        };
        if let Some(call) = call {
            self.calls.insert(id.to_owned(), call);
        }
    }

    /// Tells a call's result, and what else came of the call. `detail` is what the tool says for
    /// programs.
    pub(crate) fn result(
        &mut self,
        id: &str,
        content: Content<'_>,
        is_error: bool,
        detail: Option<&RawValue>,
        out: &mut Out,
    ) {
        let (output, mut parts) = output(content);
        let call = self.calls.remove(id);
        let detail = match (&call, detail) {
            (Some(_), Some(detail)) => serde_json::from_str(detail.get()).unwrap_or_default(),
            _ => Detail::default(),
        };
        let diff = detail.structured_patch.and_then(unified);
        if let (Some(Call::Write(path) | Call::Edit(path)), Some(unified)) = (&call, &diff) {
            parts.push(Part::Diff(Diff {
                path: path.clone(),
                unified: unified.clone(),
            }));
        }
        parts.extend(detail.resource_links.into_iter().flat_map(links));
        out.tool_result(ToolResult {
            parts,
            ..tool_result(id, output, is_error)
        });
        if is_error {
            return;
        }
        match call {
            None | Some(Call::Mcp) => {}
            Some(Call::Write(path)) => {
                let is_new = detail.kind.0.as_deref() == Some("create");
                let kind = if is_new {
                    ChangeKind::Created
                } else {
                    ChangeKind::Modified
                };
                changed(path, kind, diff, id, out);
            }
            Some(Call::Edit(path)) => changed(path, ChangeKind::Modified, diff, id, out),
            Some(Call::Todo(change)) => self.todos.apply(change, detail.task, out),
        }
    }
}

fn changed(path: String, kind: ChangeKind, diff: Option<String>, call: &str, out: &mut Out) {
    out.emit(EventBody::FileChange(FileChange {
        path,
        kind,
        moved_from: None,
        diff,
        call_id: Some(call.to_owned()),
    }));
}

/// A patch as a unified diff; of one of another form, nothing.
fn unified(patch: &RawValue) -> Option<String> {
    let hunks: Vec<Hunk<'_>> = serde_json::from_str(patch.get()).ok()?;
    let mut diff = String::new();
    for hunk in &hunks {
        diff += &format!(
            "@@ -{},{} +{},{} @@\n",
            hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines
        );
        for line in &hunk.lines {
            diff += line;
            diff.push('\n');
        }
    }
    (!diff.is_empty()).then_some(diff)
}

fn links(links: &RawValue) -> Vec<Part> {
    let links: Vec<ResourceLink<'_>> = serde_json::from_str(links.get()).unwrap_or_default();
    let each = links.into_iter().map(|link| {
        Part::Link(Link {
            uri: link.uri.into(),
            name: link.name.0.map(Into::into),
            media_type: link.mime_type.0.map(Into::into),
        })
    });
    each.collect()
}

/// A content as text, and what of it is none.
fn output(content: Content<'_>) -> (String, Vec<Part>) {
    let blocks = match content {
        Content::Absent => return (String::new(), Vec::new()),
        Content::Text(text) => return (text.into(), Vec::new()),
        Content::Blocks(blocks) => blocks,
    };
    let mut whole: Option<String> = None;
    let mut parts = Vec::new();
    for block in blocks {
        let text = match (block.text, block.tool_name, block.source.and_then(image)) {
            (Some(text), ..) => String::from(text),
            (None, Some(name), _) => name.into(),
            (None, None, Some(image)) => {
                parts.push(image);
                continue;
            }
            (None, None, None) => format!("[{}]", &*block.kind),
        };
        match &mut whole {
            Some(whole) => {
                whole.push('\n');
                whole.push_str(&text);
            }
            None => whole = Some(text),
        }
    }
    (whole.unwrap_or_default(), parts)
}

fn image(source: &RawValue) -> Option<Part> {
    let source: Source<'_> = serde_json::from_str(source.get()).ok()?;
    let media_type = source.media_type.0.map(String::from);
    if let (Some(data), Some(media_type)) = (source.data.0, media_type.clone())
        && media_type.starts_with("image/")
    {
        return Some(Part::Image(Image {
            media_type,
            data: data.into(),
        }));
    }
    Some(Part::Link(Link {
        uri: source.url.0?.into(),
        name: None,
        media_type,
    }))
}
