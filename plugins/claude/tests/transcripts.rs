//! The adapter reads what the real CLI has written.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, laws, prompt, recordings, replay};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

#[test]
fn recorded_turns() {
    for recording in recordings(RECORDINGS).unwrap() {
        let replay = replay::<Claude>(
            context("anthropic/claude-sonnet-4-6"),
            prompt("x"),
            &recording,
            [],
        );
        insta::assert_debug_snapshot!(recording.name.clone(), replay);
    }
}

#[test]
fn the_laws_hold() {
    let recordings = recordings(RECORDINGS).unwrap();
    laws::<Claude>(
        &context("anthropic/claude-sonnet-4-6"),
        &prompt("x"),
        &recordings,
    );
}
