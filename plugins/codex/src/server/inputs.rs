//! What a process is told.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    Answer, FailureKind, Fork, InjectMode, Injection, InjectionState, Out, Prompt, StopKind,
    stopped,
};

use super::{Aside, Server, Step, request};
use crate::{EFFORT, launch};

/// Why a turn cannot be steered.
const NO_TURN: &str = "there is no turn that takes it";

impl Server {
    pub(crate) fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        self.turn = prompt.turn;
        self.wants_form = prompt.output_schema.is_some();
        self.ending.begin();
        self.stopping = false;
        self.last_message = None;
        self.prompt = Some(prompt);
        if self.step == Step::Idle {
            self.go_on(out);
        }
    }

    /// The thread is open: the prompt, or a rest.
    pub(super) fn go_on(&mut self, out: &mut Out) {
        let Some(prompt) = self.prompt.take() else {
            self.step = Step::Idle;
            return;
        };
        let effort = prompt.setting_text(EFFORT);
        let resets = effort.is_none() && self.effort.is_some();
        self.effort = effort;
        let policy = launch::approval_policy(&prompt);
        let id = self.next(Step::Start);
        let (thread, model) = (&self.resume.thread, self.context.model_id());
        out.write_stdin(request::turn(id, thread, &prompt, &policy, model, resets));
    }

    pub(crate) fn inject(&mut self, injection: Injection, out: &mut Out) {
        let steers = injection.mode == InjectMode::Steer && !self.stopping;
        let is_asked_for = self.step == Step::Start || self.prompt.is_some();
        match self.running.clone() {
            Some(turn) if steers && self.step == Step::Turn => {
                let id = self.number();
                let thread = &self.resume.thread;
                out.write_stdin(request::steer(id, thread, &turn, &injection.blocks));
                self.asides.insert(id, Aside::Steer(injection.id));
            }
            None if steers && is_asked_for => {
                out.injected(&*injection.id, InjectionState::Queued, None);
                self.early.push(injection);
            }
            _ => out.injected(injection.id, InjectionState::Refused, Some(NO_TURN)),
        }
    }

    /// The turn that it was for has not begun, or is over.
    pub(super) fn refuse_early(&mut self, out: &mut Out) {
        for injection in self.early.drain(..) {
            out.injected(injection.id, InjectionState::Refused, Some(NO_TURN));
        }
    }

    pub(crate) fn interrupt(&mut self, out: &mut Out) {
        self.questions.withdraw(out);
        match self.step {
            Step::Initialize | Step::Login | Step::Open => {
                // The model has not been asked anything yet.
                if self.prompt.take().is_some() {
                    self.refuse_early(out);
                    let result = stopped(StopKind::Interrupted, "cancelled");
                    self.ending.tell(out, result);
                }
            }
            Step::Start => self.stopping = true,
            Step::Turn | Step::Wait => {
                self.stopping = true;
                self.stop_work(out);
            }
            Step::Idle | Step::Clean | Step::Cleaned | Step::Over => {}
        }
    }

    pub(crate) fn answer(&mut self, answer: &Answer, out: &mut Out) {
        self.questions.answer(answer, out);
    }

    pub(crate) fn stop_task(&mut self, task: &str, out: &mut Out) {
        if let Some((thread, process)) = self.calls.process(task) {
            let (thread, process) = (thread.to_owned(), process.to_owned());
            let parameters = [("threadId", thread.as_str()), ("processId", &process)];
            self.aside("thread/backgroundTerminals/terminate", &parameters, out);
            return;
        }
        let found = self.children.at_work().find(|(thread, _)| *thread == task);
        let turn = found.map(|(_, turn)| turn.to_owned());
        if let Some(turn) = turn {
            let parameters = [("threadId", task), ("turnId", &turn)];
            self.aside("turn/interrupt", &parameters, out);
        }
    }

    pub(crate) fn clean_up(&mut self, out: &mut Out) {
        let thread = self.resume.thread.clone();
        if self.calls.has_commands(&thread) {
            let parameters = [("threadId", thread.as_str())];
            self.aside("thread/backgroundTerminals/clean", &parameters, out);
        }
    }

    pub(crate) fn fork(&mut self, fork: Fork, out: &mut Out) {
        let known = fork.after_turn.map(|wanted| {
            let mut turns = self.turns.iter();
            turns.find_map(|(id, turn)| (*turn == wanted).then(|| id.clone()))
        });
        if self.resume.thread.is_empty() || known == Some(None) {
            let why = "the conversation cannot be copied as it was then";
            let refusal = failure(FailureKind::Unsupported, why);
            out.forked(fork.id, Err(refusal));
            return;
        }
        let id = self.number();
        let (thread, last) = (&*self.resume.thread, known.flatten());
        let method = "thread/fork";
        let last = last.as_deref();
        out.write_stdin(request::thread(
            id,
            method,
            Some(thread),
            last,
            &self.context,
        ));
        self.asides.insert(id, Aside::Fork(fork.id));
    }
}
