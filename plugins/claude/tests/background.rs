//! How long a turn waits for work in the background.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, exit, prompt, recordings, written};
use aod_plugin_sdk::{
    Action, Driver, EventBody, Exit, ExitCause, FailureKind, Input, Limit, OutputSource, Reaction,
    StopKind, TaskState, TurnResult,
};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

/// What the CLI says when it has stopped the command.
const STOPPED: &str = concat!(
    r#"{"type":"system","subtype":"session_state_changed","state":"idle"}"#,
    "\n",
    r#"{"type":"system","subtype":"task_updated","task_id":"bqgf1lzkw","patch":{"status":"killed"}}"#,
    "\n",
    r#"{"type":"system","subtype":"task_notification","task_id":"bqgf1lzkw","status":"stopped"}"#,
    "\n",
    r#"{"type":"system","subtype":"background_tasks_changed","tasks":[]}"#,
    "\n",
);

/// A process whose answer is there and whose command is still at work.
fn waiting(limit: Option<u64>) -> (Driver<Claude>, Reaction) {
    let mut driver = Driver::<Claude>::new(context("anthropic/claude-sonnet-4-6"), None);
    let mut prompt = prompt("x");
    prompt.limits = limit.map(Limit::BackgroundWaitMs).into_iter().collect();
    driver.receive(Input::Prompt(prompt));
    let recordings = recordings(RECORDINGS).unwrap();
    let recording = recordings
        .iter()
        .find(|recording| recording.name == "killed_with_background")
        .unwrap();
    let reaction = driver.feed(OutputSource::Stdout, &recording.stdout);
    (driver, reaction)
}

fn wakes(reaction: &Reaction) -> Vec<u32> {
    let each = reaction.actions.iter().filter_map(|action| match action {
        Action::WakeAfter(milliseconds) => Some(*milliseconds),
        _ => None,
    });
    each.collect()
}

fn result(reaction: &Reaction) -> Option<&TurnResult> {
    reaction.actions.iter().find_map(|action| match action {
        Action::Emit(event) => match &event.body {
            EventBody::TurnResult(result) => Some(result),
            _ => None,
        },
        _ => None,
    })
}

fn ends(reaction: &Reaction) -> usize {
    let each = reaction.actions.iter().filter(|action| {
        matches!(action, Action::Emit(event) if matches!(&event.body,
            EventBody::Task(task) if task.state == TaskState::Stopped))
    });
    each.count()
}

fn asks_to_stop(reaction: &Reaction) -> bool {
    reaction.actions.iter().any(|action| {
        matches!(action, Action::WriteStdin(fragments)
            if written(fragments).contains("\"subtype\":\"stop_task\",\"task_id\":\"bqgf1lzkw\""))
    })
}

#[test]
fn a_turn_waits_for_as_long_as_it_may() {
    let (mut driver, answered) = waiting(Some(2_000));
    assert!(result(&answered).is_none());
    assert_eq!(wakes(&answered), [0]);
    assert_eq!(wakes(&driver.tick(10_000)), [2_000]);

    // Output puts off the wish to be woken, and so it is made anew.
    let line = "{\"type\":\"keep_alive\"}\n";
    assert_eq!(wakes(&driver.feed(OutputSource::Stdout, line)), [0]);
    assert_eq!(wakes(&driver.tick(11_500)), [500]);

    // The CLI is asked to stop what is at work, and says when it has.
    let over = driver.tick(12_000);
    assert!(asks_to_stop(&over) && result(&over).is_none());
    assert_eq!(wakes(&over), [0]);
    let stopped = driver.feed(OutputSource::Stdout, STOPPED);
    let told = result(&stopped).unwrap();
    assert_eq!(told.stop, StopKind::Completed);
    assert_eq!(told.text.as_deref(), Some("left it"));
    assert_eq!(ends(&stopped), 1);
    assert!(stopped.actions.ends_with(&[Action::EndTurn, Action::Close]));

    let exited = driver.finish(exit(143));
    assert!(result(&exited).is_none() && ends(&exited) == 0);
}

#[test]
fn what_does_not_stop_ends_with_its_process() {
    let (mut driver, _) = waiting(Some(2_000));
    driver.tick(10_000);
    assert!(asks_to_stop(&driver.tick(12_000)));
    assert_eq!(wakes(&driver.tick(12_001)), [5_000]);
    let over = driver.tick(17_001);
    assert_eq!(ends(&over), 1);
    assert_eq!(result(&over).unwrap().text.as_deref(), Some("left it"));
    assert!(over.actions.ends_with(&[Action::EndTurn, Action::Close]));
}

#[test]
fn without_a_limit_it_waits_for_as_long_as_the_cli_does() {
    let (mut driver, answered) = waiting(None);
    assert!(result(&answered).is_none());
    assert_eq!(wakes(&answered), [0]);
    assert_eq!(wakes(&driver.tick(1_000)), [600_000]);
    let exited = driver.finish(exit(0));
    assert_eq!(result(&exited).unwrap().stop, StopKind::Completed);
    assert_eq!(ends(&exited), 1);
}

#[test]
fn what_ends_it_early_is_told_and_the_answer_is_kept() {
    for (cause, stop, failure) in [
        (ExitCause::Interrupted, StopKind::Interrupted, None),
        (
            ExitCause::Timeout,
            StopKind::Failed,
            Some(FailureKind::Timeout),
        ),
        // The limit was the one on waiting.
        (ExitCause::Limit, StopKind::Completed, None),
    ] {
        let (mut driver, _) = waiting(None);
        let exited = driver.finish(Exit { cause, ..exit(143) });
        let told = result(&exited).unwrap();
        assert_eq!(told.stop, stop);
        assert_eq!(told.failure.as_ref().map(|failure| failure.kind), failure);
        assert_eq!(told.text.as_deref(), Some("left it"));
        assert_eq!(ends(&exited), 1);
    }
}
