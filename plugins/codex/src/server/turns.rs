//! How turns begin and end.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    FailureKind, Level, Out, StopKind, TaskState, TurnReference, TurnResult, completed, failed,
    stopped,
};

use super::wire::Turn;
use super::{KNOWN, Server, Step, failures, request};
use crate::errors::is_json;

impl Server {
    /// The server has taken the prompt, and says so twice.
    pub(super) fn begun(&mut self, id: &str, out: &mut Out) {
        out.absorb();
        if self.step != Step::Start {
            return;
        }
        self.step = Step::Turn;
        self.running = Some(id.to_owned());
        if self.turns.len() >= KNOWN {
            let oldest = self.turns.iter().min_by_key(|(_, turn)| **turn);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.turns.remove(&oldest);
            }
        }
        self.turns.insert(id.to_owned(), self.turn);
        // From here on the thread is found again, even after a turn that was killed.
        self.remember(out);
        if self.stopping {
            self.stop_work(out);
        }
        self.steer_early(id, out);
    }

    /// The user stops the turn, and the subagents that it has started.
    pub(super) fn stop_work(&mut self, out: &mut Out) {
        let mut stopped: Vec<(String, String)> = self
            .children
            .at_work()
            .map(|(thread, turn)| (thread.to_owned(), turn.to_owned()))
            .collect();
        if let Some(running) = &self.running {
            stopped.push((self.resume.thread.clone(), running.clone()));
        }
        for (thread, turn) in stopped {
            let parameters = [("threadId", thread.as_str()), ("turnId", &turn)];
            self.aside("turn/interrupt", &parameters, out);
        }
        self.children.give_up(out);
        if self.step == Step::Wait {
            self.waited(out);
        }
    }

    /// A turn is over, as the server has it: the thread's own, or a subagent's.
    pub(super) fn over(&mut self, thread: &str, turn: &Turn<'_>, out: &mut Out) {
        out.absorb();
        if thread != self.resume.thread {
            let state = match &*turn.status {
                "completed" => TaskState::Completed,
                "failed" => TaskState::Failed,
                _ => TaskState::Stopped,
            };
            out.inside(None::<String>);
            self.children.rests(thread, state, None, out);
            self.waited(out);
            return;
        }
        if self.running.as_deref() != Some(&*turn.id) {
            return;
        }
        self.running = None;
        self.questions.withdraw_main(out);
        let broken_off = self.texts.break_off(out);
        let text = self.last_message.take();
        let result = match &*turn.status {
            "completed" => self.completed(text.as_deref(), out),
            "interrupted" => stopped(StopKind::Interrupted, "interrupted"),
            _ => {
                let mut failure = failures::of(turn.error.as_ref().unwrap_or(&EMPTY));
                if failure.kind == FailureKind::Quota {
                    failure.retry_at_ms = failure.retry_at_ms.or(self.resets_at_ms);
                }
                failed(failure)
            }
        };
        self.over = Some(TurnResult {
            text: result.text.clone().or(broken_off).or(text),
            duration_ms: turn.duration_ms,
            ..result
        });
        self.step = Step::Wait;
        if &*turn.status == "interrupted" && !std::mem::replace(&mut self.stopping, true) {
            // The answer to a question was to stop.
            self.stop_work(out);
        } else {
            self.waited(out);
        }
    }

    fn completed(&mut self, text: Option<&str>, out: &mut Out) -> TurnResult {
        let form = text.filter(|text| self.wants_form && is_json(text));
        if self.wants_form && form.is_none() {
            return failed(failure(
                FailureKind::Output,
                "the model did not answer in the form that was asked for",
            ));
        }
        if text.is_none_or(str::is_empty) {
            out.coded_notice(Level::Warning, "no_text", "the reply has no text");
        }
        TurnResult {
            structured: form.map(str::to_owned),
            ..completed(None)
        }
    }

    /// Ends the turn when its subagents have come to rest; what was stopped is cleaned up before.
    fn waited(&mut self, out: &mut Out) {
        if self.step != Step::Wait || self.children.are_at_work() {
            return;
        }
        if self.stopping {
            for thread in self.calls.threads() {
                if thread != self.resume.thread {
                    let parameters = [("threadId", thread.as_str())];
                    self.aside("thread/backgroundTerminals/clean", &parameters, out);
                }
            }
            // A command that was just begun may not have been told yet.
            let id = self.next(Step::Clean);
            let thread = [("threadId", self.resume.thread.as_str())];
            out.write_stdin(request::plain(
                id,
                "thread/backgroundTerminals/clean",
                &thread,
            ));
        } else {
            self.conclude(out);
        }
    }

    /// Ends the turn when what was told to stop has said so. It does at once, if ever.
    pub(super) fn cleaned(&mut self, out: &mut Out) {
        if self.calls.has_commands(&self.resume.thread) {
            out.wake_after(CLEANED_MS);
        } else {
            self.conclude(out);
        }
    }

    /// Nothing of the turn is left.
    pub(super) fn conclude(&mut self, out: &mut Out) {
        self.step = Step::Idle;
        let Some(result) = self.over.take() else {
            return;
        };
        let was_stopped = std::mem::take(&mut self.stopping);
        let result = match was_stopped && result.stop == StopKind::Completed {
            true => TurnResult {
                text: result.text,
                ..stopped(StopKind::Interrupted, "interrupted")
            },
            false => result,
        };
        self.tell(result, out);
    }

    /// Tells how the turn ended. A process that stays takes the next prompt.
    pub(super) fn tell(&mut self, result: TurnResult, out: &mut Out) {
        // Whatever the line was about.
        out.inside(None::<String>);
        out.of_turn(TurnReference::Current);
        self.questions.withdraw(out);
        self.refuse_early(out);
        self.calls.leave(out);
        self.remember(out);
        self.ending.tell(out, result);
        if !self.context.live {
            self.step = Step::Over;
        }
    }
}

/// How long the ends of what was told to stop are waited for, in milliseconds.
const CLEANED_MS: u32 = 1_000;

/// For a turn that failed without a word.
const EMPTY: super::wire::TurnError<'static> = super::wire::TurnError {
    message: aod_plugin_sdk::json::Text(std::borrow::Cow::Borrowed(
        "the turn failed without a word",
    )),
    codex_error_info: None,
    additional_details: aod_plugin_sdk::json::MaybeText(None),
};
