//! From the first request to a session that takes prompts: one request at a time, each with the
//! next number.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{FailureKind, Fragment, Level, McpState, McpTransport, Origin, Out};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::conversation::AcpConversation;
use crate::dialect::Dialect;
use crate::request;
use crate::usage::Money;
use crate::wire::{self, Initialized, Opened};

/// How a token begins that names a copy and not the conversation to copy.
pub const COPY: &str = "copy:";

/// What is waited for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The reply to `initialize`, which the launch has sent.
    #[default]
    Initialize,
    /// To `authenticate`.
    Authenticate,
    /// To `session/new`.
    New,
    /// To `session/load` or `session/resume`.
    Resume,
    /// To `session/fork`, as which the conversation begins.
    Fork,
    /// Silence, after which a loaded session has told all of its history.
    Settle,
    /// The reply to `session/set_model`.
    Model,
    /// To `session/set_mode`.
    Mode,
    /// To `session/set_config_option`.
    Setting,
    /// To `session/prompt`.
    Prompt,
    /// The next prompt.
    Idle,
    /// Nothing more.
    Over,
}

/// What the agent can do.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Agent {
    load: bool,
    resume: bool,
    pub(crate) fork: bool,
    /// Whether it reaches MCP servers over HTTP.
    pub(crate) http: bool,
    pub(crate) images: bool,
    pub(crate) steering: bool,
}

impl Agent {
    fn new(said: &Initialized) -> Self {
        let capabilities = &said.agent_capabilities;
        let steers = |meta: &wire::AgentMeta| meta.steering.as_ref().is_some_and(|it| it.supported);
        Self {
            load: capabilities.load_session,
            resume: capabilities.session_capabilities.resume.is_some(),
            fork: capabilities.session_capabilities.fork.is_some(),
            http: capabilities.mcp_capabilities.http,
            images: capabilities.prompt_capabilities.image,
            steering: steers(&said.meta) || steers(&capabilities.meta),
        }
    }

    /// Whether a later process can go on with a session.
    pub(crate) fn can_resume(self) -> bool {
        self.load || self.resume
    }
}

/// How far a process has come in opening its session.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    pub(crate) step: Step,
    /// The number of the request whose reply is waited for.
    awaited: u64,
    /// The number of the request that was sent last.
    pub(crate) last: u64,
    pub(crate) agent: Agent,
}

impl Opening {
    /// Whether this is the reply that is waited for.
    pub(crate) fn awaits(&self, id: &RawValue) -> bool {
        !matches!(self.step, Step::Settle | Step::Idle | Step::Over)
            && id.get().parse() == Ok(self.awaited)
    }

    /// The number of a request whose reply is waited for.
    pub(crate) fn next(&mut self, step: Step) -> u64 {
        self.step = step;
        self.awaited = self.number();
        self.awaited
    }

