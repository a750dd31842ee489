use crate::failure::{failure, from_api};
use crate::{Exit, ExitCause, FailureKind, Out, StopKind, TurnResult, plain};

/// Keeps the promise that a turn has one `turn-result`: told by the stream, or else at the end of
/// the process.
#[derive(Debug, Default, Clone)]
pub struct Ending {
    told: bool,
    live: bool,
    warning: Option<String>,
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
        self.warning = None;
    }

    /// Keeps what the CLI last warned of. Where the turn takes too long after that, its failure
    /// quotes it.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warning = Some(warning.into());
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
        out.turn_result(match exit.cause {
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
        });
    }

    fn late(&self, reason: &str, message: &str) -> TurnResult {
        let message = match &self.warning {
            Some(warning) => format!("{message}; the last warning was: {warning}"),
            None => message.to_owned(),
        };
        TurnResult {
            failure: Some(failure(FailureKind::Timeout, message)),
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

    #[test]
    fn a_turn_that_takes_too_long_quotes_the_last_warning() {
        let told = |warning: Option<&str>| {
            let mut ending = Ending::default();
            if let Some(warning) = warning {
                ending.warn(warning);
            }
            ending.late("timeout", "late").failure.unwrap().message
        };
        assert_eq!(told(None), "late");
        assert_eq!(told(Some("busy")), "late; the last warning was: busy");
    }
}
