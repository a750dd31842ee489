//! A process of an agent: what it is told, and which of its lines mean what.

use std::collections::{BTreeMap, VecDeque};

use aod_plugin_sdk::failure::{failure, unsupported};
use aod_plugin_sdk::{
    Answer, Context, Conversation, Ending, Exit, FailureKind, Fork, InjectMode, Injection,
    InjectionState, Out, OutputSource, Prompt, Setting, StopKind, TurnResult, crashed, stopped,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::names::Servers;
use crate::open::{Agent, COPY, Opening, Step};
use crate::options::Options;
use crate::permission::Permission;
use crate::request;
use crate::texts::Texts;
use crate::tools::Tools;
use crate::usage::Money;
use crate::wire::{self, Error, Notified, Opened, Steered};

/// A process of an agent.
#[derive(Debug)]
pub struct AcpConversation {
    pub(crate) options: Options,
    pub(crate) context: Context,
    pub(crate) opening: Opening,
    pub(crate) permission: Permission,
    pub(crate) tools: Tools,
    pub(crate) texts: Texts,
    pub(crate) money: Money,
    pub(crate) ending: Ending,
    /// The number of the turn that runs, or ran last.
    pub(crate) turn: u32,
    /// A prompt that waits for the session.
    pub(crate) prompt: Option<Prompt>,
    /// Settings that the agent has, that it is to be given, and the one that it is being given.
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) unset: VecDeque<(String, String)>,
    pub(crate) setting: Option<(String, String)>,
    /// Requests beside the conversation, by their numbers.
    asides: BTreeMap<u64, Aside>,
    /// Whether the session's first prompt is to bring the system prompt.
    pub(crate) needs_system: bool,
    pub(crate) remembered: bool,
    /// Whether the user has stopped the prompt.
    pub(crate) stopping: bool,
    /// Whether the agent has said that the turn failed.
    pub(crate) is_broken: bool,
    /// Whether the turn that runs was begun by the agent.
    pub(crate) is_unasked: bool,
}

/// A request beside the conversation, with the id of the wish that it is for.
#[derive(Debug)]
enum Aside {
    Steer(String),
    Fork(String),
}

/// All that matters between turns, for after a restart of the host.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    agent: Agent,
    session: String,
    last: u64,
    asked: u32,
    turn: u32,
    set: BTreeMap<String, String>,
    dollars: Option<f64>,
    needs_system: bool,
    remembered: bool,
}

impl AcpConversation {
    pub(crate) fn new(options: Options, context: Context, state: Option<&[u8]>) -> Self {
        let mut new = Self {
            options,
            opening: Opening::default(),
            permission: Permission::default(),
            tools: Tools::new(Servers::new(&context)),
            texts: Texts::default(),
            money: Money::default(),
            ending: match context.live {
                true => Ending::live(),
                false => Ending::default(),
            },
            turn: 1,
            prompt: None,
            set: BTreeMap::new(),
            unset: VecDeque::new(),
            setting: None,
            asides: BTreeMap::new(),
            needs_system: false,
            remembered: false,
            stopping: false,
            is_broken: false,
            is_unasked: false,
            context,
        };
        if let Some(state) = state.and_then(|state| serde_json::from_slice::<State>(state).ok()) {
            new.ending = Ending::resting();
            new.opening.agent = state.agent;
            new.opening.session = Some(state.session);
            new.opening.last = state.last;
            new.opening.step = Step::Idle;
            new.permission.asked = state.asked;
            new.turn = state.turn;
            new.set = state.set;
            new.money = Money::at(state.dollars);
            new.needs_system = state.needs_system;
            new.remembered = state.remembered;
        }
        new
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
                let Some(params) = message.params else { return };
                let Ok(notified) = serde_json::from_str::<Notified<'_>>(params.get()) else {
                    return;
                };
                // A copy tells its history, too.
                let session = notified.session_id.as_deref();
                if session.is_some() && session != self.opening.session() {
                    out.absorb();
                    self.still_settling(out);
                } else {
                    self.update(&notified.update, params, out);
                }
            }
            (None, Some(_)) => out.other("acp.notification", line),
            (Some(id), None) if self.opening.awaits(id) => {
                out.absorb();
                match message.error {
                    Some(error) => self.refused(&error, out),
                    None => {
                        if self.opening.step == Step::Setting {
                            self.setting_done(None, out);
                        }
                        self.replied(message.result, out);
                    }
                }
            }
            (Some(id), None) => {
                let number: Option<u64> = id.get().parse().ok();
                if let Some(aside) = number.and_then(|number| self.asides.remove(&number)) {
                    out.absorb();
                    end_aside(aside, message.result, message.error.as_ref(), out);
                }
            }
            (None, None) => {}
        }
    }

    /// Remembers what is to be set before the next prompt.
    fn set(&mut self, settings: &[Setting]) {
        for setting in settings {
            let known = self.options.settings.iter().find(|it| it.id == setting.id);
            let value = serde_json::from_str::<String>(&setting.value);
            if let (Some(known), Ok(value)) = (known, value) {
                let config = known.config();
                self.unset.retain(|(there, _)| there != config);
                if self.set.get(config) != Some(&value) {
                    self.unset.push_back((config.to_owned(), value));
                }
            }
        }
    }
}

