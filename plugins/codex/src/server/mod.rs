//! A process of `codex app-server`, which is spoken to in JSON-RPC, one message a line, and serves
//! one turn after the other.

mod calls;
mod children;
mod failures;
mod heard;
mod inputs;
mod open;
mod questions;
pub(crate) mod request;
mod texts;
mod turns;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use aod_plugin_sdk::{
    Context, Ending, Exit, Injection, Level, Origin, Out, OutputSource, Prompt, TurnReference,
    TurnResult, crashed,
};
use serde::{Deserialize, Serialize};

use self::calls::{Call, Calls};
use self::children::{Child, Children};
use self::questions::Questions;
use self::texts::Texts;
use crate::log::{Servers, retry_at_ms};
use crate::resume::{Resume, Used};

/// How many turns of a process are known by the server's ids.
const KNOWN: usize = 200;

/// A process of the app server.
#[derive(Debug)]
pub(crate) struct Server {
    context: Context,
    resume: Resume,
    /// What was last remembered.
    remembered: Option<String>,
    /// Whether the thread begins as a copy, whose tokens so far are nobody's here.
    is_copy: bool,
    step: Step,
    /// The number of the request whose reply is waited for, and of the one that was sent last.
    awaited: u64,
    last: u64,
    asides: BTreeMap<u64, Aside>,
    /// A prompt that waits for the thread.
    prompt: Option<Prompt>,
    /// What was said to the turn before it ran.
    early: Vec<Injection>,
    /// The number of the turn that runs, or ran last.
    turn: u32,
    /// The server's id of the turn that runs.
    running: Option<String>,
    /// The numbers of turns, by the server's ids.
    turns: BTreeMap<String, u32>,
    /// Whether the user has stopped the turn.
    stopping: bool,
    wants_form: bool,
    /// The effort that was set last: the server goes on with it.
    effort: Option<String>,
    last_message: Option<String>,
    /// A turn that is over, but for what it has left at work.
    over: Option<TurnResult>,
    texts: Texts,
    calls: Calls,
    children: Children,
    questions: Questions,
    servers: Servers,
    warned: BTreeSet<String>,
    /// When a plan that is used up can be used again.
    resets_at_ms: Option<u64>,
    ending: Ending,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Initialize,
    Login,
    /// A thread is begun, gone on with, or copied.
    Open,
    Idle,
    /// A turn is asked for.
    Start,
    /// It runs.
    Turn,
    /// It is over, and subagents are at work.
    Wait,
    /// It is over, and what it has left running is told to stop.
    Clean,
    /// The ends of what was told to stop are waited for.
    Cleaned,
    Over,
}

/// A request beside the turn, with the id of the wish that it is for.
#[derive(Debug)]
enum Aside {
    Steer(String),
    Fork(String),
    /// Whatever comes of it is told by other means.
    Other,
}

/// All that matters between turns, for after a restart of the host.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    resume: String,
    last: u64,
    asked: u32,
    turn: u32,
    next_text: u32,
    turns: BTreeMap<String, u32>,
    effort: Option<String>,
    calls: BTreeMap<String, Call>,
    children: BTreeMap<String, Child>,
    servers: BTreeMap<String, String>,
    warned: BTreeSet<String>,
    resets_at_ms: Option<u64>,
}

impl Server {
    pub(crate) fn new(context: Context, state: Option<&[u8]>) -> Self {
        let (resume, is_copy) = match &context.origin {
            Origin::New => (Resume::default(), false),
            Origin::Resume(token) => (Resume::read(token), false),
            Origin::Fork(fork) => (Resume::read(&fork.token), true),
        };
        let mut new = Self {
            resume,
            remembered: None,
            is_copy,
            step: Step::Initialize,
            awaited: request::INITIALIZE,
            last: request::INITIALIZE,
            asides: BTreeMap::new(),
            prompt: None,
            early: Vec::new(),
            turn: 1,
            running: None,
            turns: BTreeMap::new(),
            stopping: false,
            wants_form: false,
            effort: None,
            last_message: None,
            over: None,
            texts: Texts::default(),
            calls: Calls::default(),
            children: Children::default(),
            questions: Questions::default(),
            servers: Servers::new(&context),
            warned: BTreeSet::new(),
            resets_at_ms: None,
            ending: match context.live {
                true => Ending::live(),
                false => Ending::default(),
            },
            context,
        };
        if let Some(state) = state.and_then(|state| serde_json::from_slice::<State>(state).ok()) {
            new.ending = Ending::resting();
            new.step = Step::Idle;
            new.is_copy = false;
            new.resume = Resume::read(&state.resume);
            new.remembered = Some(state.resume);
            new.last = state.last;
            new.questions.asked = state.asked;
            new.turn = state.turn;
            new.texts.next = state.next_text;
            new.turns = state.turns;
            new.effort = state.effort;
            new.calls.restore(state.calls);
            new.children.restore(state.children);
            new.servers.restore(&state.servers);
            new.warned = state.warned;
            new.resets_at_ms = state.resets_at_ms;
        }
        new
    }

