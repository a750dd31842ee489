//! Calls of tools: told once all is known of them that will be, and once each.

use std::collections::HashMap;

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{ChangeKind, Out};
use serde_json::value::RawValue;

use crate::wire::{self, Piece, RawOutput, Update};

/// The calls of a turn.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    calls: HashMap<String, Call>,
    /// Their ids, in the order in which they were begun.
    order: Vec<String>,
}

/// What is known of a call. Updates have only what has changed.
#[derive(Debug, Default)]
struct Call {
    title: String,
    kind: String,
    input: Option<String>,
    paths: Vec<String>,
    changes: Vec<(String, ChangeKind)>,
    told: bool,
    ended: bool,
}

impl Tools {
    /// Takes an update; tells the call when it is under way, and its result when that is there.
    pub(crate) fn update(&mut self, update: &Update<'_>, out: &mut Out) {
        let pieces: Vec<Piece<'_>> = wire::read(update.content);
        let id = update.tool_call_id.to_string();
        let call = self.take(&id, update, &pieces);
        if call.ended {
            return;
        }
        let status = update.status.0.as_deref().unwrap_or_default();
        let failed = status == "failed";
        if status == "in_progress" {
            call.tell(&id, out);
        } else if failed || status == "completed" {
            call.tell(&id, out);
            call.ended = true;
            out.tool_result(id, output(&pieces, update.raw_output), failed);
            if !failed {
                call.tell_changes(out);
            }
        }
    }

    /// Takes what a request for permission says of its tool, and tells the call.
    pub(crate) fn announce(&mut self, update: &Update<'_>, out: &mut Out) {
        if update.tool_call_id.is_empty() {
            return;
        }
        let pieces: Vec<Piece<'_>> = wire::read(update.content);
        let id = update.tool_call_id.to_string();
        self.take(&id, update, &pieces).tell(&id, out);
    }

    /// Tells the calls that were begun and never heard of again.
    pub(crate) fn finish(&mut self, out: &mut Out) {
        for id in &self.order {
            if let Some(call) = self.calls.get_mut(id) {
                call.tell(id, out);
            }
        }
    }

    fn take(&mut self, id: &str, update: &Update<'_>, pieces: &[Piece<'_>]) -> &mut Call {
        if !self.calls.contains_key(id) {
            self.order.push(id.to_owned());
        }
        let call = self.calls.entry(id.to_owned()).or_default();
        // The first title is a tool's name where an agent has one; later ones say what it does.
        if call.title.is_empty()
            && let Some(title) = &update.title.0
        {
            call.title = title.to_string();
        }
        if let Some(kind) = &update.kind.0 {
            call.kind = kind.to_string();
        }
        if let Some(input) = update.raw_input.filter(|input| says_something(input)) {
            call.input = Some(input.get().to_owned());
        }
        if let Some(locations) = update.locations.as_ref().filter(|list| !list.is_empty()) {
            call.paths = locations.iter().map(|it| it.path.to_string()).collect();
        }
        let changes: Vec<_> = pieces.iter().filter_map(change).collect();
        if !changes.is_empty() {
            call.changes = changes;
        }
        call
    }
}

impl Call {
    fn tell(&mut self, id: &str, out: &mut Out) {
        if self.told {
            return;
        }
        self.told = true;
        let input = self.input.take().unwrap_or_else(|| self.described());
        out.tool_call(id, self.name(), input);
    }

    /// The protocol has no names of tools: a title that can be one, else a kind that says
    /// something.
    fn name(&self) -> &str {
        let can_be_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
        let has_name = !self.title.is_empty() && self.title.bytes().all(can_be_name);
        match self.kind.as_str() {
            "" | "other" => &self.title,
            _ if has_name => &self.title,
            kind => kind,
        }
    }

    /// What stands for an input that the agent does not tell.
    fn described(&self) -> String {
        let mut json = "{\"title\":".to_owned();
        write_string(&mut json, &self.title);
        json.push_str(",\"paths\":[");
        for (index, path) in self.paths.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            write_string(&mut json, path);
        }
        json.push_str("]}");
        json
    }

    /// By its differences, or else by its kind and where it was at work.
    fn tell_changes(&self, out: &mut Out) {
        for (path, kind) in &self.changes {
            out.file_change(path, *kind);
        }
        if self.changes.is_empty() {
            let kind = match self.kind.as_str() {
                "edit" => ChangeKind::Modified,
                "delete" => ChangeKind::Deleted,
                _ => return,
            };
            for path in &self.paths {
                out.file_change(path, kind);
            }
        }
    }
}

fn says_something(input: &RawValue) -> bool {
    !matches!(input.get(), "null" | "{}" | "\"\"")
}

fn change(piece: &Piece<'_>) -> Option<(String, ChangeKind)> {
    if &*piece.kind != "diff" {
        return None;
    }
    let is_empty = |text: &aod_plugin_sdk::json::MaybeText<'_>| {
        text.0.as_ref().is_none_or(|text| text.is_empty())
    };
    let kind = match (is_empty(&piece.old_text), is_empty(&piece.new_text)) {
        (true, _) => ChangeKind::Created,
        (false, true) => ChangeKind::Deleted,
        (false, false) => ChangeKind::Modified,
    };
    let path = piece.path.0.as_ref()?;
    Some((path.to_string(), kind))
}

/// The texts that a tool told, or else what it gave as its own output.
fn output(pieces: &[Piece<'_>], raw: Option<&RawValue>) -> String {
    let texts: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| piece.content.as_ref()?.text.0.as_deref())
        .collect();
    if !texts.is_empty() {
        return texts.join("\n");
    }
    let read: RawOutput<'_> = wire::read(raw);
    match (read.output.0, read.error.0) {
        (Some(text), _) | (None, Some(text)) => text.into(),
        (None, None) => raw.map_or_else(String::new, |raw| raw.get().to_owned()),
    }
}
