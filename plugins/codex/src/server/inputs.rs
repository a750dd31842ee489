//! What a process is told.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    Answer, FailureKind, Fork, InjectMode, Injection, InjectionState, Out, Prompt, StopKind,
    stopped,
};

use super::{Aside, Server, Step, request};
use crate::{EFFORT, launch};

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
        let begins = match self.step {
            Step::Initialize | Step::Login | Step::Open => self.prompt.is_some(),
            step => step == Step::Start,
        };
        let can_steer = injection.mode == InjectMode::Steer && !self.stopping;
        match self.running.clone().filter(|_| self.step == Step::Turn) {
            Some(turn) if can_steer => self.steer(&turn, injection, out),
            None if can_steer && begins => {
                out.injected(&*injection.id, InjectionState::Queued, None);
                self.early.push(injection);
            }
            _ => {
                let why = "there is no turn that takes it";
                out.injected(injection.id, InjectionState::Refused, Some(why));
            }
        }
    }

    /// The turn runs: it is given what was said since its prompt.
    pub(super) fn steer_early(&mut self, turn: &str, out: &mut Out) {
        for injection in std::mem::take(&mut self.early) {
            self.steer(turn, injection, out);
        }
    }

    /// The turn is over before it ran.
    pub(super) fn refuse_early(&mut self, out: &mut Out) {
        for injection in self.early.drain(..) {
            let why = "the turn has ended before it began";
            out.injected(injection.id, InjectionState::Refused, Some(why));
        }
    }

    fn steer(&mut self, turn: &str, injection: Injection, out: &mut Out) {
        let id = self.number();
        let thread = &self.resume.thread;
        out.write_stdin(request::steer(id, thread, turn, &injection.blocks));
        self.asides.insert(id, Aside::Steer(injection.id));
    }

    pub(crate) fn interrupt(&mut self, out: &mut Out) {
        self.questions.withdraw(out);
        self.refuse_early(out);
        match self.step {
            Step::Initialize | Step::Login | Step::Open => {
                // The model has not been asked anything yet.
                if self.prompt.take().is_some() {
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