    /// The number of a request whose reply is waited for.
    fn next(&mut self, step: Step) -> u64 {
        self.step = step;
        self.awaited = self.number();
        self.awaited
    }

    /// The number of a request beside those.
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Makes a request beside the turn whose parameters are texts.
    fn aside(&mut self, method: &str, parameters: &[(&str, &str)], out: &mut Out) {
        let id = self.number();
        out.write_stdin(request::plain(id, method, parameters));
        self.asides.insert(id, Aside::Other);
    }

    fn remember(&mut self, out: &mut Out) {
        let token = self.resume.write();
        if self.remembered.as_ref() != Some(&token) {
            out.remember(&*token);
            self.remembered = Some(token);
        }
    }

    /// Says which turn the rest of a line is about, by the server's id; returns its number.
    fn of_turn(&self, id: Option<&str>, out: &mut Out) -> u32 {
        let turn = id.and_then(|id| self.turns.get(id)).copied();
        self.of_number(turn.unwrap_or(self.turn), out)
    }

    fn of_number(&self, turn: u32, out: &mut Out) -> u32 {
        if turn != self.turn {
            out.of_turn(TurnReference::Number(turn));
        }
        turn
    }
}

/// What the process writes, and how it ends.
impl Server {
    pub(crate) fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => self.stderr(line, out),
        }
        if self.step == Step::Cleaned {
            self.cleaned(out);
        }
    }

    /// What was told to stop does not say that it has.
    pub(crate) fn tick(&mut self, out: &mut Out) {
        if self.step == Step::Cleaned {
            self.conclude(out);
        }
    }

    fn stderr(&mut self, line: &str, out: &mut Out) {
        if let Some(at) = retry_at_ms(line) {
            // What is said to be tried again is said without a time.
            self.ending.retry_at(at);
            out.absorb();
        } else if !self.servers.line(line, out) {
            out.stderr(line);
        }
    }

    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        let is_at_rest = self.step == Step::Idle && self.prompt.is_none() && self.asides.is_empty();
        let state = State {
            resume: Some(self.resume.write()).filter(|_| is_at_rest)?,
            last: self.last,
            asked: self.questions.asked,
            turn: self.turn,
            next_text: self.texts.next,
            turns: self.turns.clone(),
            effort: self.effort.clone(),
            calls: self.calls.state(),
            children: self.children.state(),
            servers: self.servers.told(),
            warned: self.warned.clone(),
            resets_at_ms: self.resets_at_ms,
        };
        let bytes = serde_json::to_vec(&state).ok()?;
        (bytes.len() < LARGEST_STATE).then_some(bytes)
    }

    pub(crate) fn finish(&mut self, exit: &Exit, out: &mut Out) {
        self.refuse_early(out);
        let said = self.texts.break_off(out).or(self.last_message.take());
        let mut ended = self.calls.stop(out);
        ended.extend(self.children.stop(out));
        if !ended.is_empty() {
            let text = format!("stopped in the background: {}", ended.join(", "));
            out.coded_notice(Level::Warning, "background.stopped", text);
        }
        if let Some(over) = self.over.take() {
            self.ending.tell(out, over);
        }
        if let Some(said) = said {
            self.ending.answered(said);
        }
        self.ending.conclude(exit, out, crashed);
    }
}

/// How large a state may be for the host to keep it.
const LARGEST_STATE: usize = 60 * 1024;

/// A thread's tokens since the last time.
fn since(used: &mut Used, now: Used) -> Option<Used> {
    let difference = now.since(std::mem::replace(used, now));
    (difference != Used::default()).then_some(difference)
}
