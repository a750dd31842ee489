//! How a turn ended, from what its supervisor recorded and what its adapter makes of it.

use aod_resources::Outcome;
use aod_resources::event::Failure;
use aod_runtime::types::ExitCause;
use aod_supervisor::{Exited, Reason, Redactor, TurnEnded};

use crate::journal::Terminal;

/// A turn's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<i32>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    pub(crate) terminal: Terminal,
}

impl End {
    /// The host could not run or finish the turn.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            outcome: Outcome::Failed,
            exit_code: None,
            error: Some(message.clone()),
            terminal: Terminal::Error { message },
        }
    }

    /// The sandbox stands, and nothing was asked.
    pub(crate) fn provisioned() -> Self {
        Self {
            outcome: Outcome::Completed,
            exit_code: None,
            error: None,
            terminal: Terminal::Exit { code: 0 },
        }
    }

    /// Without secrets in what it says.
    pub(crate) fn redacted(mut self, redactor: &Redactor) -> Self {
        let clean = |text: &mut String| *text = redactor.redact_str(text).into_owned();
        self.error.as_mut().map(clean);
        match &mut self.terminal {
            Terminal::Error { message } | Terminal::Terminated { message } => clean(message),
            Terminal::Exit { .. } => {}
        }
        self
    }

    /// Its user stopped it before its CLI was started.
    pub(crate) fn not_started(outcome: Outcome) -> Self {
        let (message, terminal): (_, fn(String) -> Terminal) = match outcome {
            Outcome::Terminated => ("terminated by its user", |message| Terminal::Terminated {
                message,
            }),
            _ => ("interrupted before its CLI was started", |message| {
                Terminal::Error { message }
            }),
        };
        Self {
            outcome,
            exit_code: None,
            error: None,
            terminal: terminal(message.to_owned()),
        }
    }
}

/// Why the process ended, as adapters are told.
pub(crate) fn cause(reason: Reason) -> ExitCause {
    match reason {
        Reason::AfterResult => ExitCause::Closed,
        Reason::Exit | Reason::OverLimit | Reason::LogError | Reason::StartFailed => ExitCause::Own,
        Reason::Interrupted => ExitCause::Interrupted,
        Reason::Limit => ExitCause::Limit,
        Reason::Terminated => ExitCause::Terminated,
        Reason::Timeout => ExitCause::Timeout,
        Reason::Idle => ExitCause::Idle,
    }
}

/// What messages are made of.
pub(crate) struct MessageContext<'a> {
    /// The runtime's name.
    pub(crate) runtime: &'a str,
    /// Seconds that the turn might take.
    pub(crate) timeout: u32,
    /// Seconds that it might be silent.
    pub(crate) idle: u64,
    /// The last lines of stderr.
    pub(crate) stderr_tail: &'a str,
}

/// Decides the end of a turn whose process stays: there is no native code.
pub(crate) fn conclude_resting(ended: TurnEnded, failure: Option<&Failure>) -> End {
    let (outcome, error, code) = match (ended.reason, failure) {
        (Reason::Interrupted, _) => (Outcome::Interrupted, None, 0),
        (_, Some(failure)) => (Outcome::Failed, Some(failure.message.clone()), 1),
        // Also of one that a limit was to stop, and whose result was there before.
        (_, None) => (Outcome::Completed, None, 0),
    };
    End {
        outcome,
        exit_code: None,
        error,
        terminal: Terminal::Exit { code },
    }
}

/// Decides a turn's end.
pub(crate) fn conclude(
    exited: &Exited,
    failure: Option<&Failure>,
    context: &MessageContext<'_>,
) -> End {
    let code = native_code(exited);
    let runtime = context.runtime;
    let exit = |outcome, error| End {
        outcome,
        exit_code: code,
        error,
        // Who died without a code was killed by a signal, which shells report as 128 and it.
        terminal: Terminal::Exit {
            code: code.unwrap_or(-1),
        },
    };
    match exited.reason {
        Reason::Terminated => End {
            outcome: Outcome::Terminated,
            exit_code: None,
            error: None,
            terminal: Terminal::Terminated {
                message: "terminated by its user".to_owned(),
            },
        },
        Reason::Interrupted => exit(Outcome::Interrupted, None),
        Reason::Timeout => End {
            exit_code: code,
            ..End::error(format!(
                "the turn took longer than its timeout of {} s and was stopped; the session takes another prompt",
                context.timeout
            ))
        },
        Reason::Idle => End {
            exit_code: code,
            ..End::error(format!(
                "runtime {runtime:?} wrote nothing for {} s and was stopped; the session takes another prompt",
                context.idle
            ))
        },
        Reason::OverLimit => End::error(format!(
            "runtime {runtime:?} was stopped: {}; the session takes another prompt",
            exited
                .error
                .as_deref()
                .unwrap_or("it used more than its sandbox may")
        )),
        Reason::LogError | Reason::StartFailed => End::error(
            exited
                .error
                .clone()
                .unwrap_or_else(|| format!("runtime {runtime:?} could not be run to its end")),
        ),
        // Its result was there, also where a limit was to stop it that the result does not name; that
        // it had to be asked to leave changes nothing about it. What had to be killed may have left
        // things half done.
        Reason::AfterResult | Reason::Limit => match failure {
            Some(failure) if exited.reason == Reason::Limit => End {
                exit_code: code,
                ..End::error(failure.message.clone())
            },
            Some(failure) => exit(Outcome::Failed, Some(failure.message.clone())),
            None if exited.killed => exit(
                Outcome::Failed,
                Some(format!(
                    "runtime {runtime:?} gave its result, did not exit when it was asked to, and was killed"
                )),
            ),
            None => exit(Outcome::Completed, None),
        },
        Reason::Exit => match (failure, code) {
            (Some(failure), _) => exit(Outcome::Failed, Some(failure.message.clone())),
            (None, Some(0)) => exit(Outcome::Completed, None),
            (None, _) => exit(Outcome::Failed, Some(died(exited, context))),
        },
    }
}

