//! From the first request to the prompt: one request at a time, each with the next number.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{FailureKind, Fragment, Level, McpTransport, Out};
use serde_json::value::RawValue;

use crate::options::filled;
use crate::request;
use crate::turn::AcpTurn;
use crate::wire::{self, Capabilities, Initialized, Opened};

/// What is waited for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The reply to `initialize`, which the plan has sent.
    #[default]
    Initialize,
    /// To `authenticate`.
    Authenticate,
    /// To `session/new`.
    New,
    /// To `session/load` or `session/resume`.
    Resume,
    /// Silence, after which a loaded session has told all of its history.
    Settle,
    /// The reply to `session/set_model`.
    Model,
    /// To `session/set_mode`.
    Mode,
    /// To `session/prompt`.
    Prompt,
    /// Nothing more.
    Over,
}

/// How far a turn has come in opening its session.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    pub(crate) step: Step,
    /// The number of the request that was sent last.
    last: u64,
    agent: Capabilities,
    session: Option<String>,
    /// Whether the conversation goes on.
    resumed: bool,
}

impl Opening {
    /// Whether this is the reply that is waited for.
    pub(crate) fn awaits(&self, id: &RawValue) -> bool {
        !matches!(self.step, Step::Settle | Step::Over) && id.get().parse() == Ok(self.last)
    }

    /// The agent's own id of the session.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether a later turn can go on with the session.
    pub(crate) fn can_resume(&self) -> bool {
        self.agent.load_session || self.agent.session_capabilities.resume.is_some()
    }

    fn next(&mut self, step: Step) -> u64 {
        self.step = step;
        self.last += 1;
        self.last
    }
}

impl AcpTurn {
    /// The reply that was waited for.
    pub(crate) fn replied(&mut self, result: Option<&RawValue>, out: &mut Out) {
        match self.opening.step {
            Step::Initialize => self.initialized(&wire::read(result), out),
            Step::Authenticate => self.open(out),
            Step::New => {
                let opened: Opened<'_> = wire::read(result);
                match opened.session_id {
                    Some(session) => {
                        out.session_started(&*session);
                        self.opening.session = Some(session.into());
                        self.choose(out);
                    }
                    None => self.broken("it opened a session and did not say its id", out),
                }
            }
            Step::Resume => {
                if let Some(session) = self.opening.session() {
                    out.session_started(session);
                }
                self.opening.resumed = true;
                if self.opening.agent.session_capabilities.resume.is_some() {
                    self.choose(out);
                } else {
                    self.opening.step = Step::Settle;
                    out.wake_after(self.options.replay_quiet_ms);
                }
            }
            Step::Model => self.choose_mode(out),
            Step::Mode => self.prompt(out),
            Step::Prompt => {
                self.prompted(result, out);
                self.opening.step = Step::Over;
            }
            Step::Settle | Step::Over => {}
        }
    }

    fn broken(&mut self, what: &str, out: &mut Out) {
        let message = format!("the agent does not keep to the Agent Client Protocol: {what}");
        self.fail(failure(FailureKind::Crash, message), out);
    }

    fn initialized(&mut self, agent: &Initialized, out: &mut Out) {
        if agent.protocol_version != 1 {
            let version = agent.protocol_version;
            self.broken(&format!("it speaks version {version} and not 1"), out);
            return;
        }
        self.opening.agent = agent.agent_capabilities.clone();
        match &self.options.auth_method {
            Some(method) => {
                let id = self.opening.next(Step::Authenticate);
                out.write_stdin(request::plain(id, "authenticate", &[("methodId", method)]));
            }
            None => self.open(out),
        }
    }

    /// Goes on with the session of the turn before, or begins one.
    fn open(&mut self, out: &mut Out) {
        let http = self.opening.agent.mcp_capabilities.http;
        for server in &self.context.mcp_servers {
            if !http && matches!(server.transport, McpTransport::Url(_)) {
                let name = &server.name;
                let text = format!(
                    "the agent reaches no MCP servers over HTTP: {name:?} is not there in this turn"
                );
                out.notice(Level::Warning, text);
            }
        }
        let earlier = self.context.resume_token().map(str::to_owned);
        if let Some(session) = earlier.filter(|_| self.opening.can_resume()) {
            let id = self.opening.next(Step::Resume);
            let method = match self.opening.agent.session_capabilities.resume {
                Some(_) => "session/resume",
                None => "session/load",
            };
            let request = request::session(id, method, Some(&session), &self.context, http);
            self.opening.session = Some(session);
            out.write_stdin(request);
            return;
        }
        if self.context.turn > 1 {
            let why = match self.context.resume_token() {
                Some(_) => "it cannot go on with one",
                None => "there is none to go on with",
            };
            self.begin_afresh(why, out);
        } else {
            self.begin(out);
        }
    }

    /// Begins a session in place of the one before, and says so.
    pub(crate) fn begin_afresh(&mut self, why: &str, out: &mut Out) {
        let text = format!(
            "the agent does not know the earlier conversation ({why}): this turn starts afresh"
        );
        out.notice(Level::Warning, text);
        self.begin(out);
    }

    fn begin(&mut self, out: &mut Out) {
        self.opening.session = None;
        let id = self.opening.next(Step::New);
        let http = self.opening.agent.mcp_capabilities.http;
        let request = request::session(id, "session/new", None, &self.context, http);
        out.write_stdin(request);
    }

    /// Something was said where silence was waited for.
    pub(crate) fn still_settling(&self, out: &mut Out) {
        if self.opening.step == Step::Settle {
            out.wake_after(self.options.replay_quiet_ms);
        }
    }

    /// Chooses model and mode, where the options say so, and prompts then.
    pub(crate) fn choose(&mut self, out: &mut Out) {
        let template = self.options.select_model.as_ref();
        match template.and_then(|text| filled(text, &self.context)) {
            Some(model) => {
                let id = self.opening.next(Step::Model);
                let request = self.of_session(id, "session/set_model", Some(("modelId", &model)));
                out.write_stdin(request);
            }
            None => self.choose_mode(out),
        }
    }

    fn choose_mode(&mut self, out: &mut Out) {
        match self.options.mode.clone() {
            Some(mode) => {
                let id = self.opening.next(Step::Mode);
                let request = self.of_session(id, "session/set_mode", Some(("modeId", &mode)));
                out.write_stdin(request);
            }
            None => self.prompt(out),
        }
    }

    fn of_session(&self, id: u64, method: &str, more: Option<(&str, &str)>) -> Vec<Fragment> {
        let session = self.opening.session().unwrap_or_default();
        let parameters: Vec<_> = [("sessionId", session)].into_iter().chain(more).collect();
        request::plain(id, method, &parameters)
    }

    fn prompt(&mut self, out: &mut Out) {
        let id = self.opening.next(Step::Prompt);
        let mut texts = Vec::new();
        // A conversation that goes on has it already.
        if let Some(system) = &self.context.system
            && self.options.system_prompt_file.is_none()
            && !self.opening.resumed
        {
            texts.push(system.as_str());
        }
        texts.push(&self.context.prompt);
        let session = self.opening.session().unwrap_or_default();
        out.write_stdin(request::prompt(id, session, &texts));
    }
}
