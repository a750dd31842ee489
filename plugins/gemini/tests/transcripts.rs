//! The adapter reads what the real CLI has written.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_gemini::Gemini;
use aod_plugin_sdk::Context;
use aod_plugin_sdk::testing::{context, laws, mcp_server, prompt, recordings, replay};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

/// The facts that the recordings were made with.
fn facts() -> Context {
    let mut facts = context("google/gemini-2.5-flash");
    facts.mcp_servers = ["echo", "h"].map(mcp_server).into();
    facts
}

#[test]
fn recorded_turns() {
    for recording in recordings(RECORDINGS).unwrap() {
        let replay = replay::<Gemini>(facts(), prompt("x"), &recording, []);
        insta::assert_debug_snapshot!(recording.name.clone(), replay);
    }
}

#[test]
fn the_laws_hold() {
    laws::<Gemini>(&facts(), &prompt("x"), &recordings(RECORDINGS).unwrap());
}