/// The code as shells know it.
fn native_code(exited: &Exited) -> Option<i32> {
    exited
        .code
        .or_else(|| exited.signal.map(|signal| 128 + signal))
}

fn died(exited: &Exited, context: &MessageContext<'_>) -> String {
    let runtime = context.runtime;
    let how = match (exited.code, exited.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    };
    match context.stderr_tail.trim() {
        "" => format!("runtime {runtime:?} {how} and said nothing"),
        tail => format!("runtime {runtime:?} {how}: {tail}"),
    }
}

#[cfg(test)]
mod tests {
    use aod_resources::event::FailureKind;

    use super::*;

    const CONTEXT: MessageContext<'_> = MessageContext {
        runtime: "r",
        timeout: 10,
        idle: 5,
        stderr_tail: "boom\n",
    };

    fn exited(code: Option<i32>, signal: Option<i32>, reason: Reason) -> Exited {
        Exited {
            code,
            signal,
            reason,
            killed: signal == Some(9),
            replaced_bytes: 0,
            output_bytes: 0,
            error: None,
        }
    }

    #[test]
    fn the_exit_code_alone_does_not_make_a_turn_good() {
        let failure = Failure {
            kind: FailureKind::Auth,
            message: "no key".to_owned(),
            retry_at: None,
        };
        let end = conclude(
            &exited(Some(0), None, Reason::Exit),
            Some(&failure),
            &CONTEXT,
        );
        assert_eq!(end.outcome, Outcome::Failed);
        assert_eq!(end.exit_code, Some(0));
        assert_eq!(end.error.as_deref(), Some("no key"));
        assert_eq!(end.terminal, Terminal::Exit { code: 0 });
    }

    #[test]
    fn every_reason_has_its_outcome_and_terminal_event() {
        let table = [
            (
                Some(0),
                None,
                Reason::Exit,
                Outcome::Completed,
                Terminal::Exit { code: 0 },
            ),
            (
                Some(3),
                None,
                Reason::Exit,
                Outcome::Failed,
                Terminal::Exit { code: 3 },
            ),
            (
                None,
                Some(9),
                Reason::Exit,
                Outcome::Failed,
                Terminal::Exit { code: 137 },
            ),
            (
                Some(0),
                None,
                Reason::Interrupted,
                Outcome::Interrupted,
                Terminal::Exit { code: 0 },
            ),
            (
                None,
                Some(15),
                Reason::AfterResult,
                Outcome::Completed,
                Terminal::Exit { code: 143 },
            ),
            (
                None,
                Some(9),
                Reason::AfterResult,
                Outcome::Failed,
                Terminal::Exit { code: 137 },
            ),
        ];
        for (code, signal, reason, outcome, terminal) in table {
            let end = conclude(&exited(code, signal, reason), None, &CONTEXT);
            assert_eq!(
                (end.outcome, end.terminal),
                (outcome, terminal),
                "{reason:?}"
            );
        }
        for reason in [
            Reason::Timeout,
            Reason::Idle,
            Reason::OverLimit,
            Reason::LogError,
            Reason::StartFailed,
        ] {
            let end = conclude(&exited(None, Some(9), reason), None, &CONTEXT);
            assert_eq!(end.outcome, Outcome::Failed, "{reason:?}");
            assert!(matches!(end.terminal, Terminal::Error { .. }), "{reason:?}");
        }
        let end = conclude(&exited(None, Some(9), Reason::Terminated), None, &CONTEXT);
        assert!(matches!(end.terminal, Terminal::Terminated { .. }));
        assert_eq!(end.exit_code, None);
    }

    #[test]
    fn a_limit_that_comes_after_the_result_changes_nothing() {
        let failure = Failure {
            kind: FailureKind::Limit,
            message: "too many".to_owned(),
            retry_at: None,
        };
        let stopped = exited(None, Some(15), Reason::Limit);
        let rested = TurnEnded {
            reason: Reason::Limit,
            replaced_bytes: 0,
            output_bytes: 0,
        };
        for (failure, outcome) in [
            (None, Outcome::Completed),
            (Some(&failure), Outcome::Failed),
        ] {
            let error = failure.map(|failure| failure.message.clone());
            let end = conclude(&stopped, failure, &CONTEXT);
            assert_eq!((end.outcome, &end.error), (outcome, &error));
            let end = conclude_resting(rested, failure);
            assert_eq!((end.outcome, &end.error), (outcome, &error));
        }
    }

    #[test]
    fn a_death_is_told_with_what_was_said_last() {
        let end = conclude(&exited(Some(1), None, Reason::Exit), None, &CONTEXT);
        assert_eq!(
            end.error.as_deref(),
            Some("runtime \"r\" exited with code 1: boom")
        );
    }
}
