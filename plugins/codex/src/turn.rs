//! What a turn's lines mean.

use std::collections::HashSet;

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{
    ChangeKind, Conclusion, Ending, Exit, Failure, FailureKind, Level, Out, OutputStream, TodoItem,
    TodoStatus, Turn, TurnContext, TurnResult, Usage, crashed, plain,
};
use serde_json::value::RawValue;

use crate::resume::{Resume, Used};
use crate::wire::{self, Item, Line, McpResult};

/// A running turn.
#[derive(Debug)]
pub struct CodexTurn {
    resume: Resume,
    calls: HashSet<String>,
    last_message: Option<String>,
    ending: Ending,
}

impl CodexTurn {
    pub(crate) fn new(context: &TurnContext) -> Self {
        Self {
            resume: context.resume_token().map(Resume::read).unwrap_or_default(),
            calls: HashSet::new(),
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
                // Another thread than the one to resume counts from nothing.
                if *thread != *self.resume.thread {
                    self.resume = Resume {
                        thread: thread.to_string(),
                        used: Used::default(),
                    };
                }
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
                    out.notice(Level::Warning, message);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, failure: Option<Failure>, out: &mut Out) {
        out.remember(self.resume.write());
        let told = self.ending.tell(
            out,
            TurnResult {
                text: self.last_message.take(),
                failure,
                stop_reason: None,
                duration_ms: None,
            },
        );
        if !told {
            out.absorb();
        }
    }

    fn usage(&mut self, usage: &wire::Usage, out: &mut Out) {
        let now = Used {
            input: usage.input_tokens,
            cached: usage.cached_input_tokens,
            output: usage.output_tokens,
        };
        let turn = now.since(std::mem::replace(&mut self.resume.used, now));
        out.usage(Usage {
            input_tokens: turn.input.saturating_sub(turn.cached),
            output_tokens: turn.output,
            cached_tokens: turn.cached,
            cost_usd: None,
        });
    }

    fn item(&mut self, item: Item<'_>, stage: Stage, out: &mut Out) {
        match (&*item.kind, stage) {
            ("agent_message", Stage::Completed) => {
                let text = item.text.unwrap_or_default();
                self.last_message = Some(text.to_string());
                out.message(text);
            }
            ("reasoning", Stage::Completed) => out.reasoning(item.text.unwrap_or_default()),
            ("error", _) => out.notice(Level::Warning, item.message.unwrap_or_default()),
            ("todo_list", _) => out.todo(
                item.items
                    .into_iter()
                    .map(|todo| TodoItem {
                        text: todo.text.into(),
                        status: if todo.completed {
                            TodoStatus::Completed
                        } else {
                            TodoStatus::Pending
                        },
                    })
                    .collect(),
            ),
            ("file_change", Stage::Completed) => file_changes(&item, out),
            ("command_execution" | "mcp_tool_call" | "web_search", stage) => {
                self.tool(item, stage, out);
            }
            ("agent_message" | "reasoning" | "file_change", _) => out.absorb(),
            _ => {}
        }
    }

    /// A call is told when it starts, or with its result if it was never seen to start.
    fn tool(&mut self, item: Item<'_>, stage: Stage, out: &mut Out) {
        if self.calls.insert(item.id.to_string()) {
            let (name, input) = match (&*item.kind, &item.server, &item.tool) {
                ("mcp_tool_call", Some(server), Some(tool)) => (
                    format!("{}.{}", &**server, &**tool),
                    item.arguments
                        .map_or("null", |arguments| arguments.get())
                        .to_owned(),
                ),
                ("web_search", ..) => (item.kind.to_string(), object("query", item.query)),
                _ => (item.kind.to_string(), object("command", item.command)),
            };
            out.tool_call(&*item.id, name, input);
        }
        if stage != Stage::Completed {
            out.absorb();
            return;
        }
        let failed = is_unfinished(&item)
            || item.exit_code.is_some_and(|code| code != 0)
            || item.error.is_some();
        let output = match (item.error, item.result, item.aggregated_output) {
            (Some(error), ..) => error.message.into(),
            (None, Some(result), _) => mcp_text(result),
            (None, None, output) => output.unwrap_or_default().into(),
        };
        out.tool_result(item.id, output, failed);
    }
}

impl Turn for CodexTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        match source {
            OutputStream::Stdout => self.stdout(line, out),
            OutputStream::Stderr if line.starts_with("Reading prompt from stdin") => out.absorb(),
            OutputStream::Stderr => out.stderr(line),
        }
    }

    fn finish(&mut self, exit: Exit) -> Conclusion {
        let is_lost = exit.stderr_tail.contains("no rollout found");
        let ending = std::mem::take(&mut self.ending);
        let mut conclusion = ending.conclude(&exit, |exit| {
            let mut result = crashed(exit);
            if is_lost {
                let message = plain(exit.stderr_tail.trim());
                result.failure = Some(failure(FailureKind::Resume, message));
            }
            result
        });
        if is_lost {
            conclusion.remember = Some(String::new());
        }
        conclusion
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Started,
    Updated,
    Completed,
}

fn is_unfinished(item: &Item<'_>) -> bool {
    item.status
        .as_deref()
        .is_some_and(|status| status != "completed")
}

fn file_changes(item: &Item<'_>, out: &mut Out) {
    if is_unfinished(item) {
        let paths: Vec<&str> = item.changes.iter().map(|change| &*change.path).collect();
        out.notice(Level::Warning, format!("not changed: {}", paths.join(", ")));
        return;
    }
    for change in &item.changes {
        let kind = match &*change.kind {
            "add" => ChangeKind::Created,
            "delete" => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        };
        out.file_change(&*change.path, kind);
    }
    out.absorb();
}

fn object(key: &str, value: Option<&RawValue>) -> String {
    format!("{{\"{key}\":{}}}", value.map_or("null", RawValue::get))
}

fn mcp_text(result: McpResult<'_>) -> String {
    let parts: Vec<String> = result
        .content
        .into_iter()
        .map(|part| match part.text.0 {
            Some(text) => text.into(),
            None => format!("[{}]", &*part.kind),
        })
        .collect();
    parts.join("\n")
}

/// The CLI names the status in words: `unexpected status 401 Unauthorized: …`.
fn why(message: &str) -> Failure {
    let status = message.split("status").skip(1).find_map(|rest| {
        let digits = rest.trim_start_matches([' ', ':', '=']);
        digits.get(..3)?.parse().ok()
    });
    from_api(status, message, FailureKind::Provider)
}
