//! Whether every function of a conversation can be called.

use super::Report;
use super::cases::first;
use crate::adapter::Adapter;
use crate::conversation::Conversation;
use crate::error::AdapterError;
use crate::types::{
    Answer, Block, Exit, ExitCause, Fork, InjectMode, Injection, Input, Prompt, Setting,
};

const CHECK: &str = "calls";

/// Calls each function that no output leads to, in a conversation of its own that has its prompt.
pub(super) fn check(adapter: &Adapter, report: &mut Report) {
    let (context, prompt) = first(adapter);
    let steps = steps(&prompt);
    let mut good = 0;
    for (what, step) in &steps {
        let begun = adapter.converse(&context, None).and_then(|mut begun| {
            begun.receive(&Input::Prompt(prompt.clone()))?;
            Ok(begun)
        });
        let conversation = match begun {
            Ok(conversation) => conversation,
            Err(error) => return report.failed(CHECK, format!("a turn begins: {error}")),
        };
        match step.take(conversation) {
            Ok(()) => good += 1,
            Err(error) => report.failed(CHECK, format!("{what}: {error}")),
        }
    }
    if good == steps.len() {
        report.ok(CHECK, "every function of a conversation answers");
    }
}

enum Step {
    Receive(Input),
    Tick,
    State,
    Finish(Exit),
}

impl Step {
    fn take(&self, mut conversation: Conversation) -> Result<(), AdapterError> {
        match self {
            Self::Receive(input) => conversation.receive(input).map(drop),
            Self::Tick => conversation.tick(1).map(drop),
            Self::State => conversation.state().map(drop),
            Self::Finish(exit) => conversation.finish(exit).map(drop),
        }
    }
}

fn steps(prompt: &Prompt) -> Vec<(&'static str, Step)> {
    let id = || "aod-trial".to_owned();
    let injection = Injection {
        id: id(),
        blocks: vec![Block::Text("one more thing".to_owned())],
        mode: InjectMode::Queue,
    };
    let answer = Answer {
        question: id(),
        value: String::new(),
        edited_input: None,
        message: None,
        by_default: true,
    };
    let fork = Fork {
        id: id(),
        after_turn: None,
    };
    let next = Prompt {
        turn: prompt.turn + 1,
        ..prompt.clone()
    };
    let settings: Vec<Setting> = prompt.settings.clone();
    let inputs = [
        ("the user's wish to stop", Input::Interrupt),
        ("an answer to no question", Input::Answer(answer)),
        ("more for a turn that runs", Input::Inject(injection)),
        ("an injection taken back", Input::Cancel(id())),
        ("background work to stop", Input::StopTask(id())),
        ("what is left to clean up", Input::CleanUp),
        ("settings between turns", Input::Configure(settings)),
        ("a wish to copy", Input::Fork(fork)),
        ("the wish to close", Input::Close),
        ("a second prompt", Input::Prompt(next)),
    ];
    let ends = [
        (
            "a good end without output",
            exit(Some(0), None, ExitCause::Own),
        ),
        (
            "a bad end without output",
            exit(Some(1), None, ExitCause::Own),
        ),
        (
            "an interrupted end",
            exit(None, Some(2), ExitCause::Interrupted),
        ),
        (
            "an end by the clock",
            exit(None, Some(9), ExitCause::Timeout),
        ),
        ("an end by a limit", exit(None, Some(9), ExitCause::Limit)),
        ("an end on demand", exit(Some(0), None, ExitCause::Closed)),
    ];
    let inputs = inputs.map(|(what, input)| (what, Step::Receive(input)));
    let ends = ends.map(|(what, exit)| (what, Step::Finish(exit)));
    let others = [
        ("a tick that was not asked for", Step::Tick),
        ("its state", Step::State),
    ];
    inputs.into_iter().chain(others).chain(ends).collect()
}

fn exit(code: Option<i32>, signal: Option<i32>, cause: ExitCause) -> Exit {
    Exit {
        code,
        signal,
        cause,
        stderr_tail: "aod-trial: the last words".to_owned(),
    }
}
