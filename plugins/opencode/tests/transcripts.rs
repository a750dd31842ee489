//! The adapter reads what the real CLI has written.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_opencode::Opencode;
use aod_plugin_sdk::testing::{context, laws, mcp_server, prompt, recordings, replay};
use aod_plugin_sdk::{
    Action, Context, Driver, EventBody, Failure, FailureKind, OutputSource, Reaction,
};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

/// The facts that the recordings were made with.
fn facts() -> Context {
    let mut facts = context("anthropic/claude-sonnet-4-5");
    facts.mcp_servers = ["echo", "h"].map(mcp_server).into();
    facts
}

#[test]
fn recorded_turns() {
    for recording in recordings(RECORDINGS).unwrap() {
        let replay = replay::<Opencode>(facts(), prompt("x"), &recording, []);
        insta::assert_debug_snapshot!(recording.name.clone(), replay);
    }
}

#[test]
fn the_laws_hold() {
    laws::<Opencode>(&facts(), &prompt("x"), &recordings(RECORDINGS).unwrap());
}

fn failure(reaction: &Reaction) -> Option<&Failure> {
    reaction.actions.iter().find_map(|action| match action {
        Action::Emit(event) => match &event.body {
            EventBody::TurnResult(result) => result.failure.as_ref(),
            _ => None,
        },
        _ => None,
    })
}

const FAILED: &str = "timestamp=2026-11-27T10:27:15.667Z level=ERROR run=c \
    message=\"stream error\" small=false error.error=\"AI_APICallError: your rate limit\"\n";

#[test]
fn a_provider_that_asks_for_patience_is_given_a_minute() {
    let mut driver = Driver::<Opencode>::new(facts(), None);
    let reaction = driver.feed(OutputSource::Stderr, FAILED);
    assert!(reaction.actions.contains(&Action::WakeAfter(60_000)));
    let reaction = driver.tick(61_000);
    assert_eq!(failure(&reaction).unwrap().kind, FailureKind::Quota);
    assert!(reaction.actions.contains(&Action::Close));
    // Once it has gone on there is nothing to wait for.
    let mut driver = Driver::<Opencode>::new(facts(), None);
    driver.feed(OutputSource::Stderr, FAILED);
    driver.feed(
        OutputSource::Stdout,
        "{\"type\":\"step_start\",\"sessionID\":\"ses_1\",\"part\":{}}\n",
    );
    assert_eq!(driver.tick(61_000).actions, []);
}

#[test]
fn a_provider_that_fails_and_fails_ends_the_turn() {
    let mut driver = Driver::<Opencode>::new(facts(), None);
    for attempt in 1..=4 {
        let reaction = driver.feed(OutputSource::Stderr, FAILED);
        assert_eq!(failure(&reaction).is_some(), attempt == 4, "{attempt}");
    }
}
