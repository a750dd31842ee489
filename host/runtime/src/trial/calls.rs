//! Whether every function of a turn can be called.

use super::Report;
use super::cases::first;
use crate::adapter::Adapter;
use crate::error::AdapterError;
use crate::turn::Turn;
use crate::types::{Answer, Exit, ExitCause};

const CHECK: &str = "calls";

/// Calls each function that no output leads to, in a turn of its own.
pub(super) fn check(adapter: &Adapter, report: &mut Report) {
    type Step = fn(Turn) -> Result<(), AdapterError>;
    let context = first(adapter);
    let steps: [(&str, Step); 7] = [
        ("a tick that was not asked for", |mut turn| {
            turn.tick(1).map(drop)
        }),
        ("the user's wish to stop", |mut turn| {
            turn.interrupt().map(drop)
        }),
        ("an answer to no question", |mut turn| {
            let answer = Answer {
                question: "aod-trial".to_owned(),
                value: String::new(),
                by_default: true,
            };
            turn.answer(&answer).map(drop)
        }),
        ("a good end without output", |turn| {
            turn.finish(&exit(Some(0), None, ExitCause::Own)).map(drop)
        }),
        ("a bad end without output", |turn| {
            turn.finish(&exit(Some(1), None, ExitCause::Own)).map(drop)
        }),
        ("an interrupted end", |turn| {
            turn.finish(&exit(None, Some(2), ExitCause::Interrupted))
                .map(drop)
        }),
        ("an end by the clock", |turn| {
            turn.finish(&exit(None, Some(9), ExitCause::Timeout))
                .map(drop)
        }),
    ];
    let mut good = 0;
    for (what, step) in steps {
        let turn = match adapter.begin_turn(&context) {
            Ok(turn) => turn,
            Err(error) => return report.failed(CHECK, format!("a turn begins: {error}")),
        };
        match step(turn) {
            Ok(()) => good += 1,
            Err(error) => report.failed(CHECK, format!("{what}: {error}")),
        }
    }
    if good == steps.len() {
        report.ok(CHECK, "every function of a turn answers");
    }
}

fn exit(code: Option<i32>, signal: Option<i32>, cause: ExitCause) -> Exit {
    Exit {
        code,
        signal,
        cause,
        stderr_tail: "aod-trial: the last words".to_owned(),
    }
}
