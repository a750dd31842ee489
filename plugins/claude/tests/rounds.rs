//! How often a turn may ask the model, in a process whose next turn may have another limit.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, prompt, written};
use aod_plugin_sdk::{
    Action, Driver, EventBody, FailureKind, Input, Limit, OutputSource, Reaction, StopKind, prepare,
};

const ROUND: &str = concat!(
    r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"m"}}}"#,
    "\n"
);
const STOPPED: &str = concat!(
    r#"{"type":"system","subtype":"session_state_changed","state":"running"}"#,
    "\n",
    r#"{"type":"result","subtype":"error_during_execution","is_error":true,"#,
    r#""terminal_reason":"aborted_streaming"}"#,
    "\n",
    r#"{"type":"system","subtype":"session_state_changed","state":"idle"}"#,
    "\n",
);

fn interrupts(reaction: &Reaction) -> usize {
    let each = reaction.actions.iter().filter(|action| {
        matches!(action, Action::WriteStdin(fragments)
            if written(fragments).contains(r#""subtype":"interrupt""#))
    });
    each.count()
}

#[test]
fn the_adapter_holds_the_limit_where_the_process_stays() {
    let mut context = context("anthropic/claude-sonnet-4-6");
    context.live = true;
    let mut first = prompt("x");
    first.limits = vec![Limit::MaxRounds(2)];
    let launch = prepare::<Claude>(&context, &first).unwrap();
    assert!(!launch.argv.contains(&"--max-turns".to_owned()));

    let mut driver = Driver::<Claude>::new(context, None);
    driver.receive(Input::Prompt(first));
    for _ in 0..2 {
        assert_eq!(interrupts(&driver.feed(OutputSource::Stdout, ROUND)), 0);
    }
    assert_eq!(interrupts(&driver.feed(OutputSource::Stdout, ROUND)), 1);
    assert_eq!(interrupts(&driver.feed(OutputSource::Stdout, ROUND)), 0);
    let over = driver.feed(OutputSource::Stdout, STOPPED);
    let result = over.actions.iter().find_map(|action| match action {
        Action::Emit(event) => match &event.body {
            EventBody::TurnResult(result) => Some(result),
            _ => None,
        },
        _ => None,
    });
    let result = result.unwrap();
    assert_eq!(result.stop, StopKind::MaxRounds);
    let failure = result.failure.as_ref().unwrap();
    assert_eq!(failure.kind, FailureKind::Limit);
    assert_eq!(over.actions.last(), Some(&Action::EndTurn));

    // The next turn has none.
    driver.receive(Input::Prompt(prompt("y")));
    for _ in 0..5 {
        assert_eq!(interrupts(&driver.feed(OutputSource::Stdout, ROUND)), 0);
    }
}

/// The CLI counts what its process has spent, so that another turn would begin with it spent.
#[test]
fn a_process_with_a_budget_does_not_stay() {
    let mut context = context("anthropic/claude-sonnet-4-6");
    context.live = true;
    let mut first = prompt("x");
    first.limits = vec![Limit::MaxCostUsd(0.5)];
    let launch = prepare::<Claude>(&context, &first).unwrap();
    assert!(launch.argv.contains(&"--max-budget-usd".to_owned()));
    let mut driver = Driver::<Claude>::new(context, None);
    driver.receive(Input::Prompt(first));
    let over = driver.feed(OutputSource::Stdout, STOPPED);
    assert!(over.actions.contains(&Action::Close));
    assert!(driver.state().is_none());
}
