//! What a turn's lines mean.

use std::collections::HashMap;

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    ChangeKind, Conclusion, Ending, Event, Exit, Level, Message, Out, OutputStream, Role, TodoItem,
    TodoStatus, Turn, TurnContext, TurnResult, Usage,
};
use serde::Deserialize;

use crate::outcome::{is_lost, is_noise, told, untold};
use crate::wire::Line;

/// A running turn.
#[derive(Debug)]
pub struct GeminiTurn {
    session: String,
    remembered: bool,
    /// Pieces of the message that is being said.
    saying: String,
    last_message: Option<String>,
    calls: HashMap<String, Call>,
    ending: Ending,
}

/// A call whose success means something.
#[derive(Debug)]
enum Call {
    Write(String),
    Todos(Vec<TodoItem>),
}

impl GeminiTurn {
    pub(crate) fn new(context: &TurnContext) -> Self {
        let resume = context.resume_token();
        Self {
            session: resume.unwrap_or(&context.turn_id).to_owned(),
            remembered: resume.is_some(),
            saying: String::new(),
            last_message: None,
            calls: HashMap::new(),
            ending: Ending::default(),
        }
    }

    /// Once the model has answered; a session without an answer is not found again.
    fn acknowledged(&mut self, out: &mut Out) {
        if !self.remembered {
            self.remembered = true;
            out.remember(&*self.session);
        }
    }

    /// Messages come in pieces only; one is whole when something else follows.
    fn said(&mut self) -> Option<String> {
        if self.saying.is_empty() {
            return None;
        }
        let message = std::mem::take(&mut self.saying);
        self.last_message = Some(message.clone());
        Some(message)
    }

    fn flush(&mut self, out: &mut Out) {
        if let Some(message) = self.said() {
            out.message(message);
        }
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        match &*line.kind {
            "init" => {
                let Some(session) = line.session_id else {
                    return;
                };
                self.session = session.to_string();
                out.session_started(session);
            }
            "message" => self.message(line, out),
            "tool_use" => {
                self.acknowledged(out);
                self.flush(out);
                let input = line
                    .parameters
                    .map_or("null", |parameters| parameters.get());
                if let Some(call) = call(&line.tool_name, input) {
                    self.calls.insert(line.tool_id.to_string(), call);
                }
                out.tool_call(line.tool_id, line.tool_name, input);
            }
            "tool_result" => self.tool_result(line, out),
            "error" => {
                let Some(message) = line.message else { return };
                let level = match line.severity.as_deref() {
                    Some("warning") => Level::Warning,
                    _ => Level::Error,
                };
                out.notice(level, message);
            }
            "result" => self.result(line, out),
            _ => {}
        }
    }

    fn message(&mut self, line: Line<'_>, out: &mut Out) {
        match &*line.role {
            // The prompt.
            "user" => out.absorb(),
            "assistant" => {
                self.acknowledged(out);
                if line.delta {
                    self.saying.push_str(&line.content);
                    out.delta(line.content);
                } else {
                    self.flush(out);
                    self.last_message = Some(line.content.to_string());
                    out.message(line.content);
                }
            }
            _ => {}
        }
    }

    fn tool_result(&mut self, line: Line<'_>, out: &mut Out) {
        let is_error = &*line.status != "success";
        let output = match (line.output.0, line.error) {
            (Some(output), _) => output.into(),
            (None, Some(error)) => error.message.into(),
            (None, None) => String::new(),
        };
        let call = self.calls.remove(&*line.tool_id);
        out.tool_result(line.tool_id, output, is_error);
        match call {
            _ if is_error => {}
            // Whether the file was there before is not said.
            Some(Call::Write(path)) => out.file_change(path, ChangeKind::Modified),
            Some(Call::Todos(items)) => out.todo(items),
            None => {}
        }
    }

    fn result(&mut self, line: Line<'_>, out: &mut Out) {
        if self.ending.is_told() {
            out.absorb();
            return;
        }
        self.flush(out);
        let stats = line.stats.unwrap_or_default();
        out.usage(Usage {
            input_tokens: stats.input,
            output_tokens: stats.output_tokens,
            cached_tokens: stats.cached,
            cost_usd: None,
        });
        let failure = match line.error {
            Some(error) => Some(told(&error.message)),
            None if &*line.status == "success" => None,
            None => Some(told("the CLI told an error without saying which")),
        };
        if failure.is_none() {
            self.acknowledged(out);
        }
        let result = TurnResult {
            text: self.last_message.take(),
            failure,
            stop_reason: None,
            duration_ms: stats.duration_ms,
        };
        self.ending.tell(out, result);
    }
}

impl Turn for GeminiTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        match source {
            OutputStream::Stdout => self.stdout(line, out),
            OutputStream::Stderr if is_noise(line) => out.absorb(),
            OutputStream::Stderr => out.stderr(line),
        }
    }

    /// A turn that was stopped has no result, and its last message is not whole.
    fn finish(&mut self, exit: Exit) -> Conclusion {
        let unfinished = self.said();
        let mut conclusion = std::mem::take(&mut self.ending).conclude(&exit, untold);
        if let Some(text) = unfinished {
            let message = Message {
                role: Role::Assistant,
                text,
            };
            conclusion.events.insert(0, Event::Message(message));
        }
        if is_lost(&exit) {
            conclusion.remember = Some(String::new());
        }
        conclusion
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Input<'a> {
    file_path: Option<Text<'a>>,
    todos: Vec<Todo<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    description: Text<'a>,
    status: Text<'a>,
}

fn call(name: &str, input: &str) -> Option<Call> {
    if !matches!(name, "write_file" | "replace" | "write_todos") {
        return None;
    }
    let input: Input<'_> = serde_json::from_str(input).ok()?;
    if name != "write_todos" {
        return Some(Call::Write(input.file_path?.into()));
    }
    let items = input.todos.into_iter().map(|todo| TodoItem {
        text: todo.description.into(),
        status: match &*todo.status {
            "in_progress" => TodoStatus::InProgress,
            "completed" | "cancelled" => TodoStatus::Completed,
            _ => TodoStatus::Pending,
        },
    });
    Some(Call::Todos(items.collect()))
}
