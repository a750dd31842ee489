//! What the lines of a process mean.

use aod_plugin_sdk::{
    Answer, Compaction, Context, Conversation, Ending, Exit, FailureKind, Fork, InjectMode,
    Injection, InjectionState, Level, Origin, Out, OutputSource, Prompt, Setting,
};

use crate::background::Background;
use crate::control::Control;
use crate::dialogue::{Turn, UNTOLD};
use crate::injections::Injections;
use crate::launch::asked_for;
use crate::messages::Messages;
use crate::notes;
use crate::permission::Permission;
use crate::results::{AbortCause, Results};
use crate::resume::Resume;
use crate::servers::ServerStates;
use crate::settings::Settings;
use crate::state::State;
use crate::tools::Tools;
use crate::usage;
use crate::wait::{Wait, WaitReason};
use crate::wire::Line;

/// A process, and what is said there.
#[derive(Debug)]
pub struct ClaudeConversation {
    /// Whether the process stays when a turn is over.
    pub(crate) stays: bool,
    pub(crate) is_live: bool,
    pub(crate) resume: Resume,
    /// Whether the conversation begins here, under the id of the turn.
    is_new: bool,
    pub(crate) model: Option<String>,
    pub(crate) started: bool,
    pub(crate) remembered: bool,
    pub(crate) turn: Turn,
    pub(crate) messages: Messages,
    pub(crate) tools: Tools,
    pub(crate) background: Background,
    pub(crate) server_states: ServerStates,
    pub(crate) results: Results,
    pub(crate) wait: Wait,
    pub(crate) control: Control,
    pub(crate) settings: Settings,
    pub(crate) permission: Permission,
    /// Tools of its own that the agent's author wants to be asked for.
    pub(crate) asked_for: Vec<&'static str>,
    pub(crate) injections: Injections,
}

impl ClaudeConversation {
    pub(crate) fn new(context: &Context, state: Option<&[u8]>) -> Self {
        let (resume, is_new) = match &context.origin {
            Origin::Resume(token) => (Resume::read(token), false),
            Origin::New | Origin::Fork(_) => (Resume::default(), true),
        };
        let ending = match context.live {
            true => Ending::live(),
            false => Ending::default(),
        };
        let mut new = Self {
            stays: context.live,
            is_live: context.live,
            resume,
            is_new,
            model: None,
            started: false,
            remembered: false,
            turn: Turn::default(),
            messages: Messages::default(),
            tools: Tools::new(&context.mcp_servers),
            background: Background::default(),
            server_states: ServerStates::new(&context.mcp_servers),
            results: Results::new(ending),
            wait: Wait::default(),
            control: Control::default(),
            settings: Settings::default(),
            permission: Permission::default(),
            asked_for: asked_for(context),
            injections: Injections::default(),
        };
        if let Some(state) = state.and_then(State::read) {
            state.restore(&mut new);
        }
        new
    }

    /// The CLI writes the prompt to its session's file just before it calls the model: killed
    /// after `init` the session cannot be resumed, killed once an answer came it can.
    pub(crate) fn acknowledged(&mut self, out: &mut Out) {
        if !self.remembered {
            self.remembered = true;
            out.remember(self.resume.write());
        }
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Some(line) = Line::read(text) else {
            return;
        };
        if let Some(call) = &line.parent_tool_use_id {
            out.inside(Some(&**call));
        }
        match &*line.kind {
            "stream_event" => {
                self.acknowledged(out);
                self.results.well();
                if let Some(event) = line.event {
                    self.stream_event(event, line.parent_tool_use_id.is_some(), out);
                }
            }
            "assistant" => self.assistant(line, out),
            "user" => self.user(line, out),
            "system" => self.system(&line, out),
            "result" => self.result(line, out),
            "rate_limit_event" => {
                self.results.omens.reset_at_ms =
                    notes::rate_limit(&line, out).or(self.results.omens.reset_at_ms);
            }
            "conversation_reset" => {
                let text = "the conversation begins anew: what was before it is forgotten";
                out.coded_notice(Level::Warning, "conversation_reset", text);
            }
            "command_lifecycle" => self.lifecycle(&line, out),
            "control_request" => self.asked(&line, out),
            "control_response" => self.control.replied(line.rest.response, out),
            "control_cancel_request" => {
                let request = line.rest.request_id.0.as_deref().unwrap_or_default();
                self.permission.withdraw(request, out);
            }
            "tool_progress" | "keep_alive" => out.absorb(),
            "tool_use_summary" => notes::aside(&line, out),
            _ => {}
        }
    }

