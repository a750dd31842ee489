//! How a process comes to its thread, and what is replied to requests.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    Failure, FailureKind, InjectionState, Origin, Out, StopKind, failed, plain, stopped,
};
use serde_json::value::RawValue;

use super::wire::{self, Error, Opened};
use super::{Aside, Server, Step, request};
use crate::API_KEY;
use crate::errors::why;
use crate::resume::{Resume, Used};

impl Server {
    /// A reply to one of the adapter's requests.
    pub(super) fn replied(
        &mut self,
        id: &RawValue,
        result: Option<&RawValue>,
        error: Option<&Error<'_>>,
        out: &mut Out,
    ) {
        let Ok(id) = id.get().parse::<u64>() else {
            return;
        };
        if let Some(aside) = self.asides.remove(&id) {
            out.absorb();
            self.end_aside(aside, result, error, out);
        } else if id == self.awaited {
            match self.step {
                Step::Idle | Step::Turn | Step::Wait | Step::Cleaned | Step::Over => {}
                step => {
                    out.absorb();
                    match error {
                        Some(error) => self.refused(step, &error.message, out),
                        None => self.done(step, &wire::read(result), out),
                    }
                }
            }
        }
    }

    fn done(&mut self, step: Step, opened: &Opened<'_>, out: &mut Out) {
        match step {
            Step::Initialize => {
                out.write_stdin(request::initialized());
                if self.context.has_secret(API_KEY) {
                    let id = self.next(Step::Login);
                    out.write_stdin(request::login(id));
                } else {
                    // The model's provider says that there is none.
                    self.open(out);
                }
            }
            Step::Login => self.open(out),
            Step::Open => match &opened.thread {
                Some(thread) => {
                    self.opened(&thread.id, out);
                    self.go_on(out);
                }
                None => {
                    let why = "the app server opened a thread and did not say its id";
                    self.fail(failure(FailureKind::Crash, why), out);
                }
            },
            Step::Start => {
                if let Some(turn) = &opened.turn {
                    self.begun(&turn.id, out);
                }
            }
            Step::Clean => self.step = Step::Cleaned,
            Step::Idle | Step::Turn | Step::Wait | Step::Cleaned | Step::Over => {}
        }
    }

    fn open(&mut self, out: &mut Out) {
        let (method, thread) = match &self.context.origin {
            Origin::New => ("thread/start", None),
            Origin::Fork(fork) if !Resume::is_copy(&fork.token) => {
                ("thread/fork", Some(self.resume.thread.clone()))
            }
            Origin::Fork(_) | Origin::Resume(_) => {
                ("thread/resume", Some(self.resume.thread.clone()))
            }
        };
        let id = self.next(Step::Open);
        out.write_stdin(request::thread(
            id,
            method,
            thread.as_deref(),
            None,
            &self.context,
        ));
    }

    /// Another thread than the one to go on with counts from nothing, unless it is a copy.
    fn opened(&mut self, thread: &str, out: &mut Out) {
        if *thread != *self.resume.thread {
            self.resume.thread = thread.to_owned();
            if !self.is_copy {
                self.resume.used = Used::default();
            }
        }
        out.session_started(thread);
    }

    /// A request of the adapter's was refused.
    fn refused(&mut self, step: Step, message: &str, out: &mut Out) {
        let message = &*plain(message);
        match step {
            Step::Clean => self.conclude(out),
            Step::Start => {
                self.step = Step::Idle;
                let result = match std::mem::take(&mut self.stopping) {
                    true => stopped(StopKind::Interrupted, message),
                    false => failed(why(message)),
                };
                self.tell(result, out);
            }
            Step::Login => self.fail(failure(FailureKind::Auth, message), out),
            Step::Open if message.contains("no rollout found") => {
                out.forget();
                self.fail(failure(FailureKind::Resume, message), out);
            }
            _ => self.fail(why(message), out),
        }
    }

    /// The thread cannot be opened, so that the process is of no use.
    fn fail(&mut self, failure: Failure, out: &mut Out) {
        self.prompt = None;
        self.refuse_early(out);
        self.step = Step::Over;
        if self.context.live {
            // Before the end of the turn, with which the process would stay.
            out.close();
        }
        self.ending.tell(out, failed(failure));
    }

    fn end_aside(
        &mut self,
        aside: Aside,
        result: Option<&RawValue>,
        error: Option<&Error<'_>>,
        out: &mut Out,
    ) {
        match (aside, error) {
            (Aside::Steer(id), None) => out.injected(id, InjectionState::Delivered, None),
            (Aside::Steer(id), Some(error)) => {
                out.injected(id, InjectionState::Refused, Some(&error.message));
            }
            (Aside::Fork(id), Some(error)) => out.forked(id, Err(why(&error.message))),
            (Aside::Fork(id), None) => {
                let opened: Opened<'_> = wire::read(result);
                let Some(copy) = opened.thread else {
                    let why = "the app server did not say the copy's id";
                    out.forked(id, Err(failure(FailureKind::Crash, why)));
                    return;
                };
                let copy = Resume {
                    thread: copy.id.to_string(),
                    used: self.resume.used,
                };
                out.forked(id, Ok(copy.write_copy()));
                // The copy's own process goes on with it.
                self.aside("thread/unsubscribe", &[("threadId", &copy.thread)], out);
            }
            (Aside::Other, _) => {}
        }
    }
}
