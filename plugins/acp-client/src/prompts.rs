//! Prompts of an open session, what is set before them, and how they end.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{
    Failure, FailureKind, Level, Out, StopKind, TurnResult, completed, failed, stopped,
};
use serde_json::value::RawValue;

use crate::conversation::AcpConversation;
use crate::dialect::Dialect;
use crate::open::Step;
use crate::profile::Method;
use crate::wire::{self, Error, ErrorData, Prompted};
use crate::{request, usage};

/// What an agent says where it wants to be authenticated.
const AUTH_REQUIRED: i64 = -32000;

impl<D: Dialect> AcpConversation<D> {
    /// The session is open, or a setting is made: the next setting, the prompt, or a rest.
    pub(crate) fn go_on(&mut self, out: &mut Out) {
        if let Some((config, value)) = self.unset.pop_front() {
            let id = self.opening.next(Step::Setting);
            let mut settings = self.profile.settings.iter();
            let is_mode = settings.any(|it| it.config == config && it.method == Method::Mode);
            let request = match is_mode {
                true => self.of_session(id, "session/set_mode", &[("modeId", &value)]),
                false => {
                    let more = [("configId", config.as_str()), ("value", &value)];
                    self.of_session(id, "session/set_config_option", &more)
                }
            };
            out.write_stdin(request);
            self.setting = Some((config, value));
            return;
        }
        let Some(prompt) = self.prompt.take() else {
            self.opening.step = Step::Idle;
            return;
        };
        let id = self.opening.next(Step::Prompt);
        self.turn.is_asked = true;
        self.turn.works = false;
        // A conversation that goes on has it already.
        let system = self
            .context
            .system
            .as_deref()
            .filter(|_| std::mem::take(&mut self.needs_system) && self.profile.prepends_system);
        let before = self.dialect.before(&prompt.blocks);
        let session = self.turn.session().unwrap_or_default();
        let said = request::Said {
            before: before.as_deref(),
            text: system,
            blocks: &prompt.blocks,
            images: self.opening.agent.images,
        };
        out.write_stdin(request::prompt(id, "session/prompt", session, &said));
    }

    /// What was to be set is set, or was refused.
    pub(crate) fn setting_done(&mut self, error: Option<&Error<'_>>, out: &mut Out) {
        let Some((config, value)) = self.setting.take() else {
            return;
        };
        match error {
            None => {
                self.set.insert(config, value);
            }
            // Not every model has it, and nobody has asked for it.
            Some(_) if self.is_default(&config, &value) => {
                self.set.insert(config, value);
            }
            Some(error) => {
                let why = failure_of(error).message;
                let text = format!("the agent does not take {value:?} for {config:?}: {why}");
                out.coded_notice(Level::Warning, "setting_refused", text);
            }
        }
    }

    fn is_default(&self, config: &str, value: &str) -> bool {
        let mut settings = self.profile.settings.iter();
        settings.any(|it| it.config == config && it.default.as_deref() == Some(value))
    }

