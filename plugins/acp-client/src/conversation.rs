//! A process of an agent: what it is told, and which of its lines mean what.

use std::collections::{BTreeMap, VecDeque};

use aod_plugin_sdk::failure::{failure, unsupported};
use aod_plugin_sdk::{
    Answer, Context, Conversation, Ending, Exit, FailureKind, Fork, InjectMode, Injection,
    InjectionState, Out, OutputSource, Prompt, Setting, StopKind, TurnResult, crashed, stopped,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::{Dialect, Plain};
use crate::open::{Agent, COPY, Opening, Step};
use crate::permission::Permission;
use crate::profile::Profile;
use crate::request;
use crate::texts::Texts;
use crate::tools::Tools;
use crate::turn::Turn;
use crate::usage::Money;
use crate::wire::{self, Error, Notified, Opened, Steered};

/// A process of an agent.
#[derive(Debug)]
pub struct AcpConversation<D = Plain> {
    pub(crate) profile: Profile,
    pub(crate) dialect: D,
    pub(crate) context: Context,
    pub(crate) opening: Opening,
    pub(crate) permission: Permission,
    /// The turn that runs, or ran last.
    pub(crate) turn: Turn,
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
    dialect: Option<String>,
}

impl<D: Dialect> AcpConversation<D> {
    /// Begins to read a process, or goes on with one from its state.
    #[must_use]
    pub fn new(profile: Profile, dialect: D, context: Context, state: Option<&[u8]>) -> Self {
        let ending = match context.live {
            true => Ending::live(),
            false => Ending::default(),
        };
        let mut new = Self {
            opening: Opening::default(),
            permission: Permission::default(),
            turn: Turn::new(Tools::new(profile.servers.clone()), ending),
            prompt: None,
            set: BTreeMap::new(),
            unset: VecDeque::new(),
            setting: None,
            asides: BTreeMap::new(),
            needs_system: false,
            remembered: false,
            is_broken: false,
            is_unasked: false,
            profile,
            dialect,
            context,
        };
        if let Some(state) = state.and_then(|state| serde_json::from_slice::<State>(state).ok()) {
            new.turn.ending = Ending::resting();
            new.opening.agent = state.agent;
            new.turn.session = Some(state.session);
            new.opening.last = state.last;
            new.opening.step = Step::Idle;
            new.permission.asked = state.asked;
            new.turn.number = state.turn;
            new.set = state.set;
            new.turn.money = Money::at(state.dollars);
            new.needs_system = state.needs_system;
            new.remembered = state.remembered;
            if let Some(state) = &state.dialect {
                new.dialect.restore(state, &mut new.turn);
            }
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
                if session.is_some() && session != self.turn.session() {
                    out.absorb();
                    self.still_settling(out);
                } else {
                    self.update(&notified.update, params, out);
                }
            }
            (None, Some(method)) => {
                let params = message.params.unwrap_or(RawValue::NULL);
                match self.dialect.notified(method, params, &mut self.turn, out) {
                    true => out.absorb(),
                    false => out.other("acp.notification", line),
                }
                self.answered(out);
            }
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
            let known = self.profile.settings.iter().find(|it| it.id == setting.id);
            let value = serde_json::from_str::<String>(&setting.value);
            if let (Some(known), Ok(value)) = (known, value) {
                let config = known.config.clone();
                self.will_set(config, value);
            }
        }
    }

    fn will_set(&mut self, config: String, value: String) {
        self.unset.retain(|(there, _)| *there != config);
        if self.set.get(&config) != Some(&value) {
            self.unset.push_back((config, value));
        }
    }

    /// What a prompt does not set is as it is by itself.
    fn set_defaults(&mut self, settings: &[Setting]) {
        let is_set = |id: &String| settings.iter().any(|setting| setting.id == *id);
        let defaults = self.profile.settings.iter().filter(|it| !is_set(&it.id));
        let defaults: Vec<_> = defaults
            .filter_map(|it| Some((it.config.clone(), it.default.clone()?)))
            .collect();
        for (config, value) in defaults {
            self.will_set(config, value);
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

impl<D: Dialect> Conversation for AcpConversation<D> {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        self.end_unasked(out);
        self.turn.number = prompt.turn;
        self.turn.texts = Texts::default();
        self.turn.money.begin();
        self.turn.ending.begin();
        self.turn.stopping = false;
        self.is_broken = false;
        self.turn.verdict = None;
        self.dialect.begin(&prompt);
        self.set_defaults(&prompt.settings);
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
                self.dialect.stderr(line, &mut self.turn, out);
                self.still_settling(out);
            }
        }
        if self.is_unasked {
            out.wake_after(crate::updates::UNASKED_QUIET_MS);
        } else if self.turn.verdict.is_some() {
            out.wake_after(crate::turn::CANCEL_MS);
        }
    }

    fn configure(&mut self, settings: Vec<Setting>, _: &mut Out) {
        self.set(&settings);
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        let runs = self.opening.step == Step::Prompt && !self.turn.stopping;
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
        let session = self.turn.session().unwrap_or_default();
        let said = request::Said {
            before: None,
            text: None,
            blocks: &injection.blocks,
            images: self.opening.agent.images,
        };
        out.write_stdin(request::prompt(id, "_session/steering", session, &said));
        self.asides.insert(id, Aside::Steer(injection.id));
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        let agent = self.opening.agent;
        let session = self.turn.session().map(str::to_owned);
        match session {
            Some(session) if agent.fork && fork.after_turn.is_none() => {
                let id = self.opening.number();
                out.write_stdin(self.of_folder(id, "session/fork", Some(&session)));
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
            self.turn.tools.refuse(&call);
        }
    }

    /// A loaded session has told its history, or an agent that worked by itself is done.
    fn tick(&mut self, _: u64, out: &mut Out) {
        if self.opening.step == Step::Settle {
            self.choose(out);
        } else if self.is_unasked {
            self.end_unasked(out);
        } else if let Some(verdict) = self.turn.verdict.take() {
            // It does not even give up: the process is of no use.
            self.turn.texts.break_off(out);
            self.turn.tools.finish(&mut self.dialect, out);
            let text = self.turn.texts.take_last();
            self.turn.ending.tell(out, TurnResult { text, ..verdict });
            self.close(out);
        } else {
            self.dialect.tick(&mut self.turn, out);
        }
    }

    fn interrupt(&mut self, out: &mut Out) {
        self.permission.cancel(out);
        if self.opening.step == Step::Prompt || self.is_unasked {
            self.turn.stopping = !self.is_unasked;
            let session = self.turn.session().unwrap_or_default();
            out.write_stdin(request::cancel(session));
        } else if self.prompt.take().is_some() {
            // The agent has not been asked anything yet.
            self.turn
                .ending
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
            session: self.turn.session().filter(|_| is_at_rest)?.to_owned(),
            last: self.opening.last,
            asked: self.permission.asked,
            turn: self.turn.number,
            set: self.set.clone(),
            dollars: self.turn.money.now(),
            needs_system: self.needs_system,
            remembered: self.remembered,
            dialect: self.dialect.state(),
        };
        serde_json::to_vec(&state).ok()
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        if self.turn.ending.is_told() {
            return;
        }
        self.turn.texts.break_off(out);
        let text = self.turn.texts.take_last();
        if let Some(verdict) = self.turn.verdict.take() {
            self.turn.ending.tell(out, TurnResult { text, ..verdict });
            return;
        }
        self.turn.ending.conclude(&exit, out, |exit| TurnResult {
            text,
            ..crashed(exit)
        });
    }
}
