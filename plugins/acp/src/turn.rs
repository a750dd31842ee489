//! What a turn's lines mean, and what is said to the agent.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{
    Answer, Conclusion, Ending, Event, Exit, Failure, FailureKind, Level, Message, Out,
    OutputStream, Role, TodoItem, TodoStatus, Turn, TurnContext, TurnResult, Usage, crashed,
};
use serde_json::value::RawValue;

use crate::open::{Opening, Step};
use crate::options::Options;
use crate::permission::Permission;
use crate::request;
use crate::tools::Tools;
use crate::wire::{self, Asked, Block, Entry, Error, ErrorData, Notified, Prompted, Update};

/// What an agent says where it wants to be authenticated.
const AUTH_REQUIRED: i64 = -32000;

/// A running turn.
#[derive(Debug)]
pub struct AcpTurn {
    pub(crate) options: Options,
    pub(crate) context: TurnContext,
    pub(crate) opening: Opening,
    pub(crate) permission: Permission,
    tools: Tools,
    /// The pieces of a message and of a thought that go on.
    message: String,
    message_id: Option<String>,
    thought: String,
    last_message: Option<String>,
    remembered: bool,
    pub(crate) ending: Ending,
}

impl AcpTurn {
    pub(crate) fn new(options: Options, context: TurnContext) -> Self {
        Self {
            options,
            context,
            opening: Opening::default(),
            permission: Permission::default(),
            tools: Tools::default(),
            message: String::new(),
            message_id: None,
            thought: String::new(),
            last_message: None,
            remembered: false,
            ending: Ending::default(),
        }
    }

    fn stdout(&mut self, line: &str, out: &mut Out) {
        let Ok(message) = serde_json::from_str::<wire::Message<'_>>(line) else {
            return;
        };
        match (message.id, message.method.as_deref()) {
            (Some(id), Some("session/request_permission")) => {
                out.absorb();
                self.ask(id, &wire::read(message.params), out);
            }
            (Some(id), Some(method)) => {
                out.absorb();
                out.write_stdin(request::not_found(id, method));
            }
            (None, Some("session/update")) => {
                // Of another form than is known: it is told as it stands.
                let notified = message
                    .params
                    .map(|params| serde_json::from_str(params.get()));
                if let Some(Ok(Notified { update })) = notified {
                    self.update(&update, out);
                }
            }
            (Some(id), None) if self.opening.awaits(id) => {
                out.absorb();
                match message.error {
                    Some(error) => self.failed(&error, out),
                    None => self.replied(message.result, out),
                }
            }
            _ => {}
        }
    }

    fn update(&mut self, update: &Update<'_>, out: &mut Out) {
        if self.opening.step != Step::Prompt {
            // History of a session that is gone on with, told again; or what it can do.
            out.absorb();
            self.still_settling(out);
            return;
        }
        match &*update.session_update {
            "agent_message_chunk" => {
                self.end_thought(out);
                let id = update.message_id.0.as_deref();
                if id.is_some() && id != self.message_id.as_deref() {
                    self.end_message(out);
                    self.message_id = id.map(str::to_owned);
                }
                let text = text_of(update.content);
                self.message.push_str(&text);
                out.delta(text);
                self.remember(out);
            }
            "agent_thought_chunk" => {
                self.end_message(out);
                self.thought.push_str(&text_of(update.content));
                out.absorb();
                self.remember(out);
            }
            "tool_call" | "tool_call_update" => {
                self.end_texts(out);
                out.absorb();
                self.tools.update(update, out);
                self.remember(out);
            }
            "plan" => {
                self.end_texts(out);
                out.todo(update.entries.iter().map(todo).collect());
            }
            // What was said by the user, and what the agent is set to.
            "user_message_chunk"
            | "available_commands_update"
            | "current_mode_update"
            | "current_model_update"
            | "config_option_update"
            | "session_info_update"
            | "usage_update" => out.absorb(),
            _ => {}
        }
    }

    /// The agent works on the prompt, so that it will know the session again.
    fn remember(&mut self, out: &mut Out) {
        if !self.remembered
            && let (true, Some(session)) = (self.opening.can_resume(), self.opening.session())
        {
            self.remembered = true;
            out.remember(session);
        }
    }

    fn ask(&mut self, id: &RawValue, asked: &Asked<'_>, out: &mut Out) {
        self.end_texts(out);
        let tool: Update<'_> = wire::read(asked.tool_call);
        self.tools.announce(&tool, out);
        self.permission.ask(&self.options, id, asked, &tool, out);
    }

    fn end_message(&mut self, out: &mut Out) {
        if !self.message.is_empty() {
            let text = std::mem::take(&mut self.message);
            self.last_message = Some(text.clone());
            out.message(text);
        }
        self.message_id = None;
    }

    fn end_thought(&mut self, out: &mut Out) {
        if !self.thought.is_empty() {
            out.reasoning(std::mem::take(&mut self.thought));
        }
    }

    fn end_texts(&mut self, out: &mut Out) {
        self.end_thought(out);
        self.end_message(out);
    }

    /// The prompt's reply.
    pub(crate) fn prompted(&mut self, result: Option<&RawValue>, out: &mut Out) {
        self.end_texts(out);
        self.tools.finish(out);
        self.remember(out);
        let prompted: Prompted<'_> = wire::read(result);
        let quota = prompted.meta.and_then(|meta| meta.quota);
        if let Some(tokens) = prompted
            .usage
            .or_else(|| quota.and_then(|quota| quota.token_count))
        {
            let thought = tokens.thought_tokens.unwrap_or(0);
            let written = tokens.cached_write_tokens.unwrap_or(0);
            out.usage(Usage {
                input_tokens: tokens.input_tokens.saturating_add(written),
                output_tokens: tokens.output_tokens.saturating_add(thought),
                cached_tokens: tokens.cached_read_tokens.unwrap_or(0),
                cost_usd: None,
            });
        }
        let reason = &*prompted.stop_reason;
        let refused = reason == "refusal";
        let refusal = || failure(FailureKind::Provider, "the agent refused the prompt");
        let result = TurnResult {
            text: self.last_message.take(),
            failure: refused.then(refusal),
            stop_reason: (!reason.is_empty()).then(|| reason.to_owned()),
            duration_ms: None,
        };
        self.ending.tell(out, result);
    }

    /// A request of ours failed, and with it the turn.
    fn failed(&mut self, error: &Error<'_>, out: &mut Out) {
        self.end_texts(out);
        self.tools.finish(out);
        let failure = failure_of(error);
        // Agents have no common word for a session that they do not find.
        if self.opening.step == Step::Resume && failure.kind != FailureKind::Auth {
            self.begin_afresh(&failure.message, out);
            return;
        }
        out.notice(Level::Error, &*failure.message);
        self.fail(failure, out);
    }

    pub(crate) fn fail(&mut self, failure: Failure, out: &mut Out) {
        let result = TurnResult {
            text: self.last_message.take(),
            failure: Some(failure),
            stop_reason: None,
            duration_ms: None,
        };
        self.ending.tell(out, result);
        self.opening.step = Step::Over;
    }

    /// The texts that were not ended, as events.
    fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.thought.is_empty() {
            events.push(Event::Reasoning(std::mem::take(&mut self.thought)));
        }
        if !self.message.is_empty() {
            let text = std::mem::take(&mut self.message);
            self.last_message = Some(text.clone());
            let role = Role::Assistant;
            events.push(Event::Message(Message { role, text }));
        }
        events
    }
}

