//! A call of a tool: what is known of it, and how it is told.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    ChangeKind, Diff, EventBody, FileChange, Location, Out, Part, ToolCall, ToolKind, ToolResult,
    tool_call, tool_result, tool_update,
};
use serde_json::value::RawValue;

use crate::dialect::Dialect;
use crate::expected::Expected;
use crate::names::{self, Servers};
use crate::pieces::{Change, other_part, output, text_of};
use crate::wire::{self, Piece, RawOutput, UpdateMeta};

/// What is known of a call. Updates have only what has changed.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// The turn that it was begun in.
    pub(crate) turn: u32,
    pub(crate) inside: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) first_title: String,
    pub(crate) title: String,
    pub(crate) kind: String,
    pub(crate) input: Option<String>,
    pub(crate) locations: Vec<Location>,
    pub(crate) changes: Vec<Change>,
    /// What an agent says of it as a whole, again and again.
    pub(crate) said: String,
    /// What it has put out since it is under way.
    pub(crate) output: String,
    /// Whether the user did not let it.
    pub(crate) refused: bool,
    pub(crate) told: bool,
    pub(crate) ended: bool,
    /// A result that waits for its text.
    pub(crate) held: Option<ToolResult>,
}

/// What an update says that was not known.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) title: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) locations: Vec<Location>,
}

impl News {
    pub(crate) fn tell(self, id: &str, out: &mut Out) {
        if self.title.is_some() || self.output.is_some() || !self.locations.is_empty() {
            let mut update = tool_update(id);
            update.title = self.title;
            update.output = self.output;
            update.locations = self.locations;
            out.tool_update(update);
        }
    }
}

impl Call {
    /// What comes to the output. Each update has the whole of it, except where an agent sends a
    /// terminal's bytes.
    pub(crate) fn new_output(
        &mut self,
        meta: &UpdateMeta<'_>,
        pieces: &[Piece<'_>],
    ) -> Option<String> {
        let terminal = meta.terminal_output_delta.as_ref();
        if let Some(terminal) = terminal.or(meta.terminal_output.as_ref()) {
            self.output.push_str(&terminal.data);
            return Some(terminal.data.to_string());
        }
        let said = text_of(pieces)?;
        let new = said.strip_prefix(self.said.as_str()).unwrap_or(&said);
        // What an agent says of a call before it is under way is no output.
        let new = (self.told && !new.is_empty()).then(|| new.to_owned());
        self.output.push_str(new.as_deref().unwrap_or_default());
        self.said = said;
        new
    }

    pub(crate) fn tell(
        &mut self,
        id: &str,
        servers: &Servers,
        expected: &mut Expected,
        dialect: &mut impl Dialect,
        out: &mut Out,
    ) {
        if self.told {
            return;
        }
        self.told = true;
        let name = self.name(id).to_owned();
        let input = self.input.take().or_else(|| expected.take(id, &name));
        let input = input.unwrap_or_else(|| self.described());
        let server = servers.find(&name, &self.first_title);
        let kind = names::kind(&self.kind);
        let canonical = match server {
            Some((_, tool)) => Some(tool),
            None => names::canonical(&name, kind),
        };
        let kind = match canonical {
            _ if server.is_some() => ToolKind::Mcp,
            Some("agent") => ToolKind::Agent,
            _ => kind,
        };
        let call = ToolCall {
            title: Some(self.title.clone()).filter(|title| !title.is_empty()),
            server: server.map(|(server, _)| server.to_owned()),
            canonical_name: canonical.map(str::to_owned),
            locations: self.locations.clone(),
            ..tool_call(id, &*name, kind, input)
        };
        out.tool_call(dialect.call(call));
    }

    pub(crate) fn end(
        &mut self,
        id: &str,
        failed: bool,
        holds: bool,
        pieces: &[Piece<'_>],
        raw: Option<&RawValue>,
        out: &mut Out,
    ) {
        self.ended = true;
        let known = std::mem::take(&mut self.output);
        let mut result: ToolResult = tool_result(id, output(pieces, raw, known), failed);
        let mut changes = Vec::new();
        if !failed {
            changes = self.changes(id, raw);
        }
        let diffs = changes.iter().filter_map(|change| {
            Some(Part::Diff(Diff {
                path: change.path.clone(),
                unified: change.diff.clone()?,
            }))
        });
        result.parts = diffs.chain(pieces.iter().filter_map(other_part)).collect();
        if holds && result.output.is_empty() && result.parts.is_empty() {
            self.held = Some(result);
        } else {
            out.tool_result(result);
        }
        for change in changes {
            out.emit(EventBody::FileChange(change));
        }
    }

    /// What the agent itself says, a title that can be a name, or a kind that says something.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        if let Some(name) = self.name.as_deref().or_else(|| names::in_call_id(id)) {
            return name;
        }
        let can_be_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let title = &self.first_title;
        let has_name = !title.is_empty() && title.bytes().all(can_be_name);
        match self.kind.as_str() {
            "" | "other" => title,
            _ if has_name => title,
            kind => kind,
        }
    }

    /// What stands for an input that the agent does not tell.
    fn described(&self) -> String {
        let mut json = "{\"title\":".to_owned();
        write_string(&mut json, &self.title);
        json.push_str(",\"paths\":[");
        for (index, location) in self.locations.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            write_string(&mut json, &location.path);
        }
        json.push_str("]}");
        json
    }

    /// The files that were changed: by their differences, or else by the call's kind and where it
    /// was at work.
    fn changes(&mut self, id: &str, raw: Option<&RawValue>) -> Vec<FileChange> {
        let file_change = |path: String, kind, diff: Option<String>| FileChange {
            path,
            kind,
            moved_from: None,
            diff,
            call_id: Some(id.to_owned()),
        };
        if !self.changes.is_empty() {
            let changes = std::mem::take(&mut self.changes);
            let each = changes
                .into_iter()
                .map(|it| file_change(it.path, it.kind, Some(it.diff)));
            return each.collect();
        }
        let existed = wire::read::<RawOutput<'_>>(raw).metadata.exists;
        let kind = match self.kind.as_str() {
            "edit" if existed == Some(false) => ChangeKind::Created,
            "edit" => ChangeKind::Modified,
            "delete" => ChangeKind::Deleted,
            _ => return Vec::new(),
        };
        let paths = self.locations.iter().map(|location| &location.path);
        paths
            .map(|path| file_change(path.clone(), kind, None))
            .collect()
    }
}

pub(crate) fn says_something(input: &RawValue) -> bool {
    !matches!(input.get(), "null" | "{}" | "\"\"")
}
