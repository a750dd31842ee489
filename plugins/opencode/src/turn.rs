//! What a turn's lines mean.

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    ChangeKind, Conclusion, Ending, Exit, Failure, Level, Out, OutputStream, TodoItem, TodoStatus,
    Turn, TurnContext, TurnResult, Usage,
};
use serde::Deserialize;

use crate::outcome::{is_lost, told, untold};
use crate::wire::{Error, Line, Part, State};

/// A running turn.
#[derive(Debug)]
pub struct OpencodeTurn {
    session: Option<String>,
    last_message: Option<String>,
    failure: Option<Failure>,
    ending: Ending,
}

impl OpencodeTurn {
    pub(crate) fn new(_: &TurnContext) -> Self {
        Self {
            session: None,
            last_message: None,
            failure: None,
            ending: Ending::default(),
        }
    }

    /// Every line names the session, which lies in a database before the first is written.
    fn session(&mut self, session: Option<Text<'_>>, out: &mut Out) {
        let Some(session) = session else { return };
        if self.session.as_deref() != Some(&*session) {
            self.session = Some(session.to_string());
            out.session_started(&*session);
            out.remember(session);
        }
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        match &*line.kind {
            "step_start" => {
                self.session(line.session, out);
                out.absorb();
            }
            "text" => {
                self.session(line.session, out);
                let text = line.part.text.unwrap_or_default();
                self.last_message = Some(text.to_string());
                out.message(text);
            }
            "reasoning" => {
                self.session(line.session, out);
                out.reasoning(line.part.text.unwrap_or_default());
            }
            "tool_use" => {
                if let Some(state) = line.part.state {
                    self.session(line.session, out);
                    tool(line.part.call, line.part.tool, state, out);
                }
            }
            "step_finish" => {
                self.session(line.session, out);
                self.step_finish(&line.part, out);
            }
            "error" => {
                self.session(line.session, out);
                self.error(&line.error.unwrap_or_default(), out);
            }
            _ => {}
        }
    }

    fn step_finish(&mut self, part: &Part<'_>, out: &mut Out) {
        let tokens = part.tokens.as_ref();
        out.usage(Usage {
            input_tokens: tokens
                .map_or(0, |tokens| tokens.input.saturating_add(tokens.cache.write)),
            output_tokens: tokens
                .map_or(0, |tokens| tokens.output.saturating_add(tokens.reasoning)),
            cached_tokens: tokens.map_or(0, |tokens| tokens.cache.read),
            cost_usd: part.cost,
        });
        // The CLI says no more of its end than this.
        if let Some("stop" | "length" | "content-filter") = part.reason.as_deref() {
            let result = TurnResult {
                text: self.last_message.take(),
                failure: self.failure.take(),
                stop_reason: part.reason.as_deref().map(str::to_owned),
                duration_ms: None,
            };
            self.ending.tell(out, result);
        }
    }

    /// The exit that follows makes it final.
    fn error(&mut self, error: &Error<'_>, out: &mut Out) {
        match told(error) {
            Some(failure) => {
                out.notice(Level::Error, &*failure.message);
                self.failure = Some(failure);
            }
            None => out.notice(Level::Info, &*error.name),
        }
    }
}

impl Turn for OpencodeTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        match source {
            OutputStream::Stdout => self.stdout(line, out),
            OutputStream::Stderr => out.stderr(line),
        }
    }

    fn finish(&mut self, exit: Exit) -> Conclusion {
        let (failure, text) = (self.failure.take(), self.last_message.take());
        let mut conclusion = std::mem::take(&mut self.ending).conclude(&exit, |exit| {
            let untold = untold(exit);
            TurnResult {
                text,
                failure: failure.or(untold.failure),
                ..untold
            }
        });
        if is_lost(&exit) {
            conclusion.remember = Some(String::new());
        }
        conclusion
    }
}

/// A call and its answer come in one line.
fn tool(call: Text<'_>, name: Text<'_>, state: State<'_>, out: &mut Out) {
    let input = state.input.map_or("null", |input| input.get());
    out.tool_call(&*call, &*name, input);
    let is_error = &*state.status != "completed";
    let output = match (state.error.0, state.output.0) {
        (Some(error), _) if is_error => error,
        (_, output) => output.unwrap_or_default(),
    };
    out.tool_result(call, output, is_error);
    if is_error {
        return;
    }
    match &*name {
        "write" | "edit" | "multiedit" => {
            if let Some(path) = read(input).path {
                let existed = state.metadata.and_then(|metadata| metadata.exists);
                let kind = match existed {
                    Some(false) => ChangeKind::Created,
                    _ => ChangeKind::Modified,
                };
                out.file_change(path, kind);
            }
        }
        "todowrite" => out.todo(read(input).todos.into_iter().map(Todo::item).collect()),
        _ => {}
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Input<'a> {
    #[serde(rename = "filePath")]
    path: Option<Text<'a>>,
    todos: Vec<Todo<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    content: Text<'a>,
    status: Text<'a>,
}

fn read(input: &str) -> Input<'_> {
    serde_json::from_str(input).unwrap_or_default()
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