impl Turn for AcpTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        match source {
            OutputStream::Stdout => self.stdout(line, out),
            OutputStream::Stderr => {
                out.stderr(line);
                self.still_settling(out);
            }
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        self.permission.answer(&answer, out);
    }

    fn tick(&mut self, _: u64, out: &mut Out) {
        if self.opening.step == Step::Settle {
            self.choose(out);
        }
    }

    fn interrupt(&mut self, out: &mut Out) {
        self.permission.cancel(out);
        match self.opening.session() {
            Some(session) if self.opening.step == Step::Prompt => {
                out.write_stdin(request::cancel(session));
            }
            _ => {
                let result = TurnResult {
                    text: None,
                    failure: None,
                    stop_reason: Some("cancelled".to_owned()),
                    duration_ms: None,
                };
                self.ending.tell(out, result);
                self.opening.step = Step::Over;
            }
        }
    }

    fn finish(&mut self, exit: Exit) -> Conclusion {
        let mut events = self.rest();
        let text = self.last_message.take();
        let ending = std::mem::take(&mut self.ending);
        let mut conclusion = ending.conclude(&exit, |exit| TurnResult {
            text,
            ..crashed(exit)
        });
        events.append(&mut conclusion.events);
        Conclusion {
            events,
            ..conclusion
        }
    }
}

fn failure_of(error: &Error<'_>) -> Failure {
    let data: ErrorData<'_> = wire::read(error.data);
    let mut message = error.message.to_string();
    if let Some(details) = data.details.0 {
        message = format!("{message}: {}", &*details);
    }
    if error.code == AUTH_REQUIRED {
        failure(FailureKind::Auth, message)
    } else {
        from_api(None, &message, FailureKind::Provider)
    }
}

/// The text of a message's block; of one that holds something else, nothing.
fn text_of(content: Option<&RawValue>) -> String {
    let block: Block<'_> = wire::read(content);
    block.text.0.map(String::from).unwrap_or_default()
}

fn todo(entry: &Entry<'_>) -> TodoItem {
    TodoItem {
        text: entry.content.to_string(),
        status: match &*entry.status {
            "in_progress" => TodoStatus::InProgress,
            "completed" => TodoStatus::Completed,
            _ => TodoStatus::Pending,
        },
    }
}