fn end_aside(aside: Aside, result: Option<&RawValue>, error: Option<&Error<'_>>, out: &mut Out) {
    let why = error.map(|error| error.message.to_string());
    match aside {
        Aside::Steer(id) => {
            let steered: Steered<'_> = wire::read(result);
            match why {
                None if matches!(&*steered.outcome, "" | "injected" | "delivered") => {
                    out.injected(id, InjectionState::Delivered, None);
                }
                None => out.injected(id, InjectionState::Refused, Some(&steered.outcome)),
                Some(why) => out.injected(id, InjectionState::Refused, Some(&why)),
            }
        }
        Aside::Fork(id) => {
            let opened: Opened<'_> = wire::read(result);
            let why = why.unwrap_or_else(|| "the agent did not say the copy's id".to_owned());
            let token = opened
                .session_id
                .map(|session| format!("{COPY}{}", &*session))
                .ok_or_else(|| failure(FailureKind::Provider, why));
            out.forked(id, token);
        }
    }
}

impl Conversation for AcpConversation {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        self.end_unasked(out);
        self.turn = prompt.turn;
        self.texts = Texts::default();
        self.money.begin();
        self.ending.begin();
        self.stopping = false;
        self.is_broken = false;
        self.set(&prompt.settings);
        self.prompt = Some(prompt);
        if self.opening.step == Step::Idle {
            self.go_on(out);
        }
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => {
                out.stderr(line);
                self.still_settling(out);
            }
        }
        if self.is_unasked {
            out.wake_after(crate::updates::UNASKED_QUIET_MS);
        }
    }

    fn configure(&mut self, settings: Vec<Setting>, _: &mut Out) {
        self.set(&settings);
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        let runs = self.opening.step == Step::Prompt && !self.stopping;
        let (true, true, InjectMode::Steer) = (runs, self.opening.agent.steering, injection.mode)
        else {
            let why = match runs {
                true => "this agent does not take it",
                false => "no prompt runs",
            };
            out.injected(injection.id, InjectionState::Refused, Some(why));
            return;
        };
        let id = self.opening.number();
        let session = self.opening.session().unwrap_or_default();
        let images = self.opening.agent.images;
        let blocks = &injection.blocks;
        let method = "_session/steering";
        out.write_stdin(request::prompt(id, method, session, None, blocks, images));
        self.asides.insert(id, Aside::Steer(injection.id));
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        let agent = self.opening.agent;
        let session = self.opening.session().map(str::to_owned);
        match session {
            Some(session) if agent.fork && fork.after_turn.is_none() => {
                let id = self.opening.number();
                let method = "session/fork";
                let http = agent.http;
                out.write_stdin(request::session(
                    id,
                    method,
                    Some(&session),
                    &self.context,
                    http,
                ));
                self.asides.insert(id, Aside::Fork(fork.id));
            }
            _ => {
                let message = "this agent cannot copy the conversation as it was then";
                let refusal = unsupported("after_turn", message);
                out.forked(fork.id, Err(failure(refusal.kind, refusal.message)));
            }
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        if let Some(call) = self.permission.answer(&answer, out) {
            self.tools.refuse(&call);
        }
    }

    /// A loaded session has told its history, or an agent that worked by itself is done.
    fn tick(&mut self, _: u64, out: &mut Out) {
        if self.opening.step == Step::Settle {
            self.choose(out);
        } else if self.is_unasked {
            self.end_unasked(out);
        }
    }

    fn interrupt(&mut self, out: &mut Out) {
        self.permission.cancel(out);
        if self.opening.step == Step::Prompt || self.is_unasked {
            self.stopping = !self.is_unasked;
            let session = self.opening.session().unwrap_or_default();
            out.write_stdin(request::cancel(session));
        } else if self.prompt.take().is_some() {
            // The agent has not been asked anything yet.
            self.ending
                .tell(out, stopped(StopKind::Interrupted, "cancelled"));
            if !self.context.live {
                self.opening.step = Step::Over;
            }
        }
    }

    fn close(&mut self, out: &mut Out) {
        self.end_unasked(out);
        self.opening.step = Step::Over;
        out.close();
    }

    fn state(&self) -> Option<Vec<u8>> {
        let is_at_rest = self.opening.step == Step::Idle
            && self.prompt.is_none()
            && self.asides.is_empty()
            && !self.is_unasked;
        let state = State {
            agent: self.opening.agent,
            session: self.opening.session().filter(|_| is_at_rest)?.to_owned(),
            last: self.opening.last,
            asked: self.permission.asked,
            turn: self.turn,
            set: self.set.clone(),
            dollars: self.money.now(),
            needs_system: self.needs_system,
            remembered: self.remembered,
        };
        serde_json::to_vec(&state).ok()
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        if self.ending.is_told() {
            return;
        }
        self.texts.break_off(out);
        let text = self.texts.take_last();
        self.ending.conclude(&exit, out, |exit| TurnResult {
            text,
            ..crashed(exit)
        });
    }
}
