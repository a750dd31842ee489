//! Calls of tools: told once all is known of them that will be, then their news, then their result.

use std::collections::HashMap;

use aod_plugin_sdk::{Location, Out, ToolResult, TurnReference, tool_result};

use crate::call::{Call, News, says_something};
use crate::dialect::Dialect;
use crate::expected::Expected;
use crate::names::Servers;
use crate::pieces::change;
use crate::wire::{self, Piece, Update, UpdateMeta};

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
        let Some((id, call)) = found.and_then(|id| self.calls.get_mut(&id).map(|call| (id, call)))
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
