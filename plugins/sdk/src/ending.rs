use crate::failure::{failure, from_api};
use crate::{Exit, ExitCause, Failure, FailureKind, Out, StopKind, TurnResult, plain};

/// Keeps the promise that a turn has one `turn-result`: told by the stream, or else at the end of
/// the process.
#[derive(Debug, Default, Clone)]
pub struct Ending {
    told: bool,
    live: bool,
    trouble: Option<Failure>,
    retry_at_ms: Option<u64>,
    answer: Option<String>,
}

impl Ending {
    /// For a process that stays when a turn is over.
    #[must_use]
    pub fn live() -> Self {
        Self {
            live: true,
            ..Self::default()
        }
    }

    /// For a process that stays and has no turn now, such as one that is gone on with from a state.
    #[must_use]
    pub fn resting() -> Self {
        Self {
            told: true,
            ..Self::live()
        }
    }

    /// The next turn of a living process begins.
    pub fn begin(&mut self) {
        self.told = false;
        self.well();
        self.answer = None;
    }

    /// The answer as far as it is there, for a turn that is cut off.
    pub fn answered(&mut self, text: impl Into<String>) {
        self.answer = Some(text.into());
    }

    /// The CLI says that something failed and is tried again: if the turn then runs out of time,
    /// that is why. [`well`](Self::well) takes it back.
    pub fn trouble(&mut self, failure: Failure) {
        self.trouble = Some(failure);
    }

    /// Keeps what the CLI last warned of: a turn that then runs out of time quotes it.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.trouble(failure(FailureKind::Timeout, warning));
    }

    /// When what is in trouble is tried again, in milliseconds since the Unix epoch.
    pub fn retry_at(&mut self, at_ms: u64) {
        self.retry_at_ms = Some(at_ms);
    }

    /// What was in trouble goes on.
    pub fn well(&mut self) {
        self.trouble = None;
        self.retry_at_ms = None;
    }

    /// Emits the result and ends the turn, unless that was done before; tells whether it did.
    pub fn tell(&mut self, out: &mut Out, result: TurnResult) -> bool {
        if self.told {
            return false;
        }
        self.told = true;
        out.turn_result(result);
        out.end_turn();
        if !self.live {
            out.close();
        }
        true
    }

    /// Whether it was told how the turn ended.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Tells how a turn ended that did not say so itself. `otherwise` makes the result of a turn
    /// whose CLI ended by itself.
    pub fn conclude(
        &mut self,
        exit: &Exit,
        out: &mut Out,
        otherwise: impl FnOnce(&Exit) -> TurnResult,
    ) {
        if self.told {
            return;
        }
        self.told = true;
        let answer = self.answer.take();
        let result = match exit.cause {
            ExitCause::Own | ExitCause::Closed => otherwise(exit),
            ExitCause::Interrupted => stopped(StopKind::Interrupted, "interrupted"),
            ExitCause::Terminated => stopped(StopKind::Interrupted, "terminated"),
            ExitCause::Timeout => self.late("timeout", "the turn took longer than it may"),
            ExitCause::Idle => self.late("idle", "the CLI was silent for longer than it may be"),
            ExitCause::Limit => TurnResult {
                failure: Some(failure(
                    FailureKind::Limit,
                    "the turn reached one of its limits",
                )),
                ..stopped(StopKind::Budget, "limit")
            },
        };
        out.turn_result(TurnResult {
            text: result.text.or(answer),
            ..result
        });
    }

    /// What was in trouble when the time was over is to blame for it.
    fn late(&mut self, reason: &str, message: &str) -> TurnResult {
        let failure = match self.trouble.take() {
            Some(trouble) => Failure {
                message: format!("{message}; the last warning was: {}", trouble.message),
                retry_at_ms: trouble.retry_at_ms.or(self.retry_at_ms),
                ..trouble
            },
            None => failure(FailureKind::Timeout, message),
        };
        TurnResult {
            failure: Some(failure),
            ..stopped(StopKind::Failed, reason)
        }
    }
}

/// The result of a turn that was done, with this answer.
pub fn completed(text: Option<String>) -> TurnResult {
    TurnResult {
        stop: StopKind::Completed,
        text,
        structured: None,
        failure: None,
        native_reason: None,
        duration_ms: None,
    }
}

/// The result of a turn that failed.
#[must_use]
pub fn failed(failure: crate::Failure) -> TurnResult {
    let stop = match failure.kind {
        FailureKind::Refused => StopKind::Refused,
        FailureKind::Limit => StopKind::Budget,
        _ => StopKind::Failed,
    };
    TurnResult {
        stop,
        failure: Some(failure),
        ..completed(None)
    }
}

/// The result of a turn that was stopped, with the CLI's own word for it.
pub fn stopped(stop: StopKind, native_reason: impl Into<String>) -> TurnResult {
    TurnResult {
        stop,
        native_reason: Some(native_reason.into()),
        ..completed(None)
    }
}

/// The result of a turn whose CLI broke, told by the last words of its stderr.
#[must_use]
pub fn crashed(exit: &Exit) -> TurnResult {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    };
    let last_words = plain(exit.stderr_tail.trim());
    failed(if last_words.is_empty() {
        failure(
            FailureKind::Crash,
            format!("the CLI ended with {how} and without a result"),
        )
    } else {
        from_api(None, &last_words, FailureKind::Crash)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, EventBody};

    fn result_after(ending: &mut Ending, cause: ExitCause) -> TurnResult {
        let mut out = Out::default();
        let exit = Exit {
            code: None,
            signal: Some(9),
            cause,
            stderr_tail: String::new(),
        };
        ending.conclude(&exit, &mut out, crashed);
        let Some(Action::Emit(event)) = out.into_reaction().actions.pop() else {
            panic!("nothing was told");
        };
        match event.body {
            EventBody::TurnResult(result) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_turn_that_ran_out_of_time_in_trouble_failed_by_the_trouble() {
        let mut ending = Ending::default();
        ending.trouble(failure(FailureKind::Quota, "status 429"));
        ending.retry_at(7);
        ending.answered("so far");
        let result = result_after(&mut ending, ExitCause::Timeout);
        assert_eq!(result.text.as_deref(), Some("so far"));
        let failure = result.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Quota);
        assert_eq!(failure.retry_at_ms, Some(7));
        assert!(
            failure.message.ends_with("status 429"),
            "{}",
            failure.message
        );

        let mut ending = Ending::default();
        ending.trouble(crate::failure::failure(FailureKind::Quota, "status 429"));
        ending.well();
        let failure = result_after(&mut ending, ExitCause::Idle).failure;
        assert_eq!(failure.unwrap().kind, FailureKind::Timeout);
    }
}
