use crate::{
    Action, Emitted, Event, FileChange, Fragment, Level, Message, Notice, Question, Reaction, Role,
    SessionStarted, TodoItem, ToolCall, ToolResult, TurnResult, Usage,
};
use crate::{ChangeKind, OutputStream};

/// Collects what a turn makes of what it was fed.
#[derive(Debug, Default)]
pub struct Out {
    actions: Vec<Action>,
    absorbed: Vec<u32>,
    line: u32,
    told: bool,
    understood: bool,
    /// Where a wish to be woken stands among the actions.
    wake: Option<usize>,
}

impl Out {
    /// Emits an event for the current line.
    pub fn emit(&mut self, event: Event) {
        self.told = true;
        self.actions.push(Action::Emit(Emitted {
            line: self.line,
            event,
        }));
    }

    /// Says that the current line was understood and needs no event of its own.
    pub fn absorb(&mut self) {
        self.understood = true;
    }

    /// The CLI names its own session.
    pub fn session_started(&mut self, native_session_id: impl Into<String>) {
        self.emit(Event::SessionStarted(SessionStarted {
            native_session_id: native_session_id.into(),
        }));
    }

    /// A piece of the assistant's text.
    pub fn delta(&mut self, text: impl Into<String>) {
        self.emit(Event::MessageDelta(text.into()));
    }

    /// A whole message of the assistant.
    pub fn message(&mut self, text: impl Into<String>) {
        self.message_of(Role::Assistant, text);
    }

    /// A whole message.
    pub fn message_of(&mut self, role: Role, text: impl Into<String>) {
        self.emit(Event::Message(Message {
            role,
            text: text.into(),
        }));
    }

    /// What the model says of its thinking.
    pub fn reasoning(&mut self, text: impl Into<String>) {
        self.emit(Event::Reasoning(text.into()));
    }

    /// A tool is called; `input` is a JSON value.
    pub fn tool_call(
        &mut self,
        call_id: impl Into<String>,
        name: impl Into<String>,
        input: impl Into<String>,
    ) {
        self.emit(Event::ToolCall(ToolCall {
            call_id: call_id.into(),
            name: name.into(),
            input: input.into(),
        }));
    }

    /// A tool has answered.
    pub fn tool_result(
        &mut self,
        call_id: impl Into<String>,
        output: impl Into<String>,
        is_error: bool,
    ) {
        self.emit(Event::ToolResult(ToolResult {
            call_id: call_id.into(),
            output: output.into(),
            is_error,
        }));
    }

    /// A file was changed.
    pub fn file_change(&mut self, path: impl Into<String>, kind: ChangeKind) {
        self.emit(Event::FileChange(FileChange {
            path: path.into(),
            kind,
        }));
    }

    /// The whole list of things to do.
    pub fn todo(&mut self, items: Vec<TodoItem>) {
        self.emit(Event::Todo(items));
    }

    /// Tokens used since the last `usage` of this turn.
    pub fn usage(&mut self, usage: Usage) {
        self.emit(Event::Usage(usage));
    }

    /// Something to know.
    pub fn notice(&mut self, level: Level, text: impl Into<String>) {
        self.emit(Event::Notice(Notice {
            level,
            text: text.into(),
        }));
    }

    /// A line of stderr that means nothing special: worth a look where something went wrong.
    pub fn stderr(&mut self, line: &str) {
        self.notice(Level::Info, crate::plain(line));
    }

    /// How the turn ended; at most once.
    pub fn turn_result(&mut self, result: TurnResult) {
        self.emit(Event::TurnResult(result));
    }

    /// Keeps this for the next turns' `resume`. Only once the CLI is sure to find it again.
    pub fn remember(&mut self, token: impl Into<String>) {
        self.actions.push(Action::Remember(token.into()));
    }

    /// Makes the next turn start afresh: the conversation that it would resume is not there.
    pub fn forget(&mut self) {
        self.remember("");
    }

    /// Writes to the CLI's stdin, which the plan left open.
    pub fn write_stdin(&mut self, fragments: Vec<Fragment>) {
        self.actions.push(Action::WriteStdin(fragments));
    }

    /// Closes the CLI's stdin.
    pub fn close_stdin(&mut self) {
        self.actions.push(Action::CloseStdin);
    }

    /// Asks the user.
    pub fn ask(&mut self, question: Question) {
        self.actions.push(Action::Ask(question));
    }

    /// Asks for one call of `tick`, unless output comes first.
    pub fn wake_after(&mut self, milliseconds: u32) {
        self.cancel_wake();
        self.wake = Some(self.actions.len());
        self.actions.push(Action::WakeAfter(milliseconds));
    }

    /// Output has come first: within a batch as well as between batches.
    fn cancel_wake(&mut self) {
        if let Some(at) = self.wake.take() {
            self.actions.remove(at);
        }
    }

    /// Says that the turn is over as far as its output tells.
    pub fn end_turn(&mut self) {
        self.actions.push(Action::EndTurn);
    }

    /// Feeds every line of a batch to `each` and sees to it that none is lost.
    pub(crate) fn lines(
        &mut self,
        source: OutputStream,
        lines: &str,
        mut each: impl FnMut(OutputStream, &str, &mut Out),
    ) {
        let mut rest = lines;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            self.told = false;
            self.understood = false;
            self.cancel_wake();
            if is_blank(line) {
                self.understood = true;
            } else {
                each(source, line, self);
            }
            if !self.told {
                if self.understood {
                    self.absorbed.push(self.line);
                } else {
                    self.emit(Event::Unparsed(line.to_owned()));
                }
            }
            self.line += 1;
        }
    }

    pub(crate) fn into_reaction(self) -> Reaction {
        Reaction {
            actions: self.actions,
            absorbed: self.absorbed,
        }
    }
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|byte| byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_puts_off_the_wish_to_be_woken_within_a_batch_too() {
        let mut out = Out::default();
        out.lines(OutputStream::Stdout, "a\nb\nc\n", |_, line, out| {
            out.absorb();
            if line != "b" {
                out.wake_after(if line == "a" { 1 } else { 2 });
            }
            out.close_stdin();
        });
        let [
            Action::CloseStdin,
            Action::CloseStdin,
            Action::WakeAfter(2),
            Action::CloseStdin,
        ] = &out.into_reaction().actions[..]
        else {
            panic!("another order");
        };
    }
}