    /// The number of a request beside those.
    pub(crate) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl<D: Dialect> AcpConversation<D> {
    /// The reply that was waited for.
    pub(crate) fn replied(&mut self, result: Option<&RawValue>, out: &mut Out) {
        match self.opening.step {
            Step::Initialize => self.initialized(&wire::read(result), out),
            Step::Authenticate => self.open(out),
            Step::New | Step::Fork => {
                let is_new = self.opening.step == Step::New;
                let opened: Opened<'_> = wire::read(result);
                match opened.session_id {
                    Some(session) => {
                        out.session_started(&*session);
                        self.turn.session = Some(session.into());
                        self.needs_system = is_new;
                        if is_new {
                            self.turn.money = Money::at(Some(0.0));
                        }
                        self.choose(out);
                    }
                    None => self.broken("it opened a session and did not say its id", out),
                }
            }
            Step::Resume => {
                if let Some(session) = self.turn.session() {
                    out.session_started(session);
                }
                if self.opening.agent.resume {
                    self.choose(out);
                } else {
                    self.opening.step = Step::Settle;
                    out.wake_after(self.profile.replay_quiet_ms);
                }
            }
            Step::Model => self.choose_mode(out),
            Step::Mode | Step::Setting => self.go_on(out),
            Step::Prompt => self.prompted(result, out),
            Step::Settle | Step::Idle | Step::Over => {}
        }
    }

    fn broken(&mut self, what: &str, out: &mut Out) {
        let message = format!("the agent does not keep to the Agent Client Protocol: {what}");
        self.fail(failure(FailureKind::Crash, message), out);
    }

    fn initialized(&mut self, said: &Initialized, out: &mut Out) {
        if said.protocol_version != 1 {
            let version = said.protocol_version;
            self.broken(&format!("it speaks version {version} and not 1"), out);
            return;
        }
        self.opening.agent = Agent::new(said);
        match self.profile.auth_method.clone() {
            Some(method) => {
                let id = self.opening.next(Step::Authenticate);
                out.write_stdin(request::plain(id, "authenticate", &[("methodId", &method)]));
            }
            None => self.open(out),
        }
    }

    /// Goes on with the session of the process before, or begins one.
    fn open(&mut self, out: &mut Out) {
        let agent = self.opening.agent;
        for server in &self.context.mcp_servers {
            if self.profile.offers_servers
                && !agent.http
                && matches!(server.transport, McpTransport::Url(_))
            {
                let why = "the agent reaches no MCP servers over HTTP".to_owned();
                out.mcp_server(&*server.name, McpState::Failed, Some(why));
            }
        }
        let (step, method, session) = match &self.context.origin {
            Origin::Fork(origin) => match origin.token.strip_prefix(COPY) {
                Some(copy) => self.resumption(copy),
                None => (Step::Fork, "session/fork", origin.token.clone()),
            },
            Origin::Resume(session) if agent.can_resume() => self.resumption(session),
            Origin::Resume(_) => {
                self.begin_afresh("it cannot go on with one", out);
                return;
            }
            Origin::New if self.turn.number > 1 => {
                self.begin_afresh("there is none to go on with", out);
                return;
            }
            Origin::New => {
                self.begin(out);
                return;
            }
        };
        let id = self.opening.next(step);
        let request = self.of_folder(id, method, Some(&session));
        self.turn.session = Some(session);
        out.write_stdin(request);
    }

    fn resumption(&self, session: &str) -> (Step, &'static str, String) {
        let method = match self.opening.agent.resume {
            true => "session/resume",
            false => "session/load",
        };
        (Step::Resume, method, session.to_owned())
    }

    /// Begins a session in place of the one before, and says so.
    pub(crate) fn begin_afresh(&mut self, why: &str, out: &mut Out) {
        let text = format!(
            "the agent does not know the earlier conversation ({why}): this turn starts afresh"
        );
        out.coded_notice(Level::Warning, "fresh", text);
        self.begin(out);
    }

    fn begin(&mut self, out: &mut Out) {
        self.turn.session = None;
        let id = self.opening.next(Step::New);
        out.write_stdin(self.of_folder(id, "session/new", None));
    }

    /// A request to begin a session, or to go on with one, in the workspace.
    pub(crate) fn of_folder(&self, id: u64, method: &str, session: Option<&str>) -> Vec<Fragment> {
        let servers = match self.profile.offers_servers {
            true => &self.context.mcp_servers[..],
            false => &[],
        };
        let cwd = &self.context.paths.workspace;
        request::session(id, method, session, cwd, servers, self.opening.agent.http)
    }

    /// Something was said where silence was waited for.
    pub(crate) fn still_settling(&self, out: &mut Out) {
        if self.opening.step == Step::Settle {
            out.wake_after(self.profile.replay_quiet_ms);
        }
    }

    /// Chooses model and mode, where the options say so, and prompts then.
    pub(crate) fn choose(&mut self, out: &mut Out) {
        match self.profile.model.clone() {
            Some(model) => {
                let id = self.opening.next(Step::Model);
                let request = self.of_session(id, "session/set_model", &[("modelId", &model)]);
                out.write_stdin(request);
            }
            None => self.choose_mode(out),
        }
    }

    fn choose_mode(&mut self, out: &mut Out) {
        match self.profile.mode.clone() {
            Some(mode) => {
                let id = self.opening.next(Step::Mode);
                out.write_stdin(self.of_session(id, "session/set_mode", &[("modeId", &mode)]));
            }
            None => self.go_on(out),
        }
    }

    pub(crate) fn of_session(&self, id: u64, method: &str, more: &[(&str, &str)]) -> Vec<Fragment> {
        let session = self.turn.session().unwrap_or_default();
        let mut parameters = vec![("sessionId", session)];
        parameters.extend(more);
        request::plain(id, method, &parameters)
    }
}
