//! Calls of tools: told once all is known of them that will be, then their news, then their result.

use std::collections::HashMap;

use aod_plugin_sdk::json::{Text, write_string};
use aod_plugin_sdk::{
    ChangeKind, Diff, EventBody, FileChange, Location, Out, Part, ToolCall, ToolKind, ToolResult,
    TurnReference, tool_call, tool_result, tool_update,
};
use serde_json::value::RawValue;

use crate::dialect::Dialect;
use crate::expected::Expected;
use crate::names::{self, Servers};
use crate::wire::{self, Piece, RawOutput, Update, UpdateMeta};
use crate::{diff, texts};

/// The calls of a process.
#[derive(Debug, Default)]
pub struct Tools {
    servers: Servers,
    calls: HashMap<String, Call>,
    /// Their ids, in the order in which they were begun.
    order: Vec<String>,
    /// What is known of calls beforehand.
    expected: Expected,
    /// Whether a result that says nothing waits for [`answered`](Tools::answered).
    awaits_answers: bool,
}

/// What is known of a call. Updates have only what has changed.
#[derive(Debug, Default)]
struct Call {
    /// The turn that it was begun in.
    turn: u32,
    inside: Option<String>,
    name: Option<String>,
    first_title: String,
    title: String,
    kind: String,
    input: Option<String>,
    locations: Vec<Location>,
    changes: Vec<Change>,
    /// What an agent says of it as a whole, again and again.
    said: String,
    /// What it has put out since it is under way.
    output: String,
    /// Whether the user did not let it.
    refused: bool,
    told: bool,
    ended: bool,
    /// A result that waits for its text.
    held: Option<ToolResult>,
}

/// A file that a call changes.
#[derive(Debug)]
struct Change {
    path: String,
    kind: ChangeKind,
    diff: String,
}

impl Tools {
    pub(crate) fn new(servers: Servers) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// A call's input, before the agent says that it is made. `id` is the model's id of it, where
    /// it has one.
    pub fn expect(&mut self, id: Option<&str>, name: &str, input: &str) {
        self.expected.add(id, name, input);
    }

    /// From here on a result that says nothing waits until [`answered`](Self::answered) has its
    /// text.
    pub fn await_answers(&mut self) {
        self.awaits_answers = true;
    }

    /// What a call has told the model: the call whose id ends with the model's, or else the first
    /// of that tool whose result waits.
    pub fn answered(&mut self, id: Option<&str>, name: &str, output: &str, out: &mut Out) {
        let is_its = |call_id: &&String| match id {
            Some(id) => call_id.ends_with(id),
            None => self
                .calls
                .get(*call_id)
                .is_some_and(|it| it.name(call_id) == name),
        };
        let waits = |call_id: &&String| {
            let call = self.calls.get(*call_id);
            call.is_some_and(|it| it.held.is_some() || (it.refused && !it.ended))
        };
        let found = self.order.iter().filter(waits).find(is_its).cloned();
        let Some((id, call)) =
            found.and_then(|id| self.calls.get_mut(&id).map(|call| (id, call)))
        else {
            return;
        };
        if call.refused && !call.ended {
            call.ended = true;
            call.held = Some(tool_result(id, "", true));
        }
        if let Some(result) = call.held.take() {
            out.inside(call.inside.as_deref());
            out.tool_result(ToolResult {
                output: output.to_owned(),
                ..result
            });
            out.inside(None::<String>);
        }
    }

    /// The turn that a call belongs to which is still at work.
    pub(crate) fn turn_of(&self, id: &str) -> Option<u32> {
        let call = self.calls.get(id)?;
        (!call.ended).then_some(call.turn)
    }

    /// Takes an update; tells the call when it is under way, and its result when that is there.
    /// Returns whether the call has ended by it.
    pub(crate) fn update(
        &mut self,
        turn: u32,
        update: &Update<'_>,
        meta: &UpdateMeta<'_>,
        dialect: &mut impl Dialect,
        out: &mut Out,
    ) -> bool {
        let pieces: Vec<Piece<'_>> = wire::read(update.content);
        let id = update.tool_call_id.to_string();
        let news = self.take(&id, turn, update, meta, &pieces);
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        if call.ended {
            return false;
        }
        if call.turn != turn {
            out.of_turn(TurnReference::Number(call.turn));
        }
        out.inside(call.inside.as_deref());
        let status = update.status.0.as_deref().unwrap_or_default();
        let failed = status == "failed";
        let ends = failed || status == "completed";
        let is_under_way = status == "in_progress"
            || (status.is_empty() && update.raw_input.is_some_and(says_something));
        if call.told && !ends {
            news.tell(&id, out);
        } else if ends || is_under_way {
            call.tell(&id, &self.servers, &mut self.expected, dialect, out);
        }
        if ends {
            let holds = self.awaits_answers;
            call.end(&id, failed, holds, &pieces, update.raw_output, out);
            dialect.called(&id, failed, out);
        }
        out.inside(None::<String>);
        ends
    }

    /// Takes what a request for permission says of its tool, and tells the call.
    pub(crate) fn announce(
        &mut self,
        turn: u32,
        update: &Update<'_>,
        dialect: &mut impl Dialect,
        out: &mut Out,
    ) {
        if update.tool_call_id.is_empty() {
            return;
        }
        let pieces: Vec<Piece<'_>> = wire::read(update.content);
        let meta = wire::read(update.meta);
        let id = update.tool_call_id.to_string();
        self.take(&id, turn, update, &meta, &pieces);
        if let Some(call) = self.calls.get_mut(&id) {
            call.tell(&id, &self.servers, &mut self.expected, dialect, out);
        }
    }

