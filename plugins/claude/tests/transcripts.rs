//! The adapter reads what the real CLI has written.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::Prompt;
use aod_plugin_sdk::testing::{context, laws, prompt, recordings, replay};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

/// What a recorded turn asked for, as far as it matters to what is read.
fn asked(recording: &str) -> Prompt {
    let mut prompt = prompt("x");
    if recording.starts_with("structured") {
        prompt.output_schema = Some(r#"{"type":"object"}"#.to_owned());
    }
    prompt
}

#[test]
fn recorded_turns() {
    for recording in recordings(RECORDINGS).unwrap() {
        let context = context("anthropic/claude-sonnet-4-6");
        let replay = replay::<Claude>(context, asked(&recording.name), &recording, []);
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
