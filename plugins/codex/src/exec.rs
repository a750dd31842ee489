//! A process of `codex exec`, which runs one prompt: what its lines mean.

use crate::agents::Agents;
use crate::calls::Calls;
use crate::errors::{is_json, why};
use crate::log::{Servers, retry_at_ms};
use crate::resume::{Resume, Used};
use crate::wire::{self, Item, Line};
use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    Context, Conversation, Ending, Exit, Failure, FailureKind, Level, Origin, Out, OutputSource,
    Prompt, StopKind, TodoItem, TodoStatus, TurnResult, completed, crashed, failed, plain,
};

/// A process of `codex exec`.
#[derive(Debug)]
pub(crate) struct Exec {
    resume: Resume,
    /// Whether the thread begins as a copy of the one in `resume`, and counts on from there.
    is_copy: bool,
    turn: u32,
    /// Whether the answer must be JSON.
    wants_form: bool,
    calls: Calls,
    agents: Agents,
    servers: Servers,
    last_message: Option<String>,
    ending: Ending,
}

impl Exec {
    pub(crate) fn new(context: &Context) -> Self {
        let (resume, is_copy) = match &context.origin {
            Origin::New => (Resume::default(), false),
            Origin::Resume(token) => (Resume::read(token), false),
            Origin::Fork(fork) => (Resume::read(&fork.token), !Resume::is_copy(&fork.token)),
        };
        Self {
            resume,
            is_copy,
            turn: 1,
            wants_form: false,
            calls: Calls::default(),
            agents: Agents::default(),
            servers: Servers::new(context),
            last_message: None,
            ending: Ending::default(),
        }
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        match (&*line.kind, line.item) {
            ("thread.started", _) => {
                let Some(thread) = line.thread_id else { return };
                self.started(&thread);
                out.session_started(thread);
            }
            // From here on the thread is found again, even after a turn that was killed.
            ("turn.started", _) => {
                out.remember(self.resume.write());
                out.absorb();
            }
            ("item.started", Some(item)) => self.item(item, Stage::Started, out),
            ("item.updated", Some(item)) => self.item(item, Stage::Updated, out),
            ("item.completed", Some(item)) => self.item(item, Stage::Completed, out),
            ("turn.completed", _) => {
                if let Some(usage) = line.usage {
                    self.usage(&usage, out);
                }
                self.end(None, out);
            }
            ("turn.failed", _) => {
                let error = line.error.unwrap_or_default();
                self.end(Some(why(&error.message)), out);
            }
            // Only `turn.failed` is final.
            ("error", _) => {
                if let Some(message) = line.message {
                    self.error(&message, out);
                }
            }
            _ => {}
        }
    }

    /// Another thread than the one to resume counts from nothing, unless it is a copy.
    fn started(&mut self, thread: &str) {
        if *thread != *self.resume.thread {
            self.resume.thread = thread.to_owned();
            if !std::mem::take(&mut self.is_copy) {
                self.resume.used = Used::default();
            }
        }
    }

    fn error(&mut self, message: &str, out: &mut Out) {
        if message.starts_with("Reconnecting") {
            self.ending.trouble(why(message));
            out.coded_notice(Level::Warning, "retry", message);
        } else {
            out.notice(Level::Warning, message);
        }
    }

    fn end(&mut self, failure: Option<Failure>, out: &mut Out) {
        out.absorb();
        if self.ending.is_told() {
            return;
        }
        self.servers.settle(out);
        self.agents.stop(out);
        out.remember(self.resume.write());
        let text = self.last_message.take();
        let structured = text
            .as_deref()
            .filter(|text| self.wants_form && is_json(text));
        let structured = structured.map(str::to_owned);
        let result = match failure {
            Some(failure) => failed(failure),
            None if self.wants_form && structured.is_none() => {
                failed(aod_plugin_sdk::failure::failure(
                    FailureKind::Output,
                    "the model did not answer in the form that was asked for",
                ))
            }
            None => completed(None),
        };
        if result.stop == StopKind::Completed && text.is_none() {
            out.coded_notice(Level::Warning, "no_text", "the reply has no text");
        }
        self.ending.tell(
            out,
            TurnResult {
                text,
                structured,
                ..result
            },
        );
    }

    fn usage(&mut self, counted: &wire::Usage, out: &mut Out) {
        let now = counted.used();
        let turn = now.since(std::mem::replace(&mut self.resume.used, now));
        out.usage(turn.told());
    }

    fn item(&mut self, item: Item<'_>, stage: Stage, out: &mut Out) {
        if item.kind() != "error" {
            self.ending.well();
        }
        match (item.kind(), stage) {
            ("agent_message", Stage::Completed) => {
                let text = item.text.unwrap_or_default();
                self.servers.settle(out);
                self.last_message = Some(text.to_string());
                out.message(text);
            }
            ("reasoning", Stage::Completed) => out.reasoning(item.text.unwrap_or_default()),
            ("error", _) => out.notice(Level::Warning, item.message.unwrap_or_default()),
            ("todo_list", _) => todos(item, out),
            (
                "command_execution" | "mcp_tool_call" | "web_search" | "file_change"
                | "collab_tool_call",
                stage,
            ) => self.call(item, stage == Stage::Completed, out),
            ("agent_message" | "reasoning", _) => out.absorb(),
            _ => {}
        }
    }

    /// Items are numbered anew in each process.
    fn call(&mut self, item: Item<'_>, is_done: bool, out: &mut Out) {
        let id = format!("{}-{}", self.turn, &*item.id);
        if let (true, Some(server), None) = (is_done, &item.server, &item.error) {
            self.servers.answered(server, out);
        }
        if is_done && item.kind() == "collab_tool_call" {
            self.agents.called(&id, &item, out);
        }
        self.calls.item(&id, item, is_done, out);
    }

    fn stderr(&mut self, line: &str, out: &mut Out) {
        if line.starts_with("Reading prompt from stdin") {
            out.absorb();
        } else if let Some(at) = retry_at_ms(line) {
            // The stream says the same, but not when.
            self.ending.retry_at(at);
            out.absorb();
        } else if !self.servers.line(line, out) {
            out.stderr(line);
        }
    }
}

impl Conversation for Exec {
    fn prompt(&mut self, prompt: Prompt, _: &mut Out) {
        self.turn = prompt.turn;
        self.wants_form = prompt.output_schema.is_some();
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => self.stderr(line, out),
        }
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.agents.stop(out);
        let is_lost = exit.stderr_tail.contains("no rollout found");
        if is_lost {
            out.forget();
        }
        if let Some(text) = self.last_message.take() {
            self.ending.answered(text);
        }
        self.ending.conclude(&exit, out, |exit| {
            if is_lost {
                let message = plain(exit.stderr_tail.trim());
                failed(failure(FailureKind::Resume, message))
            } else {
                crashed(exit)
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Started,
    Updated,
    Completed,
}

fn todos(item: Item<'_>, out: &mut Out) {
    let each = item.items.into_iter().map(|todo| TodoItem {
        text: todo.text.into(),
        status: if todo.completed {
            TodoStatus::Completed
        } else {
            TodoStatus::Pending
        },
    });
    out.todo(each.collect());
}
