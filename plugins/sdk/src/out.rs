use crate::{
    Action, ChangeKind, Compaction, Delta, Event, EventBody, Extension, Failure, FileChange,
    ForkOutcome, Fragment, InjectionOutcome, InjectionState, Level, McpServerState, McpState,
    Message, MessageDiscarded, Notice, OutputSource, Question, Reaction, Reasoning, Role,
    SessionStarted, Task, TodoItem, ToolCall, ToolKind, ToolResult, ToolUpdate, TurnCause,
    TurnReference, TurnResult, Usage, UsageCounts,
};

/// Collects what a conversation makes of what it was told.
#[derive(Debug)]
pub struct Out {
    actions: Vec<Action>,
    absorbed: Vec<u32>,
    line: u32,
    turn: TurnReference,
    inside: Option<String>,
    told: bool,
    understood: bool,
    /// Where a wish to be woken stands among the actions.
    wake: Option<usize>,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            absorbed: Vec::new(),
            line: 0,
            turn: TurnReference::Current,
            inside: None,
            told: false,
            understood: false,
            wake: None,
        }
    }
}

/// What a line means.
impl Out {
    /// Emits an event for the current line.
    pub fn emit(&mut self, body: EventBody) {
        self.told = true;
        self.actions.push(Action::Emit(Event {
            line: self.line,
            turn: self.turn,
            inside: self.inside.clone(),
            body,
        }));
    }

    /// Says that the current line was understood and needs no event of its own.
    pub fn absorb(&mut self) {
        self.understood = true;
    }

    /// What is emitted for the rest of the current line happened inside of this call: it is told by
    /// a subagent that the call started.
    pub fn inside(&mut self, call_id: Option<impl Into<String>>) {
        self.inside = call_id.map(Into::into);
    }

    /// What is emitted for the rest of the current line belongs to this turn.
    pub fn of_turn(&mut self, turn: TurnReference) {
        self.turn = turn;
    }

    /// The CLI names its own session.
    pub fn session_started(&mut self, native_session_id: impl Into<String>) {
        self.emit(EventBody::SessionStarted(SessionStarted {
            native_session_id: native_session_id.into(),
        }));
    }

    /// A piece of the assistant's text. `item` is the adapter's number for the message.
    pub fn delta(&mut self, item: u32, text: impl Into<String>) {
        self.emit(EventBody::MessageDelta(Delta {
            item,
            text: text.into(),
        }));
    }

    /// A whole message of the assistant, of which no pieces came.
    pub fn message(&mut self, text: impl Into<String>) {
        self.emit(EventBody::Message(message(text)));
    }

    /// A whole message of the assistant, of which pieces came under the same number.
    pub fn message_item(&mut self, item: u32, text: impl Into<String>) {
        self.emit(EventBody::Message(Message {
            item: Some(item),
            ..message(text)
        }));
    }

    /// A message of the assistant that breaks off, with the number under which pieces of it came,
    /// if any did.
    pub fn aborted_message(&mut self, item: Option<u32>, text: impl Into<String>) {
        self.emit(EventBody::Message(Message {
            item,
            aborted: true,
            ..message(text)
        }));
    }

    /// A whole message of somebody else.
    pub fn message_of(&mut self, role: Role, text: impl Into<String>) {
        self.emit(EventBody::Message(Message {
            role,
            ..message(text)
        }));
    }

    /// What was told of a message is void.
    pub fn discard(&mut self, item: u32, reason: impl Into<String>) {
        self.emit(EventBody::MessageDiscarded(MessageDiscarded {
            item,
            reason: reason.into(),
        }));
    }

    /// A piece of the model's thinking.
    pub fn reasoning_delta(&mut self, item: u32, text: impl Into<String>) {
        self.emit(EventBody::ReasoningDelta(Delta {
            item,
            text: text.into(),
        }));
    }

    /// What the model says of its thinking, of which no pieces came.
    pub fn reasoning(&mut self, text: impl Into<String>) {
        self.emit(EventBody::Reasoning(Reasoning {
            item: None,
            text: text.into(),
        }));
    }