    fn system(&mut self, line: &Line<'_>, out: &mut Out) {
        match line.subtype.as_deref().unwrap_or_default() {
            "init" => self.init(line, out),
            "api_retry" => {
                self.acknowledged(out);
                let text = notes::retry(line);
                self.results.trouble(line, &text);
                out.coded_notice(Level::Warning, "retry", text);
                self.messages
                    .discard("the reply broke off, and is tried again", out);
            }
            "status" => match line.rest.status.0.as_deref() {
                Some("compacting") => compaction(None, out),
                _ => out.absorb(),
            },
            "compact_boundary" => compaction(Some(line), out),
            "background_tasks_changed" => self.background.changed(line, out),
            subtype if subtype.starts_with("task_") => self.background.task(line, out),
            subtype if subtype.starts_with("model_refusal_") => notes::refusal(line, out),
            subtype if subtype.starts_with("hook_") => notes::aside(line, out),
            "informational" | "local_command_output" => notes::aside(line, out),
            // The call's result says the same.
            "permission_denied" => out.absorb(),
            "session_state_changed" => self.session_state(line, out),
            "thinking_tokens" => out.absorb(),
            _ => {}
        }
    }

    /// There is one for each round that the CLI begins by itself; the first tells the session.
    fn init(&mut self, line: &Line<'_>, out: &mut Out) {
        self.goes_on(out);
        if let Some(session) = &line.session_id {
            self.resume.session = session.to_string();
        }
        if let Some(model) = line.rest.model.0.as_deref() {
            self.model = Some(model.to_owned());
        }
        if self.started {
            out.absorb();
        } else {
            self.started = true;
            out.session_started(&*self.resume.session);
        }
        self.server_states.listed(&line.rest.mcp_servers, out);
    }

    fn result(&mut self, line: Line<'_>, out: &mut Out) {
        if let Some(session) = &line.session_id {
            self.resume.session = session.to_string();
        }
        self.messages.break_off(out);
        let was_asked = usage::tell(&line, self.model.as_deref(), &mut self.resume, out);
        let is_older = self.turn.is_waiting();
        let failure = self.results.result(line, was_asked, is_older, out);
        if failure.is_some_and(|failure| failure.kind == FailureKind::Resume) {
            out.forget();
        } else {
            self.remembered = true;
            out.remember(self.resume.write());
        }
    }
}

impl Conversation for ClaudeConversation {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        if self.is_new && !self.started {
            self.resume.session.clone_from(&prompt.turn_id);
        }
        self.begin(prompt, out);
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => {
                self.stdout(line, out);
                self.settle(out);
            }
            OutputSource::Stderr | OutputSource::LogFile => out.stderr(line),
        }
        self.wait.arm(out);
    }

    fn tick(&mut self, elapsed_ms: u64, out: &mut Out) {
        match self.wait.tick(elapsed_ms, out) {
            Some(WaitReason::Background) => {
                if self.background.stop(&mut self.control, out) {
                    self.wait.begin(WaitReason::Stop, out);
                } else {
                    self.settle(out);
                }
            }
            Some(WaitReason::Stop) => {
                // It does not stop: its process has to go.
                self.stays = false;
                self.background.end(out);
                self.end(out);
            }
            Some(WaitReason::Quiet) => self.end(out),
            None => {}
        }
    }

    fn interrupt(&mut self, out: &mut Out) {
        self.break_off(AbortCause::ByUser, out);
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        self.permission.answer(&answer, out);
    }

    fn stop_task(&mut self, task_id: &str, out: &mut Out) {
        self.control.stop_task(task_id, out);
    }

    fn configure(&mut self, settings: Vec<Setting>, out: &mut Out) {
        let wanted = self.settings.with(&settings);
        self.settings.change_to(wanted, &mut self.control, out);
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        let starts_another = injection.mode != InjectMode::Steer;
        let refused = if self.results.is_told() || self.results.broken_off().is_some() {
            Some("no prompt runs")
        } else if starts_another && !self.stays {
            Some("this process serves one turn")
        } else if injection.mode != InjectMode::Queue && !self.turn.is_told_of() {
            if self.turn.is_starting() {
                self.injections.await_prompt(injection, out);
                return;
            }
            Some(UNTOLD)
        } else {
            None
        };
        match (refused, injection.mode) {
            (Some(why), _) => out.injected(injection.id, InjectionState::Refused, Some(why)),
            (None, InjectMode::Queue) => self.injections.queue(injection, out),
            (None, _) => self.injections.give(&self.turn.id, injection, out),
        }
    }

    fn cancel(&mut self, id: &str, out: &mut Out) {
        self.injections.cancel(id, &mut self.control, out);
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        out.forked(fork.id, self.copy(fork.after_turn));
    }

    fn state(&self) -> Option<Vec<u8>> {
        State::of(self)
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.messages.break_off(out);
        let waited = self.wait.is_for_background();
        self.background.end(out);
        self.permission.end(out);
        self.injections.end("the process has ended", out);
        self.results.finish(&exit, waited, out);
    }
}

/// `done`: the line that says so.
fn compaction(done: Option<&Line<'_>>, out: &mut Out) {
    let sizes = done.and_then(|line| line.rest.compact_metadata.as_ref());
    out.compaction(Compaction {
        done: done.is_some(),
        tokens_before: sizes.and_then(|sizes| sizes.pre_tokens),
        tokens_after: sizes.and_then(|sizes| sizes.post_tokens),
    });
}
