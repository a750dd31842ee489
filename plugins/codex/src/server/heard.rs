//! What the server tells while it works.

use aod_plugin_sdk::{Compaction, Level, Out, TaskState, TodoItem, TodoStatus};
use serde_json::value::RawValue;

use super::questions::About;
use super::texts::{Piece, thought};
use super::wire::{self, Message, Params, TurnError};
use super::{Server, Step, failures, request, since};

impl Server {
    pub(super) fn stdout(&mut self, line: &str, out: &mut Out) {
        let Ok(message) = serde_json::from_str::<Message<'_>>(line) else {
            return;
        };
        match (message.id, message.method.as_deref()) {
            (Some(id), None) => {
                self.replied(id, message.result, message.error.as_ref(), out);
            }
            (Some(id), Some(method)) => self.asked(id, method, message.params, out),
            (None, Some(method)) => self.told(method, message.params, line, out),
            (None, None) => {}
        }
    }

    /// A request of the server's, which waits for its answer.
    fn asked(&mut self, id: &RawValue, method: &str, raw: Option<&RawValue>, out: &mut Out) {
        out.absorb();
        let params: Params<'_> = wire::read(raw);
        let call = params
            .item_id
            .0
            .as_deref()
            .and_then(|id| self.calls.get(id));
        let thread = params.thread_id.0.as_deref();
        let about = About {
            turn: self.turn,
            is_main: thread.is_none_or(|thread| thread == self.resume.thread),
            call: call.map(|call| call.id()),
            title: call.and_then(|call| call.title()),
            detail: raw.unwrap_or(RawValue::NULL),
        };
        if !self.questions.ask(id, method, &params, about, out) {
            out.write_stdin(request::not_served(id.get(), method));
        }
    }

    fn told(&mut self, method: &str, raw: Option<&RawValue>, line: &str, out: &mut Out) {
        let Ok(params) = serde_json::from_str::<Params<'_>>(raw.map_or("{}", RawValue::get)) else {
            // Of another form than is known: it is told as it stands.
            return out.other("codex.notification", line);
        };
        let thread = params.thread_id.0.as_deref();
        // Until it is open, there is no other.
        let is_main =
            self.step == Step::Open || thread.is_none_or(|thread| thread == self.resume.thread);
        let child = thread.filter(|_| !is_main);
        if let Some(child) = child {
            let Some(known) = self.children.get(child) else {
                // A copy, of which nothing is told here.
                if method == "turn/completed" {
                    self.children.unknown_rests(child);
                }
                return out.absorb();
            };
            let (call, turn) = (known.call.clone(), known.turn);
            out.inside(Some(call));
            self.of_number(turn, out);
        }
        match method {
            "item/agentMessage/delta" => self.delta(&params, is_main, false, out),
            "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => {
                self.delta(&params, is_main, true, out);
            }
            "item/reasoning/summaryPartAdded" => {
                let piece = Piece {
                    item: params.item_id.0.as_deref().unwrap_or_default(),
                    is_thought: true,
                    is_main,
                };
                self.texts.paragraph(piece, out);
            }
            "item/commandExecution/outputDelta" => {
                let item = params.item_id.0.as_deref().unwrap_or_default();
                if let (Some(turn), true) = (self.calls.turn(item), is_main) {
                    self.of_number(turn, out);
                }
                let delta = params.delta.0.as_deref().unwrap_or_default();
                self.calls.output(item, delta, out);
            }
            "item/mcpToolCall/progress" => {
                let item = params.item_id.0.as_deref().unwrap_or_default();
                let message = params.message.0.as_deref().unwrap_or_default();
                self.calls.output(item, message, out);
            }
            "item/started" | "item/completed" => {
                self.item(&params, child, method == "item/completed", line, out);
            }
            "thread/tokenUsage/updated" => self.usage(&params, child, out),
            "turn/started" => {
                if let Some(turn) = &params.turn {
                    match child {
                        Some(child) => self.children.works(child, &turn.id, out),
                        None => self.begun(&turn.id, out),
                    }
                }
                out.absorb();
            }
            "turn/completed" => {
                if let Some(turn) = &params.turn {
                    let thread = thread.unwrap_or_default().to_owned();
                    self.over(&thread, turn, out);
                }
            }
            "turn/plan/updated" if is_main => {
                out.todo(params.plan.iter().map(todo).collect());
            }
            "thread/closed" => {
                if let Some(child) = child {
                    self.children.rests(child, TaskState::Stopped, None, out);
                }
                out.absorb();
            }
            "error" => self.error(&params, is_main, out),
            "mcpServer/startupStatus/updated" => {
                let why: Option<String> = wire::read(params.error);
                let name = params.name.0.as_deref().unwrap_or_default();
                let status = params.status.0.as_deref().unwrap_or_default();
                self.servers.said(name, status, why.as_deref(), out);
            }
            "serverRequest/resolved" => {
                out.absorb();
                if let Some(request) = params.request_id {
                    self.questions.resolved(request, out);
                }
            }
            "account/rateLimits/updated" => {
                out.absorb();
                let limits = params.rate_limits.as_ref();
                self.resets_at_ms = limits.and_then(failures::resets_at_ms);
            }
            "warning" | "guardianWarning" | "configWarning" => self.warning(&params, out),
            "model/rerouted" => {
                let of = |model: &Option<aod_plugin_sdk::json::Text<'_>>| {
                    model.as_deref().unwrap_or("another model").to_owned()
                };
                let (from, to) = (of(&params.from_model.0), of(&params.to_model.0));
                let text = format!("{to} answers in the place of {from}");
                out.coded_notice(Level::Warning, "model.rerouted", text);
            }
            _ if QUIET.iter().any(|quiet| method.starts_with(quiet)) => out.absorb(),
            _ => out.other("codex.notification", line),
        }
    }

    fn delta(&mut self, params: &Params<'_>, is_main: bool, is_thought: bool, out: &mut Out) {
        out.absorb();
        if is_main {
            self.of_turn(params.turn_id.0.as_deref(), out);
        }
        if let (Some(item), Some(delta)) = (&params.item_id.0, &params.delta.0)
            && !delta.is_empty()
        {
            self.ending.well();
            let piece = Piece {
                item,
                is_thought,
                is_main,
            };
            self.texts.delta(piece, delta, out);
        }
    }

    /// Something begins or ends.
    fn item(
        &mut self,
        params: &Params<'_>,
        child: Option<&str>,
        is_done: bool,
        line: &str,
        out: &mut Out,
    ) {
        let Some(item) = wire::item(params) else {
            return out.other("codex.notification", line);
        };
        let known = match child {
            Some(child) => self.children.get(child).map(|child| child.turn),
            // What outlives its turn ends in another one.
            None => self.calls.turn(&item.id),
        };
        let turn = match known {
            Some(turn) => self.of_number(turn, out),
            None => self.of_turn(params.turn_id.0.as_deref(), out),
        };
        let thread = child.unwrap_or(&self.resume.thread).to_owned();
        self.ending.well();
        match (item.kind(), is_done) {
            ("agent_message", true) => {
                let text = item.text.as_deref().unwrap_or_default();
                self.texts.message(&item.id, text, out);
                if child.is_none() {
                    self.last_message = Some(text.to_owned());
                }
            }
            ("reasoning", true) => {
                let text = thought(item.summary, item.content);
                self.texts.thought(&item.id, &text, out);
            }
            // What was said so far is void where more is put in between.
            ("user_message", false) if child.is_none() => {
                out.absorb();
                self.texts.discard("the turn was steered", out);
            }
            ("agent_message" | "reasoning" | "user_message" | "hookPrompt", _) => out.absorb(),
            (
                "command_execution" | "file_change" | "mcp_tool_call" | "collab_tool_call"
                | "web_search" | "view_image",
                false,
            ) => self.calls.started(turn, &thread, &item, out),
            (
                "command_execution" | "file_change" | "mcp_tool_call" | "collab_tool_call"
                | "web_search" | "view_image",
                true,
            ) => {
                if let (Some(server), None) = (&item.server, &item.error) {
                    self.servers.answered(server, out);
                }
                let is_agents = item.kind() == "collab_tool_call";
                let again = if is_agents { wire::item(params) } else { None };
                let call = self.calls.ended(turn, &thread, item, out);
                if let Some(item) = again {
                    self.children.called(&call, turn, &item, out);
                }
            }
            ("context_compaction", done) => out.compaction(Compaction {
                done,
                tokens_before: None,
                tokens_after: None,
            }),
            (_, false) => out.absorb(),
            (_, true) => out.other("codex.item", params.item.map_or("null", RawValue::get)),
        }
    }

    /// A thread's running total. The one that is told when a thread is opened is what was known
    /// before, and of a copy nothing that counts here.
    fn usage(&mut self, params: &Params<'_>, child: Option<&str>, out: &mut Out) {
        out.absorb();
        let Some(usage) = &params.token_usage else {
            return;
        };
        let now = usage.total.used();
        if let Some(child) = child {
            let used = self.children.get(child).map(|child| &mut child.used);
            if let Some(difference) = used.and_then(|used| since(used, now)) {
                out.usage(difference.told());
            }
            return;
        }
        let is_new = params
            .turn_id
            .0
            .as_deref()
            .is_some_and(|turn| self.turns.contains_key(turn));
        if std::mem::take(&mut self.is_copy) && !is_new {
            self.resume.used = now;
            return;
        }
        self.of_turn(params.turn_id.0.as_deref(), out);
        if let Some(difference) = since(&mut self.resume.used, now) {
            out.usage(difference.told());
            if self.remembered.is_some() {
                self.remember(out);
            }
        }
    }

    fn error(&mut self, params: &Params<'_>, is_main: bool, out: &mut Out) {
        let error: TurnError<'_> = wire::read(params.error);
        let text = failures::said(&error);
        if params.will_retry {
            if is_main {
                self.ending.trouble(failures::of(&error));
                self.texts
                    .discard("the reply broke off and is asked for again", out);
            }
            out.coded_notice(Level::Warning, "retry", text);
        } else if is_main {
            // The end of the turn says the same.
            out.absorb();
        } else {
            out.notice(Level::Warning, text);
        }
    }

    /// The server repeats its warnings with each turn.
    fn warning(&mut self, params: &Params<'_>, out: &mut Out) {
        let said = [&params.message, &params.summary].into_iter();
        let Some(text) = said.filter_map(|text| text.0.as_deref()).next() else {
            return out.absorb();
        };
        let text = match params.details.0.as_deref() {
            Some(details) => format!("{text}: {details}"),
            None => text.to_owned(),
        };
        if self.warned.contains(&text) {
            return out.absorb();
        }
        out.notice(Level::Warning, &*text);
        if self.warned.len() < WARNINGS && text.len() < LONGEST_WARNING {
            self.warned.insert(text);
        }
    }
}

/// How many warnings are told once.
const WARNINGS: usize = 40;

/// How long a warning may be for it to be known again.
const LONGEST_WARNING: usize = 500;

/// Beginnings of notifications that tell nothing that others do not.
const QUIET: &[&str] = &[
    "account/",
    "app/",
    "deprecationNotice",
    "externalAgentConfig/",
    "fs/",
    "hook/",
    "item/autoApprovalReview/",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/",
    "item/plan/delta",
    "mcpServer/oauthLogin/",
    "model/",
    "modelProvider/",
    "project/",
    "rawResponse",
    "remoteControl/",
    "skills/",
    "thread/",
    "turn/diff/updated",
    "turn/moderationMetadata",
    "turn/plan/updated",
];

fn todo(step: &wire::PlanStep<'_>) -> TodoItem {
    TodoItem {
        text: step.step.to_string(),
        status: match &*step.status {
            "inProgress" => TodoStatus::InProgress,
            "completed" => TodoStatus::Completed,
            _ => TodoStatus::Pending,
        },
    }
}