    /// What the model says of its thinking, of which pieces came under the same number.
    pub fn reasoning_item(&mut self, item: u32, text: impl Into<String>) {
        self.emit(EventBody::Reasoning(Reasoning {
            item: Some(item),
            text: text.into(),
        }));
    }

    /// A tool is called; see [`tool_call`].
    pub fn tool_call(&mut self, call: ToolCall) {
        self.emit(EventBody::ToolCall(call));
    }

    /// News of a call that has not ended; see [`tool_update`].
    pub fn tool_update(&mut self, update: ToolUpdate) {
        self.emit(EventBody::ToolUpdate(update));
    }

    /// A tool has answered, see [`tool_result`].
    pub fn tool_result(&mut self, result: ToolResult) {
        self.emit(EventBody::ToolResult(result));
    }

    /// A file was changed by a call.
    pub fn file_change(
        &mut self,
        path: impl Into<String>,
        kind: ChangeKind,
        call_id: Option<String>,
    ) {
        self.emit(EventBody::FileChange(FileChange {
            path: path.into(),
            kind,
            moved_from: None,
            diff: None,
            call_id,
        }));
    }

    /// The whole list of things to do.
    pub fn todo(&mut self, items: Vec<TodoItem>) {
        self.emit(EventBody::Todo(items));
    }

    /// Tokens and money; see [`usage`].
    pub fn usage(&mut self, usage: Usage) {
        self.emit(EventBody::Usage(usage));
    }

    /// Something to know.
    pub fn notice(&mut self, level: Level, text: impl Into<String>) {
        self.emit(EventBody::Notice(Notice {
            level,
            text: text.into(),
            code: None,
        }));
    }

    /// Something to know, with a word for programs.
    pub fn coded_notice(&mut self, level: Level, code: &str, text: impl Into<String>) {
        self.emit(EventBody::Notice(Notice {
            level,
            text: text.into(),
            code: Some(code.to_owned()),
        }));
    }

    /// Something to know: the agent was done and has said nothing.
    pub fn no_text(&mut self) {
        self.coded_notice(Level::Warning, "no_text", "the agent ended without a text");
    }

    /// A line of stderr that means nothing special: worth a look where something went wrong.
    pub fn stderr(&mut self, line: &str) {
        self.notice(Level::Info, crate::plain(line));
    }

    /// Work in the background.
    pub fn task(&mut self, task: Task) {
        self.emit(EventBody::Task(task));
    }

    /// Where an MCP server stands.
    pub fn mcp_server(
        &mut self,
        name: impl Into<String>,
        state: McpState,
        message: Option<String>,
    ) {
        self.emit(EventBody::McpServer(McpServerState {
            name: name.into(),
            state,
            message,
        }));
    }

    /// The conversation is made shorter.
    pub fn compaction(&mut self, compaction: Compaction) {
        self.emit(EventBody::Compaction(compaction));
    }

    /// How the turn ended; at most once a turn. [`Ending`](crate::Ending) sees to that.
    pub fn turn_result(&mut self, result: TurnResult) {
        self.emit(EventBody::TurnResult(result));
    }

    /// Something that the interface has no name for; `json` is a JSON value.
    pub fn other(&mut self, kind: impl Into<String>, json: impl Into<String>) {
        self.emit(EventBody::Other(Extension {
            kind: kind.into(),
            json: json.into(),
        }));
    }
}

/// What the host is to do.
impl Out {
    /// Keeps this for the conversation's next process. Only once the CLI is sure to find it again.
    pub fn remember(&mut self, token: impl Into<String>) {
        self.actions.push(Action::Remember(token.into()));
    }

    /// Makes the next process start afresh: the conversation that it would resume is not there.
    pub fn forget(&mut self) {
        self.actions.push(Action::Forget);
    }

    /// Writes to the CLI's stdin, which the launch left open.
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

