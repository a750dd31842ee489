//! Dialogues with real agents, played again: what they wrote, and the same inputs at the same
//! places. `claude-acp` is claude-agent-acp 0.49.0, `codex-acp` is codex-acp 2.6.0, `gemini` Gemini
//! CLI 0.61.0, and `opencode` opencode 1.18.33.
//!
//! Requests that the adapter does not make are left out, with their replies.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_acp::Acp;
use aod_plugin_sdk::testing::{Dialogue, context, dialogues, mcp_server, restarts_change_nothing};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");

/// The requests that the adapter makes too.
const OURS: &[&str] = &["initialize", "session/new", "session/prompt"];

fn play(dialogue: &Dialogue, restarts: bool) -> String {
    let mut context = context("acme/m");
    context.live = true;
    context.mcp_servers = vec![mcp_server("fake")];
    aod_acp::testing::play::<Acp>(dialogue, context, &[], OURS, restarts)
}

#[test]
fn recorded_dialogues() {
    for dialogue in dialogues(FOLDER) {
        insta::assert_snapshot!(dialogue.name.clone(), play(&dialogue, false));
    }
}

#[test]
fn a_restart_between_turns_changes_nothing() {
    // What comes late belongs to a call that only the old conversation knows.
    restarts_change_nothing(FOLDER, &["claude-acp.background-bash"], play);
}
