use crate::failure::failure;
use crate::{Conclusion, Event, Exit, ExitCause, Failure, FailureKind, Out, TurnResult};

/// Keeps the promise that a turn has one `turn-result`: told by the stream, or else at the end of
/// the process.
#[derive(Debug, Default)]
pub struct Ending {
    told: bool,
    failure: Option<Failure>,
}

impl Ending {
    /// Emits the result and ends the turn, unless that was done before; tells whether it did.
    pub fn tell(&mut self, out: &mut Out, result: TurnResult) -> bool {
        if self.told {
            return false;
        }
        self.told = true;
        self.failure.clone_from(&result.failure);
        out.turn_result(result);
        out.end_turn();
        true
    }

    /// Whether the stream told how the turn ended.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The conclusion. `otherwise` makes the result of a turn whose CLI ended by itself without
    /// saying how.
    pub fn conclude(self, exit: &Exit, otherwise: impl FnOnce(&Exit) -> TurnResult) -> Conclusion {
        if self.told {
            return Conclusion {
                events: Vec::new(),
                failure: self.failure,
                remember: None,
            };
        }
        let result = match exit.cause {
            ExitCause::Own => otherwise(exit),
            ExitCause::Interrupted => stopped("interrupted"),
            ExitCause::Terminated => stopped("terminated"),
            ExitCause::Timeout => late("timeout", "the turn took longer than it may"),
            ExitCause::Idle => late("idle", "the CLI was silent for longer than it may be"),
        };
        Conclusion {
            failure: result.failure.clone(),
            events: vec![Event::TurnResult(result)],
            remember: None,
        }
    }
}

fn stopped(reason: &str) -> TurnResult {
    TurnResult {
        text: None,
        failure: None,
        stop_reason: Some(reason.to_owned()),
        duration_ms: None,
    }
}

fn late(reason: &str, message: &str) -> TurnResult {
    TurnResult {
        failure: Some(failure(FailureKind::Timeout, message)),
        ..stopped(reason)
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
    let last_words = crate::plain(exit.stderr_tail.trim());
    let failure = if last_words.is_empty() {
        failure(
            FailureKind::Crash,
            format!("the CLI ended with {how} and without a result"),
        )
    } else {
        crate::failure::from_api(None, &last_words, FailureKind::Crash)
    };
    TurnResult {
        text: None,
        failure: Some(failure),
        stop_reason: None,
        duration_ms: None,
    }
}