    /// The question of this id needs no answer any more.
    pub fn withdraw(&mut self, question: impl Into<String>) {
        self.actions.push(Action::Withdraw(question.into()));
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

    /// Says that a turn begins which no prompt asked for.
    pub fn open_turn(&mut self, cause: TurnCause) {
        self.actions.push(Action::OpenTurn(cause));
    }

    /// Says that the open turn is over.
    pub fn end_turn(&mut self) {
        self.actions.push(Action::EndTurn);
    }

    /// Says that the process is to exit.
    pub fn close(&mut self) {
        self.actions.push(Action::Close);
    }

    /// Says what became of an injection.
    pub fn injected(
        &mut self,
        id: impl Into<String>,
        state: InjectionState,
        message: Option<&str>,
    ) {
        self.actions.push(Action::Injected(InjectionOutcome {
            id: id.into(),
            state,
            message: message.map(str::to_owned),
        }));
    }

    /// Says what became of a wish to copy the conversation.
    pub fn forked(&mut self, id: impl Into<String>, token: Result<String, Failure>) {
        self.actions.push(Action::Forked(ForkOutcome {
            id: id.into(),
            token,
        }));
    }
}

impl Out {
    /// Feeds every line of a batch to `each` and sees to it that none is lost.
    pub(crate) fn lines(
        &mut self,
        source: OutputSource,
        lines: &str,
        mut each: impl FnMut(OutputSource, &str, &mut Out),
    ) {
        let mut rest = lines;
        while !rest.is_empty() {
            // Faster in WebAssembly than the standard library's search, which looks at four bytes
            // at once there.
            let (line, after) = match memchr::memchr(b'\n', rest.as_bytes()) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, ""),
            };
            rest = after;
            self.told = false;
            self.understood = false;
            self.turn = TurnReference::Current;
            self.inside = None;
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
                    self.emit(EventBody::Unparsed(line.to_owned()));
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

fn message(text: impl Into<String>) -> Message {
    Message {
        item: None,
        role: Role::Assistant,
        text: text.into(),
        parts: Vec::new(),
        aborted: false,
    }
}

/// A call of a tool of the CLI's own, to be filled in; `input` is a JSON value.
pub fn tool_call(
    call_id: impl Into<String>,
    name: impl Into<String>,
    kind: ToolKind,
    input: impl Into<String>,
) -> ToolCall {
    ToolCall {
        call_id: call_id.into(),
        name: name.into(),
        kind,
        title: None,
        server: None,
        canonical_name: None,
        input: input.into(),
        locations: Vec::new(),
    }
}

/// News of a call, to be filled in.
pub fn tool_update(call_id: impl Into<String>) -> ToolUpdate {
    ToolUpdate {
        call_id: call_id.into(),
        title: None,
        output: None,
        locations: Vec::new(),
    }
}

/// A tool's answer, as text.
pub fn tool_result(
    call_id: impl Into<String>,
    output: impl Into<String>,
    is_error: bool,
) -> ToolResult {
    ToolResult {
        call_id: call_id.into(),
        output: output.into(),
        parts: Vec::new(),
        is_error,
    }
}

/// What was spent between two readings of a running total, in dollars: rounded to 1e-12, so that it
/// is free of the noise of binary fractions.
#[must_use]
pub fn dollars_between(before: f64, now: f64) -> f64 {
    const STEPS: f64 = 1e12;
    ((now - before) * STEPS).round() / STEPS
}

/// Tokens used since the last time, to be filled in: `Usage { cost_usd, ..usage(input, output) }`.
#[must_use]
pub fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        model: None,
        input_tokens,
        cache_write_tokens: 0,
        cache_read_tokens: 0,
        output_tokens,
        reasoning_tokens: 0,
        cost_usd: None,
        counts: UsageCounts::Difference,
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
        out.lines(OutputSource::Stdout, "a\nb\nc\n", |_, line, out| {
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

    #[test]
    fn what_a_line_says_of_its_call_and_turn_ends_with_the_line() {
        let mut out = Out::default();
        out.lines(OutputSource::Stdout, "a\nb\n", |_, line, out| {
            if line == "a" {
                out.inside(Some("call"));
                out.of_turn(TurnReference::Number(1));
            }
            out.message(line);
        });
        let told: Vec<_> = out
            .into_reaction()
            .actions
            .into_iter()
            .map(|action| match action {
                Action::Emit(event) => (event.line, event.inside, event.turn),
                _ => panic!("{action:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (0, Some("call".to_owned()), TurnReference::Number(1)),
                (1, None, TurnReference::Current)
            ]
        );
    }
}
