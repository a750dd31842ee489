//! What is said to a turn whose prompt the CLI has not come to yet.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, exit, prompt, written};
use aod_plugin_sdk::{
    Action, Block, Driver, InjectMode, Injection, InjectionState, Input, OutputSource, Reaction,
};

const ROUND: &str = concat!(
    r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"m"}}}"#,
    "\n"
);

fn states(reaction: &Reaction) -> Vec<InjectionState> {
    let outcomes = reaction.actions.iter().filter_map(|action| match action {
        Action::Injected(outcome) => Some(outcome.state),
        _ => None,
    });
    outcomes.collect()
}

fn said(reaction: &Reaction) -> String {
    let writes = reaction.actions.iter().filter_map(|action| match action {
        Action::WriteStdin(fragments) => Some(written(fragments)),
        _ => None,
    });
    writes.collect()
}

/// A process that was given its first prompt, and then more, before it has said a word.
fn steered_early() -> (Driver<Claude>, String) {
    let mut context = context("anthropic/claude-sonnet-4-6");
    context.live = true;
    let mut driver = Driver::<Claude>::new(context, None);
    let first = prompt("hello");
    let id = first.turn_id.clone();
    driver.receive(Input::Prompt(first));
    let early = driver.receive(Input::Inject(Injection {
        id: "i".to_owned(),
        blocks: vec![Block::Text("rather blue".to_owned())],
        mode: InjectMode::Steer,
    }));
    assert_eq!(states(&early), [InjectionState::Queued]);
    assert_eq!(said(&early), "");
    (driver, id)
}

#[test]
fn it_waits_for_the_prompt() {
    let (mut driver, id) = steered_early();
    let line = format!(
        "{{\"type\":\"command_lifecycle\",\"command_uuid\":\"{id}\",\"state\":\"started\"}}\n"
    );
    let begun = driver.feed(OutputSource::Stdout, &line);
    assert!(said(&begun).contains("rather blue"), "{begun:#?}");
    assert!(states(&begun).is_empty());
}

#[test]
fn it_is_refused_where_the_cli_does_not_tell() {
    let (mut driver, _) = steered_early();
    let asked = driver.feed(OutputSource::Stdout, ROUND);
    assert_eq!(states(&asked), [InjectionState::Refused]);
}

#[test]
fn it_goes_with_the_turn() {
    let (mut driver, _) = steered_early();
    assert_eq!(
        states(&driver.receive(Input::Interrupt)),
        [InjectionState::Cancelled]
    );
    let (mut driver, _) = steered_early();
    assert_eq!(states(&driver.finish(exit(1))), [InjectionState::Refused]);
}
