//! The adapter reads what the real CLI has written.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_codex::Codex;
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
        let context = context("openai/gpt-4.1");
        let replay = replay::<Codex>(context, asked(&recording.name), &recording, []);
        insta::assert_debug_snapshot!(recording.name.clone(), replay);
    }
}

#[test]
fn the_laws_hold() {
    let recordings = recordings(RECORDINGS).unwrap();
    laws::<Codex>(&context("openai/gpt-4.1"), &prompt("x"), &recordings);
}