    /// The prompt's reply.
    pub(crate) fn prompted(&mut self, result: Option<&RawValue>, out: &mut Out) {
        let prompted: Prompted<'_> = wire::read(result);
        let reason = &*prompted.stop_reason;
        // Some agents say that a prompt which was cancelled has ended well.
        let verdict = self.turn.verdict.take();
        let was_stopped = std::mem::take(&mut self.turn.stopping) || reason == "cancelled";
        // What the agent takes for a good end may be none.
        let verdict = verdict.or_else(|| self.dialect.ends(&mut self.turn, out));
        if was_stopped || verdict.is_some() {
            self.turn.texts.break_off(out);
        } else {
            self.turn.texts.end(out);
        }
        self.turn.tools.finish(&mut self.dialect, out);
        self.permission.withdraw(None, out);
        self.remember(out);
        if !self.dialect.tells_usage() {
            usage::tell(&prompted, &mut self.turn.money, out);
        }
        let last = self.turn.texts.take_last();
        let broke = std::mem::take(&mut self.is_broken);
        let own = match reason {
            _ if was_stopped => stopped(StopKind::Interrupted, ""),
            // Of a turn that failed this agent tells the error as a message.
            _ if broke => {
                let message = last.as_deref().unwrap_or("the agent failed without a word");
                failed(from_api(None, message, FailureKind::Provider))
            }
            "refusal" => failed(failure(
                FailureKind::Refused,
                "the agent refused the prompt",
            )),
            "max_turn_requests" => TurnResult {
                failure: Some(failure(
                    FailureKind::Limit,
                    "the turn reached the agent's limit of requests to the model",
                )),
                ..stopped(StopKind::MaxRounds, "")
            },
            _ => {
                if reason == "max_tokens" {
                    let text = "the reply is cut: it reached the length that the model may write";
                    out.coded_notice(Level::Warning, "max_tokens", text);
                }
                completed(None)
            }
        };
        let result = verdict.unwrap_or(own);
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let result = self.dialect.ended(TurnResult {
            text: last,
            native_reason: result
                .native_reason
                .clone()
                .filter(|it| !it.is_empty())
                .or(reason),
            ..result
        });
        let has_text = result.text.as_deref().is_some_and(|text| !text.is_empty());
        if result.stop == StopKind::Completed && !has_text {
            out.no_text();
        }
        self.end_turn(result, out);
    }

    /// Tells how the turn ended. A process that stays takes the next prompt.
    pub(crate) fn end_turn(&mut self, result: TurnResult, out: &mut Out) {
        self.turn.is_asked = false;
        self.turn.ending.tell(out, result);
        self.opening.step = match self.context.live {
            true => Step::Idle,
            false => Step::Over,
        };
    }

    /// A request of ours failed.
    pub(crate) fn refused(&mut self, error: &Error<'_>, out: &mut Out) {
        match self.opening.step {
            Step::Prompt => self.turn.texts.break_off(out),
            _ => self.turn.texts.end(out),
        }
        self.turn.tools.finish(&mut self.dialect, out);
        self.permission.withdraw(None, out);
        let failure = failure_of(error);
        // Agents have no common word for a session that they do not find.
        if matches!(self.opening.step, Step::Resume | Step::Fork)
            && failure.kind != FailureKind::Auth
        {
            self.begin_afresh(&failure.message, out);
            return;
        }
        if self.opening.step == Step::Setting {
            let config = self.setting.as_ref().map(|(config, _)| config.clone());
            let mut settings = self.profile.settings.iter();
            let is_required =
                settings.any(|it| it.is_required && Some(&it.config) == config.as_ref());
            self.setting_done(Some(error), out);
            match is_required {
                true => self.fail(failure, out),
                false => self.go_on(out),
            }
            return;
        }
        let text = self.turn.texts.take_last();
        if self.opening.step == Step::Prompt {
            let failure = self.dialect.failure(failure);
            let was_stopped = std::mem::take(&mut self.turn.stopping);
            let result = match (was_stopped, self.turn.verdict.take()) {
                (true, _) => stopped(StopKind::Interrupted, failure.message),
                (false, Some(verdict)) => verdict,
                (false, None) => {
                    out.notice(Level::Error, &*failure.message);
                    failed(failure)
                }
            };
            self.end_turn(TurnResult { text, ..result }, out);
        } else {
            out.notice(Level::Error, &*failure.message);
            self.fail(failure, out);
        }
    }

    /// The session cannot be opened, so that the process is of no use.
    pub(crate) fn fail(&mut self, failure: Failure, out: &mut Out) {
        self.prompt = None;
        if !self.turn.ending.tell(out, failed(failure)) || self.context.live {
            out.close();
        }
        self.opening.step = Step::Over;
    }
}

fn failure_of(error: &Error<'_>) -> Failure {
    let data: ErrorData<'_> = wire::read(error.data);
    let mut message = error.message.to_string();
    if let Some(details) = data.details.0 {
        message = format!("{message}: {}", &*details);
    }
    if error.code == AUTH_REQUIRED {
        failure(FailureKind::Auth, message)
    } else {
        from_api(None, &message, FailureKind::Provider)
    }
}