    /// The user does not let a call. Not every agent says that it has ended then.
    pub(crate) fn refuse(&mut self, id: &str) {
        if let Some(call) = self.calls.get_mut(id) {
            call.refused = true;
        }
    }

    /// Tells the calls that were begun and never heard of again, and forgets those that have ended.
    pub(crate) fn finish(&mut self, dialect: &mut impl Dialect, out: &mut Out) {
        for id in &self.order {
            if let Some(call) = self.calls.get_mut(id) {
                call.tell(id, &self.servers, &mut self.expected, dialect, out);
                if let Some(result) = call.held.take() {
                    out.inside(call.inside.as_deref());
                    out.tool_result(result);
                    out.inside(None::<String>);
                }
                if call.refused && !call.ended {
                    call.ended = true;
                    out.tool_result(tool_result(&**id, "permission was not given", true));
                }
            }
        }
        self.calls.retain(|_, call| !call.ended);
        self.order.retain(|id| self.calls.contains_key(id));
        self.expected.clear();
    }

    fn take(
        &mut self,
        id: &str,
        turn: u32,
        update: &Update<'_>,
        meta: &UpdateMeta<'_>,
        pieces: &[Piece<'_>],
    ) -> News {
        if !self.calls.contains_key(id) {
            self.order.push(id.to_owned());
        }
        let call = self.calls.entry(id.to_owned()).or_insert_with(|| Call {
            turn,
            ..Call::default()
        });
        let mut news = News::default();
        let claude = meta.claude.as_ref();
        if let Some(name) = claude
            .and_then(|claude| claude.tool_name.as_ref())
            .or(update.name.0.as_ref())
        {
            call.name = Some(name.to_string());
        }
        if let Some(parent) = claude.and_then(|claude| claude.parent_tool_use_id.as_ref()) {
            call.inside = Some(parent.to_string());
        }
        if let Some(title) = &update.title.0
            && **title != *call.title
        {
            if call.first_title.is_empty() {
                call.first_title = title.to_string();
            }
            call.title = title.to_string();
            news.title = Some(title.to_string());
        }
        if let Some(kind) = &update.kind.0 {
            call.kind = kind.to_string();
        }
        if let Some(input) = update.raw_input.filter(|input| says_something(input)) {
            call.input = Some(input.get().to_owned());
        }
        for location in update.locations.iter().flatten() {
            let location = Location {
                path: location.path.to_string(),
                line: location.line,
            };
            if !call.locations.contains(&location) {
                call.locations.push(location.clone());
                news.locations.push(location);
            }
        }
        let changes: Vec<_> = pieces.iter().filter_map(change).collect();
        if !changes.is_empty() {
            call.changes = changes;
        }
        news.output = call.new_output(meta, pieces);
        news
    }
}

/// What an update says that was not known.
#[derive(Debug, Default)]
struct News {
    title: Option<String>,
    output: Option<String>,
    locations: Vec<Location>,
}

impl News {
    fn tell(self, id: &str, out: &mut Out) {
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
    fn new_output(&mut self, meta: &UpdateMeta<'_>, pieces: &[Piece<'_>]) -> Option<String> {
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

    fn tell(
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

    fn end(
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
    fn name<'a>(&'a self, id: &'a str) -> &'a str {
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

fn says_something(input: &RawValue) -> bool {
    !matches!(input.get(), "null" | "{}" | "\"\"")
}

fn change(piece: &Piece<'_>) -> Option<Change> {
    if &*piece.kind != "diff" {
        return None;
    }
    let text = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
    let (before, after) = (text(&piece.old_text.0), text(&piece.new_text.0));
    let kind = match (before.is_empty(), after.is_empty()) {
        (true, _) => ChangeKind::Created,
        (false, true) => ChangeKind::Deleted,
        (false, false) => ChangeKind::Modified,
    };
    Some(Change {
        path: piece.path.0.as_ref()?.to_string(),
        kind,
        diff: diff::unified(&before, &after),
    })
}

/// The texts that a tool told; none where it told nothing of the kind.
fn text_of(pieces: &[Piece<'_>]) -> Option<String> {
    let texts: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| piece.content.as_ref()?.text.0.as_deref())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// An image or a link that a tool gives.
fn other_part(piece: &Piece<'_>) -> Option<Part> {
    let block = piece.content.as_ref()?;
    match &*block.kind {
        "image" | "resource_link" => Some(texts::part(block, RawValue::NULL)),
        _ => None,
    }
}

/// What a tool gave as its own output, or else what the agent told of it.
fn output(pieces: &[Piece<'_>], raw: Option<&RawValue>, known: String) -> String {
    let own = match raw.map(RawValue::get) {
        Some(text) if text.starts_with('"') => serde_json::from_str(text).ok(),
        _ => {
            let read: RawOutput<'_> = wire::read(raw);
            read.output.0.or(read.error.0).map(String::from)
        }
    };
    let nothing = || raw.map_or(known, |raw| raw.get().to_owned());
    own.or_else(|| text_of(pieces)).unwrap_or_else(nothing)
}
